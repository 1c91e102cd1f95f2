//! A collector of telemetry, by OTLP over gRPC.

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data, number_data_point},
    trace::v1::{Span, span::SpanKind},
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait, transport::Server};

use super::program::PATIENCE;

/// Keeps the spans and metrics that it gets.
pub(crate) struct Collector {
    pub(crate) url: String,
    spans: watch::Receiver<Vec<Span>>,
    pushes: watch::Receiver<Vec<ExportMetricsServiceRequest>>,
}

#[derive(Clone)]
struct Taking {
    spans: watch::Sender<Vec<Span>>,
    pushes: watch::Sender<Vec<ExportMetricsServiceRequest>>,
}

/// Takes nothing.
#[derive(Clone)]
struct Refusing;

#[async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let spans: Vec<Span> = scopes.flat_map(|scope| scope.spans).collect();
        self.spans.send_modify(|taken| taken.extend(spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[async_trait]
impl MetricsService for Taking {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.pushes.send_modify(|taken| taken.push(request.into_inner()));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[async_trait]
impl MetricsService for Refusing {
    async fn export(
        &self,
        _: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Err(Status::resource_exhausted("no more today"))
    }
}

#[async_trait]
impl TraceService for Refusing {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Err(Status::resource_exhausted("no more today"))
    }
}

impl Collector {
    /// One that takes all.
    pub(crate) async fn taking() -> Self {
        let ((spans, of_spans), (pushes, of_pushes)) = (watch::channel(Vec::new()), watch::channel(Vec::new()));
        Self { url: serve(Taking { spans, pushes }).await, spans: of_spans, pushes: of_pushes }
    }

    /// Waits until there are such pushes of metrics, and gives all that there are.
    pub(crate) async fn pushes_when(
        &self,
        enough: impl Fn(&[ExportMetricsServiceRequest]) -> bool,
    ) -> Vec<ExportMetricsServiceRequest> {
        let mut pushes = self.pushes.clone();
        // An error where the time is up.
        let _ = timeout(PATIENCE, pushes.wait_for(|pushes| enough(pushes))).await;
        let pushes = pushes.borrow().clone();
        assert!(enough(&pushes), "{pushes:#?}");
        pushes
    }

    /// Waits until there are such spans, and gives all that there are.
    pub(crate) async fn spans_when(&self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut spans = self.spans.clone();
        // An error where the time is up.
        let _ = timeout(PATIENCE, spans.wait_for(|spans| enough(spans))).await;
        let spans = spans.borrow().clone();
        assert!(enough(&spans), "{spans:#?}");
        spans
    }
}

/// The address of one that refuses all.
pub(crate) async fn refusing() -> String {
    serve(Refusing).await
}

async fn serve<S: TraceService + MetricsService + Clone>(service: S) -> String {
    let (url, listener) = listening().await;
    let served = Server::builder()
        .add_service(TraceServiceServer::new(service.clone()))
        .add_service(MetricsServiceServer::new(service))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(served);
    url
}

/// A port, and who accepts there.
pub(crate) async fn listening() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// The spans of this name.
pub(crate) fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The spans of calls.
pub(crate) fn calls(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == SpanKind::Server).collect()
}

/// What a span says of this.
pub(crate) fn text(span: &Span, key: &str) -> Option<String> {
    attribute(&span.attributes, key)
}

/// What attributes say of this.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} = {other:?}"),
    }
}

/// The metric of this name in a push.
pub(crate) fn metric<'p>(push: &'p ExportMetricsServiceRequest, name: &str) -> Option<&'p Metric> {
    let scopes = push.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).find(|metric| metric.name == name)
}

/// The values of a counter or a gauge, added up.
pub(crate) fn sum(metric: &Metric) -> f64 {
    let points = match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        other => panic!("neither a counter nor a gauge: {other:?}"),
    };
    let values = points.iter().map(|point| match point.value.unwrap() {
        number_data_point::Value::AsDouble(value) => value,
        number_data_point::Value::AsInt(value) => value as f64,
    });
    values.sum()
}
