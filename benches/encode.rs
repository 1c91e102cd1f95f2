//! From a message's features to the inputs of a model, by the manifests of the
//! shipped models: no engine, no wire.

#![allow(missing_docs, reason = "criterion's macros write functions without them")]

use std::{hint::black_box, path::Path, time::Duration};

use anyhow::Context as _;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use jiff::civil::Date;
use prost::Message;
use serde_json::Value;
use souk::{
    api::{
        JsonForms,
        proto::v1::{Merchant, User},
    },
    features::{Encoder, RowFault, row::Row},
    manifest::Manifest,
    model::{RowReader as _, VersionFolder},
    rows::Rows,
};

// The server's own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One row, and a page of a ranking.
const ROWS: [usize; 2] = [1, 64];

/// A version's encoder and its golden rows.
struct Version<M> {
    encoder: Encoder,
    rows: Vec<M>,
}

impl<M: Message + Default> Version<M> {
    /// The newest shipped version of `model`, whose rows are `message`s.
    fn newest(model: &str, message: &str) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model);
        let folder = VersionFolder::of_model(&folder)?.into_iter().next().context("no version")?;
        let forms = JsonForms::new()?;
        let manifest = Manifest::parse(&folder.manifest()?).map_err(|error| anyhow::anyhow!("{error}"))?;
        let encoder = Encoder::new(&manifest, forms.fields(manifest.task));
        let encoder = encoder.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let golden = std::fs::read_to_string(folder.path.join("golden.jsonl"))?;
        let row = |line: &str| -> anyhow::Result<M> {
            let line: Value = serde_json::from_str(line)?;
            Ok(forms.read(message, &line.get("row").context("no row")?.to_string())?)
        };
        Ok(Self { encoder, rows: golden.lines().map(row).collect::<Result<_, _>>()? })
    }
}

/// A row's features with its `as_of`.
type Parts<'r> = (Option<&'r dyn Row>, &'r str);

fn encode<M>(
    criterion: &mut Criterion,
    model: &str,
    version: &Version<M>,
    parts: impl Fn(&M) -> Parts<'_>,
) -> anyhow::Result<()> {
    let parts = |row| {
        let (features, as_of) = parts(row);
        Ok((features.context("no features")?, as_of.parse()?))
    };
    let all: Vec<(&dyn Row, Date)> = version.rows.iter().map(parts).collect::<anyhow::Result<_>>()?;
    let mut group = criterion.benchmark_group(format!("encode {model}"));
    quick(&mut group);
    for count in ROWS {
        let chosen: Vec<(&dyn Row, Date)> = all.iter().copied().cycle().take(count).collect();
        // What is refused would be quick.
        encoded(&version.encoder, &chosen).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("rows", count), |bencher| {
            bencher.iter(|| encoded(&version.encoder, &chosen))
        });
    }
    group.finish();
    Ok(())
}

fn encoded(encoder: &Encoder, chosen: &[(&dyn Row, Date)]) -> Result<Rows, RowFault> {
    let mut rows = encoder.empty_rows(chosen.len());
    for (row, as_of) in chosen {
        black_box(encoder.encode(*row, *as_of, &mut rows)?);
    }
    Ok(rows)
}

/// Seconds for all of them, not minutes.
fn quick(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
}

fn shipped(criterion: &mut Criterion) -> anyhow::Result<()> {
    let merchants: Version<Merchant> = Version::newest("merchant_gmv", "Merchant")?;
    encode(criterion, "merchant_gmv", &merchants, |row| (row.features.as_ref().map(|row| row as _), &row.as_of))?;
    let users: Version<User> = Version::newest("user_portrait", "User")?;
    encode(criterion, "user_portrait", &users, |row| (row.features.as_ref().map(|row| row as _), &row.as_of))
}

#[allow(clippy::panic, reason = "a benchmark of nothing should not look like one")]
fn all(criterion: &mut Criterion) {
    shipped(criterion).unwrap_or_else(|error| panic!("{error:#}"));
}

criterion_group!(benches, all);
criterion_main!(benches);
