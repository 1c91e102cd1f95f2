//! Two versions that take turns while requests come by the clock: who notices?

use std::time::Duration;

use tokio::time::sleep;

use super::{Ask, open, twins::Twins};
use crate::{
    children,
    load::{Shape, trace},
    results::{Results, Who},
    swapped::{AFTER, Swap, Swapped, Swaps},
};

/// Of what 64 callers get: a server that has something to do, and cores left over.
const SHARE: f64 = 0.5;

/// Between the windows of two swaps, and before the first one: what is compared with.
const OUTSIDE: Duration = Duration::from_millis(1500);

/// Longer than all swaps take: the load ends when they do.
const LONGEST: Duration = Duration::from_secs(3600);

/// The version that answers at first.
const FIRST: u64 = 2;

pub(super) async fn run(twins: &Twins<'_>, results: &mut Results) -> anyhow::Result<()> {
    let hall = &twins.hall;
    let capacity = open::capacity(hall, 1).await?;
    let file = twins.folder.path().join("trace");
    let shape = Shape::Open { rate: SHARE * capacity, in_flight: open::IN_FLIGHT };
    let mut load = hall.load(Who::Souk, Ask { rows: 1, shape, deadline: None, length: LONGEST });
    load.trace = Some(file.clone());
    let begun = trace::now();
    let (measured, swaps) = children::load_beside(&load, swap(twins)).await?;
    let swaps = Swaps { first: FIRST, swaps, begun, rate: SHARE * capacity };
    let swapped = Swapped::of(&trace::read(&file)?, &swaps, &measured)?;
    hall.progress.suspend(|| eprintln!("{}: {} swaps", hall.model.name(), swaps.swaps.len()));
    results.swapped.push((hall.model, swapped));
    Ok(())
}

async fn swap(twins: &Twins<'_>) -> anyhow::Result<Vec<Swap>> {
    let hall = &twins.hall;
    sleep(hall.settings.warm_up() + OUTSIDE).await;
    let mut swaps = Vec::new();
    for turn in 0..hall.settings.swaps() {
        hall.progress.set_message(format!("{}: swap {}", hall.model.name(), turn + 1));
        let to = if turn % 2 == 0 { 1 } else { 2 };
        swaps.push(one(twins, to).await?);
    }
    Ok(swaps)
}

/// Brings a version into memory that is not there, and has it answer.
async fn one(twins: &Twins<'_>, to: u64) -> anyhow::Result<Swap> {
    let mut orders = twins.orders.clone();
    let begun = trace::now();
    orders.unload(to).await?;
    let unloaded = trace::now();
    orders.load(to).await?;
    let sent = trace::now();
    orders.traffic(&[("stable", to)]).await?;
    let live = trace::now();
    sleep(AFTER + OUTSIDE).await;
    let memory_mib = twins.hall.souk.usage()?.resident_kib as f64 / 1024.0;
    Ok(Swap { to, begun, unloaded, sent, live, memory_mib })
}
