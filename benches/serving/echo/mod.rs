//! The ceiling of gRPC: a server that decodes the same requests and answers each
//! row with a canned forecast or output of the same form and size, without a model.
//!
//! A plain tonic server with as many threads as there are cores: what most people
//! would write first.

mod infer;

use std::{net::SocketAddr, thread::available_parallelism};

use souk::api::proto::{
    inference::grpc_inference_service_server::GrpcInferenceServiceServer,
    v1::{
        GmvForecast, GmvQuantile, GmvResult, Lane, Merchant, PredictGmvRequest, PredictGmvResponse, ServedBy, Timing,
        gmv_result::Outcome,
        merchant_gmv_service_server::{MerchantGmvService, MerchantGmvServiceServer},
    },
};
use tokio::net::TcpListener;
use tokio_stream::{Empty, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, async_trait, transport::Server};

struct Echo;

/// Serves on `listen` until it is killed.
pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let cores = available_parallelism()?.get();
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores).enable_all().build()?.block_on(serve(listen))
}

async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let incoming = TcpListenerStream::new(TcpListener::bind(listen).await?).map(|socket| {
        let socket = socket?;
        socket.set_nodelay(true)?;
        Ok::<_, std::io::Error>(socket)
    });
    let (_health, health) = tonic_health::server::health_reporter();
    let echo = MerchantGmvServiceServer::new(Echo).max_decoding_message_size(8 << 20);
    let infer = GrpcInferenceServiceServer::new(infer::Infer).max_decoding_message_size(8 << 20);
    let server = Server::builder().add_service(health).add_service(echo).add_service(infer);
    Ok(server.serve_with_incoming(incoming).await?)
}

#[async_trait]
impl MerchantGmvService for Echo {
    type StreamGmvStream = Empty<Result<PredictGmvResponse, Status>>;

    async fn predict_gmv(&self, request: Request<PredictGmvRequest>) -> Result<Response<PredictGmvResponse>, Status> {
        let merchants = request.into_inner().merchants;
        let batch_rows = u32::try_from(merchants.len()).unwrap_or(u32::MAX);
        let timing = Timing {
            queue: Some(microseconds(20)),
            compute: Some(microseconds(200)),
            batch_rows,
            decode: Some(microseconds(10)),
            lane: Lane::Interactive.into(),
        };
        Ok(Response::new(PredictGmvResponse {
            results: merchants.into_iter().map(canned).collect(),
            served_by: Some(served_by()),
            timing: Some(timing),
        }))
    }

    async fn stream_gmv(
        &self,
        _request: Request<Streaming<PredictGmvRequest>>,
    ) -> Result<Response<Self::StreamGmvStream>, Status> {
        Err(Status::unimplemented("nothing compares streams"))
    }
}

fn canned(merchant: Merchant) -> GmvResult {
    let quantile = |(probability, gmv)| GmvQuantile { probability, gmv };
    let forecast = GmvForecast {
        expected_gmv: 43_210.123_4,
        active_probability: 0.971_234,
        quantiles: [(0.1, 21_098.765_4), (0.5, 40_123.456_7), (0.9, 70_987.654_3)].map(quantile).into(),
        currency: "CNY".into(),
        horizon_days: 28,
    };
    GmvResult {
        merchant_id: merchant.merchant_id,
        outcome: Some(Outcome::Forecast(forecast)),
        defaulted_features: Vec::new(),
        served_by: None,
    }
}

fn served_by() -> ServedBy {
    ServedBy { model: "merchant_gmv".into(), version: 1, label: "stable".into(), digest: "0".repeat(64) }
}

fn microseconds(count: i32) -> prost_types::Duration {
    prost_types::Duration { seconds: 0, nanos: count * 1000 }
}
