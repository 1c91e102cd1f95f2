//! What the data port serves, but for health: the domain services, the Open
//! Inference Protocol and reflection.

use std::sync::Arc;

use tonic::{codec::CompressionEncoding, service::Routes};

use super::ServerError;
use crate::{
    api::{
        Drain, GmvEndpoint, GrpcInferenceServiceServer, InferenceEndpoint, MerchantGmvServiceServer, PortraitEndpoint,
        Scoring, UserPortraitServiceServer, proto::DESCRIPTORS, today_utc,
    },
    config::Settings,
    registry::Registry,
    stack::Stack,
    telemetry::Metrics,
    trial::Trials,
};

/// What the services need beside what they are told of models.
pub(super) struct Rooms {
    pub(super) stack: Stack,
    pub(super) trials: Trials,
    pub(super) metrics: Metrics,
    /// Where orders are taken, for who gives them here.
    pub(super) admin_port: u16,
}

/// All services of the data port but health.
pub(super) fn routes(
    settings: &Settings,
    registry: &Arc<Registry>,
    drain: &Drain,
    rooms: Rooms,
) -> Result<Routes, ServerError> {
    let Rooms { stack, trials, metrics, admin_port } = rooms;
    let scoring = Scoring {
        registry: Arc::clone(registry),
        stack,
        trials,
        metrics,
        max_rows: settings.server.max_rows_per_request,
        drain: drain.clone(),
        today: today_utc,
    };
    let most = usize::try_from(settings.server.max_message_bytes.as_u64()).unwrap_or(usize::MAX);
    let gmv = MerchantGmvServiceServer::new(GmvEndpoint::new(scoring.clone()))
        .max_decoding_message_size(most)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd);
    let portraits = UserPortraitServiceServer::new(PortraitEndpoint::new(scoring.clone()))
        .max_decoding_message_size(most)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd);
    // Replies leave as they are: every client of gRPC's own libraries says that it takes
    // gzip, and compressing a tensor takes longer than sending it.
    let inference = GrpcInferenceServiceServer::new(InferenceEndpoint::data(scoring, admin_port))
        .max_decoding_message_size(most)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Deflate);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // No service: so that clients by reflection can read the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(gmv)
        .add_service(portraits)
        .add_service(inference)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
