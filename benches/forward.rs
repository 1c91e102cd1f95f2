//! One forward pass of the shipped models through Souk's engine: rows in, rows out,
//! the copies to and from tensors included.

#![allow(missing_docs, reason = "criterion's macros write functions without them")]

use std::{num::NonZeroUsize, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use souk::{
    api::JsonForms,
    model::{
        Means, Version, VersionFolder, examine,
        torch::{TorchEngines, thread_setup},
    },
    rows::Rows,
    trust::Trust,
};

// The server's own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows in a batch.
const ROWS: [usize; 4] = [1, 8, 64, 256];

/// The newest shipped version of `model`.
fn newest(model: &str) -> anyhow::Result<Version> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model);
    let folder = VersionFolder::of_model(&folder)?.into_iter().next().context("no version")?;
    let engines = TorchEngines { max_rows: NonZeroUsize::MIN.saturating_add(255) };
    let (rows, trust) = (JsonForms::new()?, Trust::default());
    let means = Means { rows: &rows, engines: &engines, slowest_row: Duration::MAX, trust: &trust };
    let examination = examine(&folder, &means);
    examination.version.with_context(|| format!("{model}: {:?}", examination.problems))
}

/// Golden rows, repeated up to `count`.
fn rows(version: &Version, count: usize) -> anyhow::Result<Rows> {
    let mut rows = version.golden.slice(0..count);
    ensure!(!rows.is_empty(), "no golden rows");
    while rows.len() < count {
        rows.append(&version.golden.slice(0..count - rows.len()))?;
    }
    Ok(rows)
}

fn forward(criterion: &mut Criterion, model: &str) -> anyhow::Result<()> {
    let version = newest(model)?;
    let mut group = criterion.benchmark_group(format!("forward {model}"));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for count in ROWS {
        let rows = rows(&version, count)?;
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("rows", count), |bencher| {
            bencher.iter(|| version.engine.forward(&[&rows]))
        });
    }
    group.finish();
    Ok(())
}

#[allow(clippy::panic, reason = "a benchmark of nothing should not look like one")]
fn all(criterion: &mut Criterion) {
    // As a runner's thread is set up.
    let _kept = thread_setup(NonZeroUsize::MIN);
    let measured = ["merchant_gmv", "user_portrait"].into_iter().try_for_each(|model| forward(criterion, model));
    measured.unwrap_or_else(|error| panic!("{error:#}"));
}

criterion_group!(benches, all);
criterion_main!(benches);
