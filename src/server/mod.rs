//! Puts the rooms together, listens, and stops by draining.
//!
//! Order of a start: ports, threads, listeners (NOT_SERVING), models, SERVING.
//! Order of a stop: NOT_SERVING, refuse what is new, answer what was accepted,
//! close.

mod admin;
mod data;
mod health;
mod http;
mod incoming;
mod keeping;
mod measured;
mod observe;
mod page;
mod summary;
mod telemetry;
mod transport;
mod trials;

use std::{io, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{net::TcpListener, task::JoinError, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    api::{Administered, Drain, JsonError},
    config::{BatchConfig, Problem, RuntimeConfig, Settings},
    model::Engines,
    registry::{Events, Registry, ScanError},
    stack::{BatchRules, Limits, RunnerError, Runners, ThreadSetup, assemble},
    telemetry::{ExpositionError, OtlpError, Port},
};

use self::{
    http::Probed,
    incoming::Incoming,
    measured::Measured,
    observe::ObserveLayer,
    page::{Page, Sources},
    summary::Summaries,
};

pub use telemetry::{TelemetryError, log_to_stderr};

/// How long connections may take to close once all work is done, and then the last push to
/// a collector: long enough for a client to read its last reply, short enough not to be
/// noticed.
const CLOSING: Duration = Duration::from_secs(1);

/// Why a server did not start or did not stop well. A message leaves out what its
/// `source` says.
#[derive(Debug, Error)]
pub enum ServerError {
    /// A port can't be had.
    #[error("{key} = {address}: can't listen")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The models' folder can't be read.
    #[error("models.root = {root:?}")]
    Models {
        /// The setting's value.
        root: PathBuf,
        /// What is wrong.
        source: ScanError,
    },
    /// It is not known any more whose signatures count.
    #[error("{0}")]
    Trust(Problem),
    /// A thread can't be had.
    #[error(transparent)]
    Runners(#[from] RunnerError),
    /// The system refused a thread for loading models.
    #[error("the thread that prepares models did not start")]
    Preparation(#[source] io::Error),
    /// The system refused the thread that writes the page.
    #[error("the thread that writes the page did not start")]
    Page(#[source] io::Error),
    /// The system refused the thread that compares versions.
    #[error("the thread that compares versions did not start")]
    Trials(#[source] io::Error),
    /// The program's descriptors are broken.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Reflection refused the program's descriptors.
    #[error("reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Metrics can't be had.
    #[error(transparent)]
    Metrics(#[from] ExpositionError),
    /// Telemetry can't be sent.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// The transport broke.
    #[error("the gRPC transport broke")]
    Transport(#[from] tonic::transport::Error),
    /// The transport's task panicked.
    #[error("the gRPC transport ended by itself")]
    TransportPanicked(#[source] JoinError),
    /// Accepted work was still open when the time was up.
    #[error("{open} accepted requests or streams were not answered within server.drain_timeout = {after:?}")]
    NotDrained {
        /// How many.
        open: usize,
        /// The setting.
        after: Duration,
    },
}

/// A server that holds its ports and does not serve yet.
pub struct Server {
    settings: Settings,
    data: TcpListener,
    http: TcpListener,
    admin: TcpListener,
    registry: Arc<Registry>,
    drain: Drain,
}

impl Server {
    /// Opens the ports.
    ///
    /// # Errors
    ///
    /// [`ServerError::Listen`] names the port that can't be had.
    pub async fn bind(settings: Settings) -> Result<Self, ServerError> {
        let data = listen("server.listen", settings.server.listen).await?;
        let http = listen("server.http_listen", settings.server.http_listen).await?;
        let admin = listen("server.admin_listen", settings.server.admin_listen).await?;
        Ok(Self { settings, data, http, admin, registry: Arc::default(), drain: Drain::default() })
    }

    /// Serves until `stop` resolves, then drains.
    ///
    /// # Errors
    ///
    /// See [`ServerError`]; nothing was served where it fails before the first request.
    pub async fn run(
        self,
        engines: Arc<dyn Engines>,
        setup: ThreadSetup,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        self.announce(engines.release());
        let (mut health, health_service) = health::health(&self.registry, &self.drain).await;
        let close = CancellationToken::new();
        let measured = Measured::new(&self.settings.telemetry, self.data.local_addr().ok())?;
        measured.show(&self.registry, &self.drain, engines.release());
        let Measured { metrics, exposition, journeys, otlp } = measured;
        let runners = Runners::start(self.settings.runtime.runners(), rules(&self.settings), &setup, &metrics)?;
        metrics.observe_queue(runners.watch());
        let summaries = Summaries::start(journeys.clone());
        let trials = trials::start(&self.settings, &self.registry, &metrics, &setup)?;
        let events = Events::new();
        let probed = Probed {
            registry: Arc::clone(&self.registry),
            drain: self.drain.clone(),
            metrics: metrics.clone(),
            exposition: exposition.clone(),
        };
        let page = Page::start(Sources {
            registry: Arc::clone(&self.registry),
            drain: self.drain.clone(),
            exposition,
            events: events.clone(),
            trials: trials.clone(),
            noted: journeys.noted().clone(),
            libtorch: engines.release().to_owned(),
        })
        .map_err(ServerError::Page)?;
        let http = http::serve(self.http, probed, page.clone(), close.clone());
        let stack = assemble(limits(&self.settings), metrics.clone(), runners.clone());
        let admin_port = self.admin.local_addr().map_or(0, |address| address.port());
        let rooms = data::Rooms { stack, trials: trials.clone(), metrics: metrics.clone(), admin_port };
        let routes = data::routes(&self.settings, &self.registry, &self.drain, rooms)?;
        let routes = routes.add_service(health_service);
        let connections = self.settings.server.max_connections.get();
        let incoming = Incoming::new(self.data, connections, (&metrics, Port::Data));
        let observe = ObserveLayer::new(metrics.clone(), journeys.clone());
        let mut transport = transport::serve(incoming, routes, observe, close.clone());

        let preparation = keeping::preparation(&self.settings, engines, (runners, trials.clone()), setup)?;
        let keeper = keeping::keep(&self.settings, &self.registry, &events, preparation, metrics.clone())?;
        let _guard = trials::guard(&self.registry, &trials, &keeper);
        let _followed = page::follow(&page, &self.registry, &keeper);
        let administered = Administered {
            registry: Arc::clone(&self.registry),
            keeper,
            events,
            trials: trials.clone(),
            noted: journeys.noted().clone(),
            drain: self.drain.clone(),
        };
        let admin = admin::serve(self.admin, administered, &metrics, close.clone()).await?;
        tokio::select! {
            () = stop => info!("stopping: no longer SERVING, answering what was accepted"),
            ended = &mut transport => return joined(ended),
        }
        admin.not_serving().await;
        let drained = drain(&self.settings, &self.drain, &mut health).await;
        trials.store_recent();
        summaries.finish().await;
        close.cancel();
        health.forget().await;
        if timeout(CLOSING, async { tokio::join!(transport, http, admin.closed()) }).await.is_err() {
            info!("some clients keep idle connections open; closing them");
        }
        if let Some(otlp) = otlp {
            otlp.finish(CLOSING).await;
        }
        drained
    }

    fn announce(&self, release: &str) {
        let Settings { runtime, models, .. } = &self.settings;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            libtorch = release,
            device = ?runtime.device,
            io_threads = runtime.io_threads(),
            runners = runtime.runners(),
            intra_op_threads = runtime.intra_op_threads,
            "souk starts"
        );
        info!(
            grpc = self.data.local_addr().map(tracing::field::display).ok(),
            http = self.http.local_addr().map(tracing::field::display).ok(),
            admin = self.admin.local_addr().map(tracing::field::display).ok(),
            models = %models.root.display(),
            "listening; NOT_SERVING until the models are live"
        );
    }
}

/// When batches run, and where.
fn rules(settings: &Settings) -> BatchRules {
    let RuntimeConfig { inline_below, .. } = settings.runtime;
    let sockets = settings.runtime.io_threads().get();
    let eager = settings.runtime.runners().get().saturating_sub(sockets).max(1);
    BatchRules { linger: settings.batch.linger, inline_below, eager }
}

/// How much may wait.
fn limits(settings: &Settings) -> Limits {
    let BatchConfig { queue_rows, queue_bytes, queue_wait, .. } = settings.batch;
    let bytes = usize::try_from(queue_bytes.as_u64()).unwrap_or(usize::MAX);
    Limits { rows: queue_rows, bytes: NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN), wait: queue_wait }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Listen { key, address, source })
}

async fn drain(settings: &Settings, drain: &Drain, health: &mut health::Health) -> Result<(), ServerError> {
    // First, so that nobody is sent here whom the next line would refuse.
    health.not_serving().await;
    drain.begin();
    let after = settings.server.drain_timeout;
    if timeout(after, drain.answered()).await.is_ok() {
        info!("all accepted work was answered");
        return Ok(());
    }
    let open = drain.open();
    error!(open, "the drain took too long; giving up");
    Err(ServerError::NotDrained { open, after })
}

fn joined(ended: Result<Result<(), tonic::transport::Error>, JoinError>) -> Result<(), ServerError> {
    Ok(ended.map_err(ServerError::TransportPanicked)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transport_that_panicked_is_called_so() {
        let panicked = tokio::spawn(async { panic!("seven") }).await;
        let error = joined(panicked).unwrap_err();
        assert!(matches!(error, ServerError::TransportPanicked(_)), "{error:?}");
    }
}
