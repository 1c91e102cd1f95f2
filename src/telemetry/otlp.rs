//! Sends what is measured and traced to a collector, by OTLP over gRPC.
//!
//! One thread with a runtime of its own sends everything. Not a task among those of the
//! sockets: there a reply would wait while a thousand spans are written as protobuf, and the
//! last ones of a server that stops could not be waited for without blocking the thread that
//! has to send them. The thread has the usual priority: it takes the locks of histograms for
//! a moment, for which requests wait.
//!
//! Nothing is tried twice and nothing is kept for later: what a collector did not take is
//! counted and forgotten. A trouble is said once a minute, whatever it is.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use opentelemetry_proto::{
    tonic::collector::{
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    transform::{common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::{metrics::data::ResourceMetrics, trace::SpanData};
use thiserror::Error;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tracing::warn;

use super::{Exposition, Metrics, Signal};

/// How long a collector may take to answer: less than the time between two pushes of
/// metrics, so that never more than one is on its way.
const ANSWER: Duration = Duration::from_secs(5);

/// How long what is left may take when the server stops.
const LAST: Duration = Duration::from_secs(1);

/// Time between two warnings.
const QUIET: Duration = Duration::from_secs(60);

/// How long a connection may be silent in the midst of a call before the collector is asked
/// whether it is there; one that vanished would else cost each call its whole time.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Nothing can be sent.
#[derive(Debug, Error)]
pub enum OtlpError {
    /// The collector's address is of no use.
    #[error("telemetry.otlp_endpoint = {endpoint:?} is of no use")]
    Endpoint {
        /// The setting's value.
        endpoint: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// The system refused the thread.
    #[error("the thread that sends telemetry did not start")]
    Thread(#[from] io::Error),
}

/// The thread that sends telemetry. It ends when this is dropped.
pub struct Otlp {
    collector: Collector,
    io: Handle,
    tasks: TaskTracker,
    stopping: CancellationToken,
    ended: oneshot::Receiver<()>,
}

/// Who takes the telemetry. Clones share a connection, which is opened when there is
/// something to send, and again after it broke.
#[derive(Clone)]
pub(super) struct Collector {
    channel: Channel,
    resource: Arc<ResourceAttributesWithSchema>,
    trouble: Arc<Trouble>,
}

/// Counts what was not sent, and says so now and then.
struct Trouble {
    endpoint: String,
    metrics: Metrics,
    said: Mutex<Option<Instant>>,
}

impl Otlp {
    /// Starts the thread, which sends what is measured from now on.
    ///
    /// # Errors
    ///
    /// [`OtlpError`] where `endpoint` is no URL to connect to, or there is no thread.
    pub fn start(endpoint: &str, metrics: &Metrics, exposition: &Exposition) -> Result<Self, OtlpError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (tasks, stopping, io) = (TaskTracker::new(), CancellationToken::new(), runtime.handle().clone());
        let channel = {
            let _here = io.enter();
            channel(endpoint).map_err(|source| OtlpError::Endpoint { endpoint: endpoint.into(), source })?
        };
        let (over, ended) = oneshot::channel();
        let (open, stopped) = (tasks.clone(), stopping.clone());
        thread::Builder::new().name("otlp".into()).spawn(move || {
            runtime.block_on(async {
                stopped.cancelled().await;
                let _ = timeout(LAST, open.wait()).await;
            });
            // Without its destructors: they wait for the system's answers about names.
            runtime.shutdown_background();
            let _ = over.send(());
        })?;
        let trouble = Trouble { endpoint: endpoint.into(), metrics: metrics.clone(), said: Mutex::default() };
        let resource = Arc::new(exposition.resource().into());
        let collector = Collector { channel, resource, trouble: Arc::new(trouble) };
        let otlp = Self { collector, io, tasks, stopping, ended };
        if let Some(reader) = exposition.pushed() {
            otlp.spawn(|collector, stopping| reader.push(collector, stopping));
        }
        Ok(otlp)
    }

    /// Has the thread do a task. Once the token is cancelled it should send what it still
    /// has and end: a second later it is ended.
    pub(super) fn spawn<F>(&self, task: impl FnOnce(Collector, CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn_on(task(self.collector.clone(), self.stopping.clone()), &self.io);
    }

    /// Sends what there is still to send, for a second at most.
    pub async fn finish(mut self) {
        self.end();
        // The thread keeps the time. A bit more, for it to be slow in its turn.
        let _ = timeout(2 * LAST, &mut self.ended).await;
    }

    fn end(&self) {
        self.tasks.close();
        self.stopping.cancel();
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        self.end();
    }
}

/// Not yet connected; to be called where tasks can be spawned.
fn channel(endpoint: &str) -> Result<Channel, tonic::transport::Error> {
    let to = Endpoint::from_shared(endpoint.to_owned())?
        .user_agent(concat!("souk/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(ANSWER)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    let encrypted = to.uri().scheme_str() == Some("https");
    let to = if encrypted { to.tls_config(ClientTlsConfig::new().with_enabled_roots())? } else { to };
    Ok(to.connect_lazy())
}

impl Collector {
    /// Sends all metrics.
    pub(super) async fn metrics(&self, measured: &ResourceMetrics) {
        let mut client = MetricsServiceClient::new(self.channel.clone());
        let sent = async {
            let reply = client.export(ExportMetricsServiceRequest::from(measured)).await?.into_inner();
            let rejected = reply.partial_success.filter(|partial| partial.rejected_data_points > 0);
            rejected.map_or(Ok(()), |partial| Err(refusal(partial.rejected_data_points, &partial.error_message)))
        };
        self.sent(Signal::Metrics, sent).await;
    }

    /// Sends spans, which may be of different traces.
    pub(super) async fn spans(&self, spans: Vec<SpanData>) {
        let mut client = TraceServiceClient::new(self.channel.clone());
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let sent = async {
            let reply = client.export(ExportTraceServiceRequest { resource_spans }).await?.into_inner();
            let rejected = reply.partial_success.filter(|partial| partial.rejected_spans > 0);
            rejected.map_or(Ok(()), |partial| Err(refusal(partial.rejected_spans, &partial.error_message)))
        };
        self.sent(Signal::Traces, sent).await;
    }

    async fn sent(&self, signal: Signal, sent: impl Future<Output = Result<(), Status>>) {
        let late = |_| Err(Status::deadline_exceeded(format!("no answer within {ANSWER:?}")));
        if let Err(status) = timeout(ANSWER, sent).await.unwrap_or_else(late) {
            self.trouble.happened(signal, &status);
        }
    }
}

fn refusal(count: i64, message: &str) -> Status {
    Status::invalid_argument(format!("{count} were rejected: {message}"))
}

impl Trouble {
    fn happened(&self, signal: Signal, status: &Status) {
        self.metrics.export_failed(signal);
        if self.is_to_be_said() {
            let (signal, endpoint) = (signal.as_str(), &self.endpoint);
            let (code, error) = (status.code(), status.message());
            warn!(signal, endpoint, ?code, error, "telemetry can't be sent; callers are answered all the same");
        }
    }

    /// At most once in a while, whatever it is.
    fn is_to_be_said(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = said.is_none_or(|said| said.elapsed() >= QUIET);
        if is_due {
            *said = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests;
