//! Open loop: requests are sent by the clock, however slow the answers are.
//!
//! Latency counts from the moment that the schedule names, so that a server that
//! stalls can't hide it by being asked less (Tene's "coordinated omission").

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};

use super::{Bench, pace::Pace};

/// How long answers may be waited for after the last request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `rate` requests a second until the window ends, or somebody has enough.
pub(crate) async fn send(bench: &Arc<Bench>, rate: f64, in_flight: usize) -> anyhow::Result<()> {
    let pace = Pace::new(rate)?;
    let mut open = JoinSet::new();
    let mut turn = 0;
    while pace.moment(turn) < bench.window.end && !bench.enough.is_cancelled() {
        let due = pace.due().await?;
        while turn < due && pace.moment(turn) < bench.window.end {
            while open.try_join_next().is_some() {}
            let intended = pace.moment(turn);
            if open.len() < in_flight {
                open.spawn(call(Arc::clone(bench), turn, intended));
            } else {
                bench.with_recorder(|recorder| recorder.skip(intended, &bench.window));
            }
            turn += 1;
        }
    }
    // What is not answered by then is counted as broken.
    let answered = timeout(PATIENCE, async { while open.join_next().await.is_some() {} }).await;
    if answered.is_err() {
        bench.with_recorder(|recorder| recorder.unanswered(open.len()));
    }
    Ok(())
}

async fn call(bench: Arc<Bench>, turn: u64, intended: std::time::Instant) {
    let turn = usize::try_from(turn).unwrap_or_default();
    let call = bench.connections.call(turn, bench.requests.at(turn), Some(intended)).await;
    bench.record(&call);
}
