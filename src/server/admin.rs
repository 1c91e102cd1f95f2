//! The admin port: `ModelService`, what the Open Inference Protocol says of models and
//! orders of them, health and reflection.
//!
//! It is not the data port: whoever may ask for a forecast may not choose who
//! answers. Its health tells of itself, and not of the models.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use super::{
    ServerError,
    health::OTHERS,
    identity::Gate,
    incoming::Incoming,
    transport::{self, Rules},
};
use crate::api::{
    ADMIN_SERVICE, AdminEndpoint, Administered, GrpcInferenceServiceServer, InferenceEndpoint,
    proto::{ADMIN_DESCRIPTORS, v1::model_service_server::ModelServiceServer},
};

/// Connections at a time: many more than there are people and scripts.
pub(super) const CONNECTIONS: u32 = 64;

/// Largest message that is read. A policy has some kilobytes at most.
const MESSAGE_BYTES: usize = 64 * 1024;

/// The port, once it serves.
pub(super) struct AdminPort {
    health: HealthReporter,
    transport: JoinHandle<()>,
}

/// Serves until `close`, and then until all connections are closed.
///
/// # Errors
///
/// [`ServerError::Reflection`], which would be a mistake of the build.
pub(super) async fn serve(
    (incoming, gate, rules): (Incoming, Gate, Rules),
    admin: Administered,
    close: CancellationToken,
) -> Result<AdminPort, ServerError> {
    let health = HealthReporter::new();
    report(&health, ServingStatus::Serving).await;
    let service = HealthServer::new(HealthService::from_health_reporter(health.clone()));
    let routes = routes(admin)?.add_service(service);
    let transport = transport::serve_admin(incoming, routes, (gate, rules), close);
    Ok(AdminPort { health, transport })
}

impl AdminPort {
    /// NOT_SERVING, since the drain has begun or is about to.
    pub(super) async fn not_serving(&self) {
        report(&self.health, ServingStatus::NotServing).await;
    }

    /// Waits until all connections are closed, once that was asked for.
    pub(super) async fn closed(mut self) {
        // `Watch` streams would hold their connections.
        for service in services() {
            self.health.clear_service_status(service).await;
        }
        // The data port's end says how the server ended.
        let _ = self.transport.await;
    }
}

fn routes(admin: Administered) -> Result<Routes, ServerError> {
    let Administered { registry, keeper, drain, .. } = admin.clone();
    let inference = GrpcInferenceServiceServer::new(InferenceEndpoint::admin(registry, keeper, drain))
        .max_decoding_message_size(MESSAGE_BYTES);
    let models = ModelServiceServer::new(AdminEndpoint::new(admin)).max_decoding_message_size(MESSAGE_BYTES);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(ADMIN_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(models)
        .add_service(inference)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

fn services() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain([ADMIN_SERVICE])
}

async fn report(health: &HealthReporter, status: ServingStatus) {
    for service in services() {
        health.set_service_status(service, status).await;
    }
}
