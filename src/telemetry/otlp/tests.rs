use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Request, Response, transport::Server};

use super::*;
use crate::telemetry::Identity;

/// Longer than anything here takes on a machine that is busy with else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A collector that hands over what it gets, and rejects one point of each push.
#[derive(Clone)]
struct Picky(mpsc::UnboundedSender<ExportMetricsServiceRequest>);

#[tonic::async_trait]
impl MetricsService for Picky {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let _ = self.0.send(request.into_inner());
        let partial = ExportMetricsPartialSuccess { rejected_data_points: 1, error_message: "too old".into() };
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: Some(partial) }))
    }
}

#[tonic::async_trait]
impl TraceService for Picky {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Err(Status::resource_exhausted("no more traces today"))
    }
}

async fn picky() -> (String, mpsc::UnboundedReceiver<ExportMetricsServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = mpsc::unbounded_channel();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = Server::builder()
        .add_service(MetricsServiceServer::new(Picky(sender.clone())))
        .add_service(TraceServiceServer::new(Picky(sender)))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    (endpoint, received)
}

fn started(endpoint: &str) -> (Metrics, Exposition, Otlp) {
    let identity = Identity { version: "0.1.0", instance: "host:50051".into() };
    let (metrics, exposition) = Metrics::pushed_as(&identity).unwrap();
    let otlp = Otlp::start(endpoint, &metrics, &exposition).unwrap();
    (metrics, exposition, otlp)
}

/// Pushes of a signal that failed so far.
fn failures(exposition: &Exposition, signal: &str) -> u64 {
    let text = exposition.text().unwrap();
    let name = format!("souk_telemetry_export_failures_total{{signal=\"{signal}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

/// Names of what was pushed.
fn names(push: &ExportMetricsServiceRequest) -> Vec<&str> {
    let scopes = push.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).map(|metric| metric.name.as_str()).collect()
}

#[tokio::test]
async fn a_collector_gets_metrics_at_the_start_and_at_the_end_and_who_sent_them() {
    let (endpoint, mut received) = picky().await;
    let (metrics, _exposition, otlp) = started(&endpoint);
    let first = timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
    assert!(names(&first).contains(&"souk_runner_restarts_total"), "{:?}", names(&first));
    assert!(!names(&first).contains(&"souk_requests_total"), "{:?}", names(&first));
    let attributes = &first.resource_metrics[0].resource.as_ref().unwrap().attributes;
    let mut keys: Vec<_> = attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["service.instance.id", "service.name", "service.version"]);

    metrics.request("souk.v1.X/Y", "OK", Duration::from_millis(3));
    otlp.finish().await;
    let last = timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
    assert!(names(&last).contains(&"souk_requests_total"), "{:?}", names(&last));
}

#[tokio::test]
async fn what_a_collector_rejects_is_counted_by_signal() {
    let (endpoint, _received) = picky().await;
    let (_metrics, exposition, otlp) = started(&endpoint);
    until(|| failures(&exposition, "metrics") == 1).await;
    assert_eq!(failures(&exposition, "traces"), 0);
    otlp.spawn(async |collector, _stopping| collector.spans(Vec::new()).await);
    until(|| failures(&exposition, "traces") == 1).await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_counted() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (_metrics, exposition, _otlp) = started(&endpoint);
    until(|| failures(&exposition, "metrics") == 1).await;
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_nobody_up() {
    // Connections wait in its backlog.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (metrics, exposition, otlp) = started(&format!("http://{}", silent.local_addr().unwrap()));
    metrics.request("souk.v1.X/Y", "OK", Duration::from_millis(3));
    assert!(exposition.text().unwrap().contains("souk_requests_total"));
    timeout(PATIENCE, otlp.finish()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn trouble_is_said_once_a_minute() {
    let (metrics, _) = Metrics::new().unwrap();
    let trouble = Trouble { endpoint: "http://nowhere".into(), metrics, said: Mutex::default() };
    assert!(trouble.is_to_be_said());
    assert!(!trouble.is_to_be_said());
    tokio::time::advance(QUIET - Duration::from_millis(1)).await;
    assert!(!trouble.is_to_be_said());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(trouble.is_to_be_said());
    assert!(!trouble.is_to_be_said());
}

#[test]
fn an_endpoint_may_be_encrypted_and_must_be_a_url() {
    let (metrics, exposition) = Metrics::new().unwrap();
    assert!(Otlp::start("https://collector.example:4317", &metrics, &exposition).is_ok());
    let said = Otlp::start("no url", &metrics, &exposition).err().unwrap().to_string();
    assert!(said.contains(r#"telemetry.otlp_endpoint = "no url""#), "{said}");
}
