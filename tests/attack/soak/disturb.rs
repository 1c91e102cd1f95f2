//! What happens beside honest requests: swaps, callers who leave, bursts of more than can be done, scrapes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use souk::api::proto::v1::{
    LoadVersionRequest, SetTrafficRequest, TrafficLabel, TrafficPolicy, UnloadVersionRequest,
    model_service_client::ModelServiceClient,
};
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;

use crate::{
    honest::connection::{Connection, Target, head},
    probe::Metrics,
    questions::{Merchants, UNARY},
};

/// Between two swaps.
const SWAPS: Duration = Duration::from_secs(4);

/// Between two bursts, and how long one lasts.
const BURSTS: Duration = Duration::from_secs(30);
const BURST: Duration = Duration::from_secs(2);

/// Callers of a burst, the rows of each request, and how long they wait.
const CALLERS: usize = 64;
const ROWS: usize = 256;
const IMPATIENCE: Duration = Duration::from_millis(50);

/// How often it was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) swaps: AtomicU64,
    pub(super) left: AtomicU64,
    pub(super) burst: AtomicU64,
    pub(super) scrapes: AtomicU64,
}

fn once(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Versions 1 and 2 take turns: the one that comes is loaded, the one that went leaves the memory.
pub(super) async fn swap(admin: SocketAddr, done: Arc<Done>) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(format!("http://{admin}"))?.connect().await?;
    let mut models = ModelServiceClient::new(channel);
    let model = || "merchant_gmv".to_owned();
    for (came, went) in [(1_u64, 2_u64), (2, 1)].into_iter().cycle() {
        models.load_version(LoadVersionRequest { model: model(), version: came }).await?;
        let stable = TrafficLabel { label: "stable".into(), version: came.to_string(), ..TrafficLabel::default() };
        let policy = Some(TrafficPolicy { labels: vec![stable], ..TrafficPolicy::default() });
        models.set_traffic(SetTrafficRequest { model: model(), policy, ..SetTrafficRequest::default() }).await?;
        sleep(SWAPS).await;
        models.unload_version(UnloadVersionRequest { model: model(), version: went }).await?;
        once(&done.swaps);
    }
    Ok(())
}

/// Requests whose callers leave after some moments, fifty a second.
pub(super) async fn leave(target: SocketAddr, merchants: Merchants, done: Arc<Done>) -> anyhow::Result<()> {
    let target = Target { address: target, generation: 0 };
    let connection = Connection::open(target).await?;
    for turn in 0.. {
        let question = merchants.ask(turn, 1 + turn % 64, None);
        let patience = Duration::from_micros(turn as u64 * 377 % 5000);
        // The call is cancelled where it has no answer by then.
        let answered = timeout(patience, connection.ask(head(target, UNARY, None)?, question.frame)).await;
        if answered.is_err() {
            once(&done.left);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// More rows than can be scored in time.
pub(super) async fn burst(target: SocketAddr, merchants: Merchants, done: Arc<Done>) -> anyhow::Result<()> {
    let target = Target { address: target, generation: 0 };
    let frame: Bytes = merchants.ask(0, ROWS, None).frame;
    loop {
        sleep(BURSTS).await;
        let end = Instant::now() + BURST;
        let connection = Connection::open(target).await?;
        join_all((0..CALLERS).map(|_| impatient(&connection, &frame, end, &done))).await;
    }
}

async fn impatient(connection: &Connection, frame: &Bytes, end: Instant, done: &Done) {
    while Instant::now() < end {
        let Ok(head) = head(connection.target, UNARY, Some(IMPATIENCE)) else { return };
        connection.ask(head, frame.clone()).await;
        once(&done.burst);
        // As refused callers do.
        sleep(IMPATIENCE / 10).await;
    }
}

/// Reads the metrics as Prometheus does.
pub(super) async fn scrape(http: SocketAddr, done: Arc<Done>) -> anyhow::Result<()> {
    loop {
        if Metrics::of(http).await.is_some() {
            once(&done.scrapes);
        }
        sleep(Duration::from_secs(5)).await;
    }
}
