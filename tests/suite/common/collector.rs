//! A collector of OpenTelemetry's: takes what a server sends and keeps it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

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
    trace::v1::Span,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::program::PATIENCE;

/// Listens until its runtime ends. Clones have the same.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Taken>>);

/// What was sent, in its order.
#[derive(Default)]
struct Taken {
    metrics: Vec<ExportMetricsServiceRequest>,
    traces: Vec<ExportTraceServiceRequest>,
}

impl Collector {
    /// A collector, and its `telemetry.otlp_endpoint`.
    pub(crate) async fn listening() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let collector = Self::default();
        let served = Server::builder()
            .add_service(MetricsServiceServer::new(collector.clone()))
            .add_service(TraceServiceServer::new(collector.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(served);
        (collector, format!("http://{address}"))
    }

    /// Pushes of metrics so far.
    pub(crate) fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        self.0.lock().unwrap().metrics.clone()
    }

    /// Spans so far.
    #[allow(dead_code, reason = "for tests of traces")]
    pub(crate) fn spans(&self) -> Vec<Span> {
        let traces = self.0.lock().unwrap().traces.clone();
        let resources = traces.into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// Waits until what was taken so far is as wanted.
    pub(crate) async fn has(&self, wanted: impl Fn(&Self) -> bool) {
        let having = async {
            while !wanted(self) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, having).await.unwrap();
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.lock().unwrap().metrics.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().traces.push(request.into_inner());
        Ok(Response::new(Default::default()))
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

/// An attribute as text.
pub(crate) fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
