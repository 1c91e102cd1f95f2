//! `/livez` and `/readyz` over HTTP/1, for probes and people.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde::Serialize;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::health::is_ready;
use crate::{
    api::Drain,
    registry::{Model, Registry, STABLE},
};

#[derive(Clone)]
struct Probed {
    registry: Arc<Registry>,
    drain: Drain,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    draining: bool,
    models: Vec<ModelReadiness>,
}

#[derive(Serialize)]
struct ModelReadiness {
    model: String,
    preparing: bool,
    live: Option<LiveVersion>,
    rejected: Vec<RejectedVersion>,
}

#[derive(Serialize)]
struct LiveVersion {
    version: u64,
    label: &'static str,
    digest: String,
}

#[derive(Serialize)]
struct RejectedVersion {
    version: u64,
    problems: Vec<String>,
}

/// Serves until `close`.
pub(super) fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    drain: Drain,
    close: CancellationToken,
) -> JoinHandle<Result<(), std::io::Error>> {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .with_state(Probed { registry, drain });
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { close.cancelled().await });
    tokio::spawn(served.into_future())
}

/// 200 while requests are welcome, else 503; the body says what there is and
/// what was rejected, with all reasons.
async fn readyz(State(probed): State<Probed>) -> (StatusCode, Json<Readiness>) {
    let models = probed.registry.models();
    let draining = probed.drain.has_begun();
    let ready = is_ready(&models) && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let models = models.iter().map(|(name, model)| readiness(name, model)).collect();
    (status, Json(Readiness { ready, draining, models }))
}

fn readiness(name: &str, model: &Model) -> ModelReadiness {
    let live = model.live.as_ref().map(|version| LiveVersion {
        version: version.manifest.version,
        label: STABLE,
        digest: version.digest.clone(),
    });
    let rejected = model
        .rejected
        .iter()
        .map(|rejected| RejectedVersion { version: rejected.version, problems: rejected.problems.clone() });
    ModelReadiness { model: name.to_owned(), preparing: model.preparing, live, rejected: rejected.collect() }
}
