//! A collector of telemetry, by OTLP over gRPC.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait, transport::Server};

use super::program::PATIENCE;

/// Keeps the spans that it gets.
pub(crate) struct Collector {
    pub(crate) url: String,
    spans: watch::Receiver<Vec<Span>>,
}

#[derive(Clone)]
struct Taking(watch::Sender<Vec<Span>>);

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
        self.0.send_modify(|taken| taken.extend(spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
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
        let (taken, spans) = watch::channel(Vec::new());
        Self { url: serve(TraceServiceServer::new(Taking(taken))).await, spans }
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
    serve(TraceServiceServer::new(Refusing)).await
}

async fn serve<S: TraceService>(service: TraceServiceServer<S>) -> String {
    let (url, listener) = listening().await;
    let served = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
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
    let found = |attribute: &&KeyValue| attribute.key == key;
    match span.attributes.iter().find(found)?.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} = {other:?}"),
    }
}
