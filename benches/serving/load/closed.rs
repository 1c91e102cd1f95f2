//! Closed loop: each caller waits for its answer before it sends again.

use std::{sync::Arc, time::Instant};

use super::Bench;

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
        let broken = call.answer.is_none();
        bench.record(&call);
        if broken {
            // Otherwise a server that is gone would be asked a million times.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        turn += callers;
    }
}
