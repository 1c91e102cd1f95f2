//! Puts the rooms together, listens, and stops by draining.
//!
//! Order of a start: ports, threads, listeners (NOT_SERVING), models, SERVING.
//! Order of a stop: NOT_SERVING, refuse what is new, answer what was accepted,
//! close.

mod admin;
mod data;
mod health;
mod http;
mod identity;
mod incoming;
mod keeping;
mod measured;
mod observe;
mod page;
mod ports;
mod shares;
mod stopping;
mod summary;
mod telemetry;
mod tls;
mod transport;
mod trials;
mod watching;

use std::{io, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    api::{Administered, Drain, JsonError},
    config::{BatchConfig, Problem, RuntimeConfig, Settings},
    identity::FileError,
    model::Engines,
    registry::{Events, Registry, ScanError},
    stack::{BatchRules, Limits, RunnerError, Runners, ThreadSetup, assemble},
    telemetry::{ExpositionError, OtlpError},
};

use self::{
    http::Probed,
    measured::Measured,
    observe::ObserveLayer,
    page::{Page, Sources},
    ports::{Open, Ports},
    stopping::Stopping,
    summary::Summaries,
    transport::Rules,
};

pub use telemetry::{TelemetryError, log_to_stderr};
pub use tls::TlsError;

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
    /// Certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system refused the thread that looks at files.
    #[error("the thread that looks for new certificates did not start")]
    Watching(#[source] io::Error),
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
    /// Those who may ask are not known.
    #[error(transparent)]
    Identities(#[from] FileError),
    /// Nobody could give orders, or everybody.
    #[error(
        "server.admin_listen = {address}: can be reached from other machines, and auth.file has no identity with \
         the role publish"
    )]
    AdminPort {
        /// The setting.
        address: SocketAddr,
    },
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
    ports: Ports,
    registry: Arc<Registry>,
    drain: Drain,
}

impl Server {
    /// Reads certificates and identities, and opens the ports.
    ///
    /// # Errors
    ///
    /// [`ServerError::Listen`] names the port that can't be had, [`ServerError::Tls`] and
    /// [`ServerError::Identities`] the file.
    pub async fn bind(settings: Settings) -> Result<Self, ServerError> {
        let ports = Ports::bind(&settings).await?;
        Ok(Self { settings, ports, registry: Arc::default(), drain: Drain::default() })
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
        announce(&self.settings, engines.release());
        let Self { settings, ports, registry, drain } = self;
        ports.announce(&settings);
        let _watching = ports.watch_files()?;
        let (health, health_service) = health::health(&registry, &drain).await;
        let close = CancellationToken::new();
        let measured = Measured::new(&settings.telemetry, ports.data_address())?;
        measured.show(&registry, &drain, engines.release());
        let Measured { metrics, exposition, journeys, otlp } = measured;
        let admin_port = ports.admin_port();
        let Open { data, http, admin, gate } = ports.open(&settings, &metrics);
        // Each port counts for itself what waits to be read.
        let rules = || Rules::of(&settings.server);
        let runners = Runners::start(settings.runtime.runners(), batch_rules(&settings), &setup, &metrics)?;
        metrics.observe_queue(runners.watch());
        let summaries = Summaries::start(journeys.clone());
        let trials = trials::start(&settings, &registry, &metrics, &setup)?;
        let events = Events::new();

        let page = Page::start(Sources {
            registry: Arc::clone(&registry),
            drain: drain.clone(),
            exposition: exposition.clone(),
            events: events.clone(),
            trials: trials.clone(),
            noted: journeys.noted().clone(),
            libtorch: engines.release().to_owned(),
        })
        .map_err(ServerError::Page)?;
        let probed = Probed { registry: Arc::clone(&registry), drain: drain.clone(), exposition };
        let http = http::serve(http, gate.clone(), (probed, page.clone()), close.clone());

        let stack = assemble(limits(&settings), metrics.clone(), runners.clone());
        let rooms = data::Rooms { stack, trials: trials.clone(), metrics: metrics.clone(), admin_port };
        let routes = data::routes(&settings, &registry, &drain, rooms)?.add_service(health_service);
        let observe = ObserveLayer::new(metrics.clone(), journeys.clone());
        let mut transport = transport::serve(data, routes, (gate.clone(), observe, rules()), close.clone());

        let preparation = keeping::preparation(&settings, engines, (runners, trials.clone()), setup)?;
        let keeper = keeping::keep(&settings, &registry, &events, preparation, metrics)?;
        let _guard = trials::guard(&registry, &trials, &keeper);
        let _followed = page::follow(&page, &registry, &keeper);
        let noted = journeys.noted().clone();
        let administered =
            Administered { registry, keeper, events, trials: trials.clone(), noted, drain: drain.clone() };
        let admin = admin::serve((admin, gate, rules()), administered, close.clone()).await?;
        tokio::select! {
            () = stop => info!("stopping: no longer SERVING, answering what was accepted"),
            ended = &mut transport => return joined(ended),
        }
        let stopping = Stopping { health, trials, summaries, otlp, transport, http, admin, close };
        stopping.stop(&drain, settings.server.drain_timeout).await
    }
}

/// What this program is and has.
fn announce(settings: &Settings, release: &str) {
    let RuntimeConfig { device, intra_op_threads, .. } = &settings.runtime;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        libtorch = release,
        ?device,
        io_threads = settings.runtime.io_threads(),
        runners = settings.runtime.runners(),
        intra_op_threads,
        "souk starts"
    );
}

/// When batches run, and where.
fn batch_rules(settings: &Settings) -> BatchRules {
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

fn joined(ended: Result<(), JoinError>) -> Result<(), ServerError> {
    ended.map_err(ServerError::TransportPanicked)
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
