//! `/livez`, `/readyz` and `/metrics` over HTTP/1, for probes and Prometheus, and the page
//! for people.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    identity::{Gate, Guarded, Stranger},
    incoming::Incoming,
    page::{self, Page},
};
use crate::{
    api::Drain,
    registry::{Arm, Model, Registry, is_ready},
    telemetry::Exposition,
};

/// Connections at a time. A tab with the page holds up to six for as long as it is open,
/// and probes come by the same door: so many that people's tabs leave room for `/livez`.
pub(super) const CONNECTIONS: u32 = 512;

/// How long a request's head may take, and a connection be idle before it; probes
/// wait no longer than some seconds themselves.
const HEAD: Duration = Duration::from_secs(10);

/// Longest head of a request, in bytes, as on the gRPC ports; a longer one is answered with 431.
const HEADERS: usize = 16 * 1024;

/// What can be asked about.
#[derive(Clone)]
pub(super) struct Probed {
    pub(super) registry: Arc<Registry>,
    pub(super) drain: Drain,
    pub(super) exposition: Exposition,
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
    /// The stable version.
    live: Option<LiveVersion>,
    /// All versions that answer by a label, `stable` first.
    labels: Vec<LiveVersion>,
    rejected: Vec<RejectedVersion>,
}

#[derive(Serialize, Clone)]
struct LiveVersion {
    version: u64,
    label: String,
    percent: f64,
    digest: String,
}

#[derive(Serialize)]
struct RejectedVersion {
    /// `null` for what is wrong with the model's folder or policy.
    version: Option<u64>,
    problems: Vec<String>,
}

/// Serves until `close`.
pub(super) fn serve(
    incoming: Incoming,
    gate: Gate,
    (probed, page): (Probed, Page),
    close: CancellationToken,
) -> JoinHandle<()> {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probed)
        .merge(page::routes(page));
    tokio::spawn(accept(incoming, gate, router, close))
}

/// Not `axum::serve`: it sets no timer, so that a peer that never ends its
/// request's head would hold its connection for ever.
async fn accept(incoming: Incoming, gate: Gate, router: Router, close: CancellationToken) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEADERS);
    let open = GracefulShutdown::new();
    while let Some(connection) = close.run_until_cancelled(incoming.accept()).await {
        let guarded = Guarded { routes: router.clone(), gate: gate.clone(), peer: connection.peer() };
        let service = TowerToHyperService::new(guarded);
        // Where it fails the peer is gone, and there is nobody to tell.
        tokio::spawn(open.watch(protocol.serve_connection(TokioIo::new(connection), service)));
    }
    drop(incoming);
    open.shutdown().await;
}

/// 200 while requests are welcome, else 503; the body says what there is and
/// what was rejected, with all reasons, to who may know that.
async fn readyz(State(probed): State<Probed>, stranger: Option<Extension<Stranger>>) -> (StatusCode, Json<Readiness>) {
    let models = probed.registry.models();
    let draining = probed.drain.has_begun();
    let ready = is_ready(&models) && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = models.iter().filter(|_| stranger.is_none());
    let models = told.map(|(name, model)| readiness(name, model)).collect();
    (status, Json(Readiness { ready, draining, models }))
}

fn readiness(name: &str, model: &Model) -> ModelReadiness {
    let labels: Vec<_> = model.traffic.iter().flat_map(|traffic| traffic.arms()).map(live).collect();
    let rejected = model.rejected().map(|(version, problems)| (Some(version), problems));
    let folder = Some((None, model.problems.as_slice())).filter(|(_, problems)| !problems.is_empty());
    let rejected = rejected
        .chain(folder)
        .map(|(version, problems)| RejectedVersion { version, problems: problems.to_vec() })
        .collect();
    let live = labels.first().cloned();
    ModelReadiness { model: name.to_owned(), preparing: model.starting, live, labels, rejected }
}

fn live(arm: &Arm) -> LiveVersion {
    LiveVersion {
        version: arm.version.manifest.version,
        label: arm.label.to_string(),
        percent: arm.percent,
        digest: arm.version.digest.clone(),
    }
}

/// What Prometheus scrapes, in the format that it asks for.
async fn metrics(State(probed): State<Probed>, asked: HeaderMap) -> impl IntoResponse {
    let accept = asked.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let exposition = &probed.exposition;
    let (format, text) = if wants_openmetrics(accept) {
        (Exposition::OPENMETRICS, exposition.openmetrics())
    } else {
        (Exposition::CONTENT_TYPE, exposition.text())
    };
    match text {
        Ok(text) => ([(CONTENT_TYPE, format)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Whether OpenMetrics is liked at least as well as plain text (RFC 9110, section 12.5.1).
/// Who likes anything gets plain text, which every program reads.
fn wants_openmetrics(accept: &str) -> bool {
    let ranges: Vec<_> = accept.split(',').map(range).collect();
    let best = |is: fn(&str, &str) -> bool| {
        let weights = ranges.iter().filter(|(media, version, _)| is(media, version)).map(|(.., weight)| *weight);
        weights.fold(0.0, f64::max)
    };
    let ours = best(|media, version| media == "application/openmetrics-text" && ["", "1.0.0"].contains(&version));
    let plain = best(|media, _| media == "text/plain");
    ours > 0.0 && ours >= plain
}

/// Media type, version and weight of a range such as `text/plain;version=0.0.4;q=0.3`.
fn range(text: &str) -> (&str, &str, f64) {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let (mut version, mut weight) = ("", 1.0);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name {
            "version" => version = value,
            "q" => weight = value.parse().unwrap_or(0.0),
            _ => {}
        }
    }
    (media, version, weight)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;
    use crate::telemetry::{Metrics, Port};

    async fn client() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (metrics, exposition) = Metrics::new().unwrap();
        let incoming = Incoming::new(listener, CONNECTIONS, (&metrics, Port::Http));
        let probed = Probed { registry: Arc::default(), drain: Drain::default(), exposition };
        serve(incoming, Gate::default(), (probed, Page::silent()), CancellationToken::new());
        client
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        // Prometheus 2 and 3, and what their text formats are without it.
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [two, three, "application/openmetrics-text", "application/openmetrics-text; version=1.0.0"] {
            assert!(wants_openmetrics(accept), "{accept}");
        }
        let plain = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let rather = "text/plain, application/openmetrics-text;q=0.5";
        let old = "application/openmetrics-text;version=0.0.1";
        for accept in ["", "*/*", "text/html", plain, rather, old, "application/openmetrics-text;q=0"] {
            assert!(!wants_openmetrics(accept), "{accept}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_ends_the_connection() {
        let (begun, mut client) = (Instant::now(), client().await);
        client.write_all(b"GET /livez HTTP/1.1\r\nHost: souk\r\n").await.unwrap();
        let _ = client.read_to_end(&mut Vec::new()).await;
        assert!(begun.elapsed() >= HEAD && begun.elapsed() < 2 * HEAD, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_ask_again_but_not_idle_for_ever() {
        let mut client = client().await;
        client.write_all(b"GET /livez HTTP/1.1\r\nHost: souk\r\n\r\n").await.unwrap();
        let begun = Instant::now();
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("alive\n"), "{said}");
        assert!(begun.elapsed() >= HEAD && begun.elapsed() < 2 * HEAD, "{:?}", begun.elapsed());
    }
}
