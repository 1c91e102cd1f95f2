//! From a request's frames to the inputs of a model, by the manifests of the
//! shipped models, as every request does it: read where it lies, checked, encoded.
//! No engine, no socket.

#![allow(missing_docs, reason = "criterion's macros write functions without them")]

use std::{
    num::NonZeroUsize,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::civil::date;
use prost::Message;
use serde_json::Value;
use souk::{
    api::{
        JsonForms, encode_frames,
        proto::v1::{Merchant, User},
    },
    cost::Cost,
    error::ScoreError,
    features::Encoder,
    heads::Head,
    manifest::Manifest,
    model::{RowReader as _, Version, VersionFolder},
    rows::{Forward, ForwardError, Rows},
};

// The server's own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One row, and a page of a ranking.
const ROWS: [usize; 2] = [1, 64];

/// Never asked: rows are encoded and not scored.
struct NoEngine(Cost);

impl Forward for NoEngine {
    fn identity(&self) -> (&str, u64) {
        ("none", 0)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn cost(&self) -> &Cost {
        &self.0
    }

    fn forward(&self, _parts: &[&Rows]) -> Result<Rows, ForwardError> {
        Err(ForwardError::Raised("there is no engine".into()))
    }
}

/// The newest shipped version of `model` without its engine, and its golden rows as
/// the wire carries them: `M`s, which the protos call `message`.
fn newest<M: Message + Default>(model: &str, message: &str) -> anyhow::Result<(Arc<Version>, Vec<Bytes>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model);
    let folder = VersionFolder::of_model(&folder)?.into_iter().next().context("no version")?;
    let forms = JsonForms::new()?;
    let manifest = Manifest::parse(&folder.manifest()?).map_err(|error| anyhow::anyhow!("{error}"))?;
    let encoder = Encoder::new(&manifest, forms.fields(manifest.task));
    let encoder = encoder.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let frame = |line: &str| -> anyhow::Result<Bytes> {
        let line: Value = serde_json::from_str(line)?;
        let row: M = forms.read(message, &line.get("row").context("no row")?.to_string())?;
        Ok(row.encode_to_vec().into())
    };
    let golden = std::fs::read_to_string(folder.path.join("golden.jsonl"))?;
    let frames = golden.lines().map(frame).collect::<Result<_, _>>()?;
    let version = Version {
        digest: String::new(),
        head: Head::new(&manifest),
        golden: encoder.empty_rows(0),
        proved_by: 0,
        signed: None,
        encoder,
        engine: Arc::new(NoEngine(Cost::default())),
        manifest,
    };
    Ok((Arc::new(version), frames))
}

/// All turns one after the other: nobody else is on this thread.
fn encoded(version: &Arc<Version>, frames: Vec<Bytes>) -> Result<Rows, ScoreError> {
    let task = version.manifest.task;
    // Golden rows name their day.
    let mut rows = pin!(encode_frames(task, frames, Arc::clone(version), date(2026, 1, 1)));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(rows) = rows.as_mut().poll(&mut context) {
            return rows;
        }
    }
}

fn encode<M: Message + Default>(criterion: &mut Criterion, model: &str, message: &str) -> anyhow::Result<()> {
    let (version, frames) = newest::<M>(model, message)?;
    let mut group = criterion.benchmark_group(format!("encode {model}"));
    // Seconds for all of them, not minutes.
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    for count in ROWS {
        let frames: Vec<Bytes> = frames.iter().cloned().cycle().take(count).collect();
        // What is refused would be quick.
        ensure!(encoded(&version, frames.clone())?.len() == count, "{model}: golden rows were refused");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("rows", count), |bencher| {
            bencher.iter_batched(|| frames.clone(), |frames| encoded(&version, frames), BatchSize::SmallInput)
        });
    }
    group.finish();
    Ok(())
}

#[allow(clippy::panic, reason = "a benchmark of nothing should not look like one")]
fn all(criterion: &mut Criterion) {
    let measured = encode::<Merchant>(criterion, "merchant_gmv", "Merchant")
        .and_then(|()| encode::<User>(criterion, "user_portrait", "User"));
    measured.unwrap_or_else(|error| panic!("{error:#}"));
}

criterion_group!(benches, all);
criterion_main!(benches);
