//! The end of a server: NOT_SERVING, refuse what is new, answer what was accepted, close.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{ServerError, admin::AdminPort, health::Health, summary::Summaries};
use crate::{api::Drain, telemetry::Otlp, trial::Trials};

/// How long connections may take to close once all work is done, and then the last push to
/// a collector: long enough for a client to read its last reply, short enough not to be
/// noticed.
const CLOSING: Duration = Duration::from_secs(1);

/// All that has an end of its own.
pub(super) struct Stopping {
    pub(super) health: Health,
    pub(super) trials: Trials,
    pub(super) summaries: Summaries,
    /// Where there is a collector.
    pub(super) otlp: Option<Otlp>,
    /// The data port's.
    pub(super) transport: JoinHandle<()>,
    pub(super) http: JoinHandle<()>,
    pub(super) admin: AdminPort,
    /// Asks all connections to close.
    pub(super) close: CancellationToken,
}

impl Stopping {
    /// Drains for so long at most, and closes.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotDrained`], once all is closed.
    pub(super) async fn stop(mut self, drain: &Drain, after: Duration) -> Result<(), ServerError> {
        self.admin.not_serving().await;
        // First, so that nobody is sent here whom the next line would refuse.
        self.health.not_serving().await;
        let drained = drained(drain, after).await;
        self.trials.store_recent();
        self.summaries.finish().await;
        self.close.cancel();
        self.health.forget().await;
        let closed = async { tokio::join!(self.transport, self.http, self.admin.closed()) };
        if timeout(CLOSING, closed).await.is_err() {
            info!("some clients keep idle connections open; closing them");
        }
        if let Some(otlp) = self.otlp {
            otlp.finish(CLOSING).await;
        }
        drained
    }
}

async fn drained(drain: &Drain, after: Duration) -> Result<(), ServerError> {
    drain.begin();
    if timeout(after, drain.answered()).await.is_ok() {
        info!("all accepted work was answered");
        return Ok(());
    }
    let open = drain.open();
    error!(open, "the drain took too long; giving up");
    Err(ServerError::NotDrained { open, after })
}
