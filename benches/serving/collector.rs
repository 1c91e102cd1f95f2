//! A collector of telemetry that keeps nothing, well or badly.

use std::{net::SocketAddr, time::Duration};

use clap::ValueEnum;
use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tonic::{Request, Response, Status, async_trait, transport::Server};

/// Longer than any exporter waits.
const SLOW: Duration = Duration::from_secs(60);

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manner {
    /// At once.
    Well,
    /// After a minute.
    Slowly,
    /// That it has no room.
    Refusing,
}

struct Collector(Manner);

impl Collector {
    async fn answer<T: Default>(&self) -> Result<Response<T>, Status> {
        match self.0 {
            Manner::Well => {}
            Manner::Slowly => tokio::time::sleep(SLOW).await,
            Manner::Refusing => return Err(Status::resource_exhausted("no room")),
        }
        Ok(Response::new(T::default()))
    }
}

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.answer().await
    }
}

#[async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        _: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.answer().await
    }
}

/// Collects on `listen` until it is killed.
pub(crate) fn run(listen: SocketAddr, manner: Manner) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_health, health) = tonic_health::server::health_reporter();
        let (traces, metrics) =
            (TraceServiceServer::new(Collector(manner)), MetricsServiceServer::new(Collector(manner)));
        let server = Server::builder().add_service(health).add_service(traces).add_service(metrics);
        Ok(server.serve(listen).await?)
    })
}
