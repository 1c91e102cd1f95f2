//! Closed loop: each caller waits for its answer before it sends again, and comes
//! again when a refusal says so.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tonic::Code;

use super::{Bench, connection::Call};

/// Before a caller comes again to whom nobody said when: a server that is gone would
/// otherwise be asked a million times.
const PAUSE: Duration = Duration::from_millis(10);

/// Sends from `callers` tasks until the window ends.
pub(crate) async fn send(bench: &Arc<Bench>, callers: usize) -> anyhow::Result<()> {
    let calling: Vec<_> = (0..callers).map(|number| tokio::spawn(caller(Arc::clone(bench), number, callers))).collect();
    for caller in calling {
        caller.await?;
    }
    Ok(())
}

async fn caller(bench: Arc<Bench>, number: usize, callers: usize) {
    let mut turn = number;
    while Instant::now() < bench.window.end {
        let call = bench.connections.call(number, bench.requests.at(turn), None).await;
        bench.record(&call);
        if let Some(pause) = pause(&call) {
            sleep(pause).await;
        }
        turn += callers;
    }
}

fn pause(call: &Call<'_>) -> Option<Duration> {
    match &call.answer {
        Some(answer) if answer.code == Code::Ok => None,
        Some(answer) => Some(answer.retry_info().and_then(|info| info.retry_delay).unwrap_or(PAUSE)),
        None => Some(PAUSE),
    }
}
