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
mod observe;
mod telemetry;
mod transport;
mod trials;

use std::{io, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use thiserror::Error;
use tokio::{net::TcpListener, task::JoinError, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    api::{Administered, Drain, JsonError},
    config::{BatchConfig, Problem, RuntimeConfig, Settings},
    model::Engines,
    registry::{Arm, Events, Registry, Resident, ScanError},
    stack::{BatchRules, Limits, RunnerError, Runners, ThreadSetup, assemble},
    telemetry::{Exposition, ExpositionError, Live, Metrics},
};

use self::{http::Probed, incoming::Incoming};

pub use telemetry::{TelemetryError, log_to_stderr};

/// How long connections may take to close once all work is done: long enough
/// for a client to read its last reply, short enough not to be noticed.
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
        let (metrics, exposition) = measured(&self.registry, engines.release())?;
        let runners = Runners::start(self.settings.runtime.runners(), rules(&self.settings), &setup, &metrics)?;
        metrics.observe_queue(runners.watch());
        let probed = Probed { registry: Arc::clone(&self.registry), drain: self.drain.clone(), exposition };
        let http = http::serve(self.http, probed, close.clone());
        let stack = assemble(limits(&self.settings), metrics.clone(), runners.clone());
        let trials = trials::start(&self.settings, &self.registry, &metrics, &setup)?;
        let admin_port = self.admin.local_addr().map_or(0, |address| address.port());
        let rooms = data::Rooms { stack, trials: trials.clone(), admin_port };
        let routes = data::routes(&self.settings, &self.registry, &self.drain, rooms)?;
        let routes = routes.add_service(health_service);
        let incoming = Incoming::new(self.data, self.settings.server.max_connections.get());
        let mut transport = transport::serve(incoming, routes, metrics.clone(), close.clone());

        let events = Events::new();
        let preparation = keeping::preparation(&self.settings, engines, (runners, trials.clone()), setup)?;
        let keeper = keeping::keep(&self.settings, &self.registry, &events, preparation, metrics)?;
        let _guard = trials::guard(&self.registry, &trials, &keeper);
        let administered = Administered {
            registry: Arc::clone(&self.registry),
            keeper,
            events,
            trials: trials.clone(),
            drain: self.drain.clone(),
        };
        let admin = admin::serve(self.admin, administered, close.clone()).await?;
        tokio::select! {
            () = stop => info!("stopping: no longer SERVING, answering what was accepted"),
            ended = &mut transport => return joined(ended),
        }
        admin.not_serving().await;
        let drained = drain(&self.settings, &self.drain, &mut health).await;
        trials.store_recent();
        close.cancel();
        health.forget().await;
        if timeout(CLOSING, async { tokio::join!(transport, http, admin.closed()) }).await.is_err() {
            info!("some clients keep idle connections open; closing them");
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

/// Metrics that know this build and which versions answer.
fn measured(registry: &Arc<Registry>, release: &str) -> Result<(Metrics, Exposition), ExpositionError> {
    let (metrics, exposition) = Metrics::new()?;
    metrics.build(env!("CARGO_PKG_VERSION"), release);
    let (answering, resident) = (Arc::clone(registry), Arc::clone(registry));
    metrics.observe_live(move || live(&answering));
    metrics.observe_age(move || ages(&resident));
    Ok((metrics, exposition))
}

fn live(registry: &Registry) -> Vec<Live> {
    let models = registry.models();
    let arms = models.iter().flat_map(|(name, model)| model.traffic.iter().map(move |traffic| (name, traffic)));
    let arms = arms.flat_map(|(name, traffic)| traffic.arms().iter().map(move |arm| (name, arm)));
    let live = |(name, arm): (&String, &Arm)| Live {
        model: name.clone(),
        version: arm.version.manifest.version,
        label: arm.label.to_string(),
    };
    arms.map(live).collect()
}

/// How long ago each version in memory was trained, in seconds.
fn ages(registry: &Registry) -> Vec<((String, u64), u64)> {
    let (models, now) = (registry.models(), Timestamp::now());
    let residents = models.iter().flat_map(|(name, model)| model.residents().map(move |resident| (name, resident)));
    let age = |(name, resident): (&String, &Resident)| {
        let manifest = &resident.version.manifest;
        let created: Timestamp = manifest.created_at.parse().ok()?;
        let age = now.duration_since(created).as_secs();
        Some(((name.clone(), manifest.version), u64::try_from(age).unwrap_or_default()))
    };
    residents.filter_map(age).collect()
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
