//! `grpc.health.v1.Health`, kept true by the registry.
//!
//! A domain service is SERVING while its model has a live version. The server as
//! a whole (`""`) and the services without a model are SERVING once every model
//! was prepared and at least one is live: one broken model must not take the
//! other from its users.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as HealthRpc, HealthServer},
    server::{HealthReporter, HealthService},
};
use tracing::info;

use crate::{
    api::{Drain, INFERENCE_SERVICE, SERVICES},
    manifest::Task,
    registry::{Models, Registry, is_ready},
};

/// Services of each port that are not about one model.
pub(super) const OTHERS: [&str; 5] = [
    "",
    INFERENCE_SERVICE,
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The statuses, and the task that keeps them true.
pub(super) struct Health {
    reporter: HealthReporter,
    /// Until the server leaves.
    follow: Option<AbortOnDropHandle<()>>,
}

/// Starts with NOT_SERVING for all.
pub(super) async fn health(registry: &Arc<Registry>, drain: &Drain) -> (Health, HealthServer<impl HealthRpc>) {
    let reporter = HealthReporter::new();
    // tonic-health begins with SERVING for "".
    report(&reporter, |_service| false).await;
    let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
    let follow = tokio::spawn(follow(Arc::clone(registry), reporter.clone(), drain.clone()));
    (Health { reporter, follow: Some(AbortOnDropHandle::new(follow)) }, service)
}

impl Health {
    /// NOT_SERVING for all; the drain has begun or is about to.
    pub(super) async fn not_serving(&mut self) {
        if let Some(follow) = self.follow.take() {
            follow.abort();
            // An abort takes effect where the task next waits. Until it ended it may
            // still report SERVING, and would do so after the line below.
            let _ = follow.await;
        }
        report(&self.reporter, |_service| false).await;
    }

    /// Ends all `Watch` streams, which would otherwise hold their connections.
    pub(super) async fn forget(&self) {
        let mut reporter = self.reporter.clone();
        for service in names() {
            reporter.clear_service_status(service).await;
        }
    }
}

async fn follow(registry: Arc<Registry>, reporter: HealthReporter, drain: Drain) {
    let mut changes = registry.changes();
    let mut was_ready = false;
    loop {
        if drain.has_begun() {
            return;
        }
        let models = registry.models();
        report(&reporter, |service| serves(&models, service)).await;
        let ready = is_ready(&models);
        if ready && !was_ready {
            info!("SERVING");
        }
        was_ready = ready;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn is_live(models: &Models, task: Task) -> bool {
    models.get(task.as_str()).is_some_and(|model| model.traffic.is_some())
}

fn serves(models: &Models, service: &str) -> bool {
    match SERVICES.iter().find(|(name, _)| *name == service) {
        Some((_, task)) => is_live(models, *task),
        None => is_ready(models),
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(SERVICES.iter().map(|(name, _)| *name))
}

async fn report(reporter: &HealthReporter, serves: impl Fn(&str) -> bool) {
    for service in names() {
        let status = if serves(service) { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(service, status).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_reports_any_more_once_it_is_not_serving() {
        let registry = Arc::new(Registry::new());
        let (mut health, _service) = health(&registry, &Drain::default()).await;
        assert_eq!(Arc::strong_count(&registry), 2, "the task that follows it has one");
        health.not_serving().await;
        assert_eq!(Arc::strong_count(&registry), 1);
    }
}
