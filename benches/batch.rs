//! What a request costs in the stack itself: counted, admitted, put in a batch and
//! answered, by a model that answers at once. Times are by request; making the job
//! with its row is part of them. And what it costs beside that to follow a request from its
//! arrival to its end, and to trace one of a hundred of them to a collector that is gone.

#![allow(missing_docs, reason = "criterion's macros write functions without them")]

use std::{
    any::Any,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use criterion::{Criterion, criterion_group, criterion_main};
use futures::future::{join_all, pending};
use souk::{
    cost::{Cost, Took},
    error::ScoreError,
    rows::{Column, Forward, ForwardError, Rows, Values},
    stack::{BatchRules, Encoding, Job, Lane, Limits, Runners, Scored, Stack, ThreadSetup, assemble},
    telemetry::{Identity, Journeys, Metrics, Otlp, Sampling, Traces},
};
use tokio::runtime::Runtime;
use tower::{Service as _, ServiceExt as _};

// The server's own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As many as share a batch.
const CALLERS: usize = 64;

/// What is asked for.
const METHOD: &str = "souk.v1.MerchantGmvService/PredictGmv";

/// As the server has it by default.
const INLINE_BELOW: Duration = Duration::from_micros(400);

/// Answers its inputs.
#[derive(Default)]
struct AtOnce(Cost);

impl Forward for AtOnce {
    fn identity(&self) -> (&str, u64) {
        ("at_once", 1)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(255)
    }

    fn cost(&self) -> &Cost {
        &self.0
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        Ok(Rows::joined(parts)?)
    }
}

/// A stack on one thread for requests and one runner, and who asks it.
struct Bench {
    runtime: Runtime,
    stack: Stack,
    model: Arc<dyn Forward>,
    journeys: Option<Journeys>,
}

/// Whoever asks. Clones ask the same stack.
#[derive(Clone)]
struct Caller {
    stack: Stack,
    model: Arc<dyn Forward>,
    journeys: Option<Journeys>,
}

/// Journeys that are counted, and those that are traced too while the thread is there.
fn journeys() -> anyhow::Result<(Journeys, Journeys, Otlp)> {
    let (metrics, exposition) = Metrics::pushed_as(&Identity { version: "0", instance: "bench".into() })?;
    // Nobody listens at the port for discarding.
    let otlp = Otlp::start("http://127.0.0.1:9", &metrics, &exposition)?;
    let sampling = Sampling { ratio: 0.01, address: "127.0.0.1".into(), port: 50051 };
    let traces = Traces::start(&otlp, &metrics, sampling);
    let counted = Journeys::new(metrics);
    Ok((counted.clone(), counted.traced(traces), otlp))
}

impl Bench {
    /// What is expected to take less than `inline_below` runs where it is asked; at
    /// most `rows` at a time.
    fn new(inline_below: Duration, rows: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let rules = BatchRules { linger: Duration::ZERO, inline_below, eager: 1 };
        let setup: ThreadSetup = Arc::new(|| Box::new(()) as Box<dyn Any>);
        let runners = {
            let _here = runtime.enter();
            Runners::start(NonZeroUsize::MIN, rules, &setup, &Metrics::none())?
        };
        let bytes = NonZeroUsize::MIN.saturating_add(1 << 24);
        let rows = NonZeroUsize::MIN.saturating_add(rows - 1);
        let limits = Limits { rows, bytes, wait: Duration::from_millis(15) };
        let model = AtOnce::default();
        // As after a warm-up.
        model.0.learn(1, Took::undisturbed(Duration::from_micros(1)));
        Ok(Self { runtime, stack: assemble(limits, Metrics::none(), runners), model: Arc::new(model), journeys: None })
    }

    fn caller(&self) -> Caller {
        Caller { stack: self.stack.clone(), model: Arc::clone(&self.model), journeys: self.journeys.clone() }
    }

    /// The same, with requests that are followed.
    fn followed(&mut self, journeys: &Journeys) -> &Self {
        self.journeys = Some(journeys.clone());
        self
    }

    /// How long `count` requests take, one after the other.
    fn one_by_one(&self, count: u64) -> Duration {
        let mut caller = self.caller();
        self.runtime.block_on(async {
            let begun = Instant::now();
            for _ in 0..count {
                let _answered = std::hint::black_box(caller.ask().await);
            }
            begun.elapsed()
        })
    }

    /// How long `count` requests take by [`CALLERS`], each a task of its own.
    fn together(&self, count: u64) -> Duration {
        let caller = self.caller();
        let calls = (0..CALLERS).map(|index| {
            let mut caller = caller.clone();
            let count = (count + index as u64) / CALLERS as u64;
            async move {
                for _ in 0..count {
                    let _answered = std::hint::black_box(caller.ask().await);
                }
            }
        });
        self.runtime.block_on(async {
            let begun = Instant::now();
            join_all(calls.map(tokio::spawn)).await;
            begun.elapsed()
        })
    }
}

impl Caller {
    /// One row, as a connection asks for it.
    async fn ask(&mut self) -> Result<Scored, ScoreError> {
        self.ask_for(Box::pin(async {
            let column = Column::new(1, Values::F32(vec![1.0]));
            Rows::new(1, vec![column])
                .map_err(|ragged| ScoreError::BadField { field: "rows".into(), description: ragged.to_string() })
        }))
        .await
    }

    async fn ask_for(&mut self, rows: Encoding) -> Result<Scored, ScoreError> {
        let model = Arc::clone(&self.model);
        let journey = self.journeys.as_ref().map(|journeys| journeys.begin(METHOD, None));
        let (lane, followed) = (Lane::Interactive, journey.clone());
        let job = Job { model, count: 1, bytes: 64, rows, deadline: None, lane, journey: followed, fare: None };
        let scored = self.stack.ready().await?.call(job).await;
        let _ended = journey.map(|journey| journey.end("OK"));
        scored
    }
}

fn measure(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("batch");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);

    let mut inline = Bench::new(INLINE_BELOW, 4096)?;
    ensure!(inline.runtime.block_on(inline.caller().ask())?.outputs.len() == 1, "no answer");
    group.bench_function("one row inline", |bencher| bencher.iter_custom(|count| inline.one_by_one(count)));
    group.bench_function("64 callers inline", |bencher| bencher.iter_custom(|count| inline.together(count)));

    let (followed, traced, _otlp) = journeys()?;
    for (name, journeys) in [("followed", &followed), ("traced", &traced)] {
        let bench = inline.followed(journeys);
        group.bench_function(format!("one row inline, {name}"), |bencher| {
            bencher.iter_custom(|count| bench.one_by_one(count));
        });
        group.bench_function(format!("64 callers inline, {name}"), |bencher| {
            bencher.iter_custom(|count| bench.together(count));
        });
    }

    let runner = Bench::new(Duration::ZERO, 4096)?;
    ensure!(runner.runtime.block_on(runner.caller().ask())?.outputs.len() == 1, "no answer");
    group.bench_function("one row by a runner", |bencher| bencher.iter_custom(|count| runner.one_by_one(count)));
    group.bench_function("64 callers by a runner", |bencher| bencher.iter_custom(|count| runner.together(count)));

    // One row that is never encoded holds the only place.
    let full = Bench::new(INLINE_BELOW, 1)?;
    let mut holder = full.caller();
    let _held = full.runtime.spawn(async move { holder.ask_for(Box::pin(pending())).await });
    full.runtime.block_on(tokio::task::yield_now());
    ensure!(full.runtime.block_on(full.caller().ask()).is_err(), "there was a place");
    group.bench_function("a refusal", |bencher| bencher.iter_custom(|count| full.one_by_one(count)));
    group.finish();
    Ok(())
}

#[allow(clippy::panic, reason = "a benchmark of nothing should not look like one")]
fn all(criterion: &mut Criterion) {
    measure(criterion).unwrap_or_else(|error| panic!("{error:#}"));
}

criterion_group!(benches, all);
criterion_main!(benches);
