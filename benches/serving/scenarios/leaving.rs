//! Clients that vanish: what they leave behind in the server.

use std::time::Duration;

use tokio::time::sleep;

use super::{Ask, Hall};
use crate::{
    load::Shape,
    results::{Left, Results, Who},
    settings::Model,
};

/// Clients that vanish.
const CLIENTS: usize = 1000;

/// Clients before memory is looked at: the allocator's caches fill with the first ones.
const WARM_UP: usize = 200;

/// In this time the server gives back what was waiting.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) async fn run(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    if hall.model != Model::Shipped {
        return Ok(());
    }
    let before_mib = leave(hall, WARM_UP).await?;
    let after_mib = leave(hall, CLIENTS).await?;
    let queue_rows = hall.metric("souk_queue_rows").await;
    results.leaving.push(Left { clients: CLIENTS, before_mib, after_mib, queue_rows });
    Ok(())
}

/// Lets clients vanish; the server's memory after that, in MiB.
async fn leave(hall: &Hall<'_>, times: usize) -> anyhow::Result<f64> {
    let ask = Ask { rows: 64, shape: Shape::Leaving { times }, deadline: None, length: Duration::from_secs(1) };
    hall.progress.set_message(format!("{times} clients that vanish"));
    hall.send(Who::Souk, ask).await?;
    sleep(SETTLED).await;
    Ok(hall.souk.usage()?.resident_kib as f64 / 1024.0)
}
