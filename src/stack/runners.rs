//! A fixed pool of threads that run batches, and the stack's innermost service.
//!
//! Threads of our own and not tokio's: a forward pass blocks, and libtorch keeps
//! state per thread that must be set once and stay warm.

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    num::NonZeroUsize,
    sync::{Arc, mpsc},
    task::{Context, Poll},
    thread,
};

use thiserror::Error;
use tokio::runtime::Handle;
use tower::Service;
use tracing::error;

use super::{
    BatchRules, Encoded, Scored, ScoredFuture,
    batch::{Batches, pass},
};
use crate::{
    cost::Took,
    error::ScoreError,
    rows::{Forward, Rows},
    telemetry::Metrics,
};

/// How often a warm-up runs each size: libtorch is steady after about three passes
/// on a thread.
const WARM_PASSES: usize = 3;

/// Runs at the start of every thread that runs models; what it returns lives as
/// long as the thread.
pub type ThreadSetup = Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>;

/// The pool. Clones share the threads; they end when the last clone is gone.
#[derive(Clone)]
pub struct Runners {
    count: NonZeroUsize,
    open: Arc<Open>,
    /// Where requests arrive.
    io: Handle,
}

/// Keeps the threads.
struct Open {
    batches: Batches,
}

/// A thread of the pool, for who has to start it again.
struct Runner {
    index: usize,
    batches: Batches,
    setup: ThreadSetup,
    metrics: Metrics,
}

/// A thread that could not be started.
#[derive(Debug, Error)]
#[error("runner {index} of {count} did not start: {source}")]
pub struct RunnerError {
    index: usize,
    count: NonZeroUsize,
    source: io::Error,
}

impl Runners {
    /// Starts `count` threads, and a task that gives out their answers: call it
    /// where tokio's tasks can be spawned.
    ///
    /// # Errors
    ///
    /// [`RunnerError`] where the system refuses a thread.
    pub fn start(
        count: NonZeroUsize,
        rules: BatchRules,
        setup: &ThreadSetup,
        metrics: &Metrics,
    ) -> Result<Self, RunnerError> {
        let (batches, giving_out) = Batches::new(count.get(), rules, metrics.clone());
        let io = Handle::current();
        io.spawn(giving_out);
        let runners = Self { count, open: Arc::new(Open { batches: batches.clone() }), io };
        for index in 0..count.get() {
            let runner = Runner { index, batches: batches.clone(), setup: Arc::clone(setup), metrics: metrics.clone() };
            runner.start().map_err(|source| RunnerError { index, count, source })?;
        }
        Ok(runners)
    }

    /// How many threads there are.
    pub fn count(&self) -> NonZeroUsize {
        self.count
    }

    /// Tells how many rows wait, by model's name, whenever it is asked. It does not
    /// keep the threads.
    pub fn watch(&self) -> impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static {
        let batches = self.open.batches.clone();
        move || {
            let mut waiting = BTreeMap::new();
            for (model, rows) in batches.waiting() {
                *waiting.entry(model.identity().0.to_owned()).or_default() += rows as u64;
            }
            waiting.into_iter().collect()
        }
    }

    /// Has every thread that will run the model run it in each of `rows`, so that no
    /// request pays for what libtorch does in its first passes, and learns what they
    /// cost. Blocks until all did, so it is not for the threads of sockets.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Model`] where a pass failed.
    pub fn warm(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), ScoreError> {
        let (name, version) = model.identity();
        let failed = |reason| ScoreError::Model { model: name.to_owned(), version, reason };
        self.warm_runners(model, rows).map_err(failed)?;
        self.warm_io(model, rows).map_err(failed)
    }

    fn warm_runners(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), String> {
        let (done, outcomes) = mpsc::channel();
        for runner in 0..self.count.get() {
            let (model, rows, done) = (Arc::clone(model), Arc::clone(rows), done.clone());
            let errand = Box::new(move || {
                // The receiver is gone only where another runner failed already.
                let _ = done.send(warm_here(model.as_ref(), &rows));
            });
            self.open.batches.send(runner, errand);
        }
        drop(done);
        outcomes.iter().collect()
    }

    /// The threads of sockets run small batches only, and one pass at a time: what is
    /// live is served meanwhile.
    fn warm_io(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), String> {
        let (done, outcomes) = mpsc::channel();
        for _ in 0..self.io.metrics().num_workers() {
            let (batches, model, rows, done) =
                (self.open.batches.clone(), Arc::clone(model), Arc::clone(rows), done.clone());
            self.io.spawn(async move {
                for rows in rows.iter().filter(|rows| batches.runs_here(model.as_ref(), rows.len())) {
                    for _ in 0..WARM_PASSES {
                        let _ = done.send(pass(model.as_ref(), &[rows]).map(drop));
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        drop(done);
        outcomes.iter().collect()
    }
}

/// Runs the model in each of `rows` on this thread, a few times.
fn warm_here(model: &dyn Forward, rows: &[Rows]) -> Result<(), String> {
    for rows in rows {
        let passes = (0..WARM_PASSES).map(|_| {
            let (done, took) = Took::by(|| pass(model, &[rows]));
            done.map(|_| took)
        });
        let passes = passes.collect::<Result<Vec<_>, _>>()?;
        // The first ones pay for what they find cold.
        let fastest = passes.into_iter().min_by_key(|took| took.running);
        fastest.into_iter().for_each(|took| model.cost().learn(rows.len(), took));
    }
    Ok(())
}

impl Runner {
    fn start(self) -> io::Result<()> {
        let name = format!("runner-{}", self.index);
        let run = move || {
            // Before `self` is there to be dropped in a panic: a setup that panics
            // would do it again.
            let _kept = (self.setup)();
            let runner = Replaced(Some(self));
            runner.work();
        };
        thread::Builder::new().name(name).spawn(run).map(drop)
    }
}

/// A runner that starts again where it panics.
struct Replaced(Option<Runner>);

impl Replaced {
    fn work(&self) {
        if let Some(runner) = &self.0 {
            runner.batches.work(runner.index);
        }
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        let Some(runner) = self.0.take().filter(|_| thread::panicking()) else { return };
        let index = runner.index;
        runner.metrics.runner_replaced();
        error!(runner = index, "a runner died; another one takes its place");
        if let Err(error) = runner.start() {
            error!(runner = index, %error, "the runner can't be replaced");
        }
    }
}

impl Service<Encoded> for Runners {
    type Response = Scored;
    type Error = ScoreError;
    type Future = ScoredFuture;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ScoreError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: Encoded) -> Self::Future {
        Box::pin(self.open.batches.clone().score(job))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.batches.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::{Duration, Instant},
    };

    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        cost::Cost,
        rows::{Column, ForwardError, Values},
        stack::Lane,
    };

    /// Answers each row's own value; raises where a row is 13, panics for 14, and
    /// answers one row too few for 15.
    #[derive(Default)]
    struct Echo {
        passes: AtomicUsize,
        cost: Cost,
    }

    impl Forward for Echo {
        fn identity(&self) -> (&str, u64) {
            ("echo", 2)
        }

        fn max_batch_rows(&self) -> NonZeroUsize {
            NonZeroUsize::new(4).unwrap()
        }

        fn cost(&self) -> &Cost {
            &self.cost
        }

        fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
            let rows = Rows::joined(parts)?;
            self.passes.fetch_add(1, Ordering::SeqCst);
            let has = |value| (0..rows.len()).any(|row| rows.columns()[0].f32_row(row) == [value]);
            match () {
                () if has(13.0) => Err(ForwardError::Raised("thirteen".into())),
                () if has(14.0) => panic!("fourteen"),
                () if has(15.0) => Ok(rows.slice(1..rows.len())),
                () => Ok(rows),
            }
        }
    }

    /// Everything that was warmed up runs inline.
    const RULES: BatchRules = BatchRules { linger: Duration::ZERO, inline_below: Duration::from_secs(1), eager: 2 };

    fn pool(count: usize) -> Runners {
        pool_with(count, RULES)
    }

    fn pool_with(count: usize, rules: BatchRules) -> Runners {
        let setup: ThreadSetup = Arc::new(|| Box::new(()) as Box<dyn Any>);
        Runners::start(NonZeroUsize::new(count).unwrap(), rules, &setup, &Metrics::none()).unwrap()
    }

    fn job(model: &Arc<Echo>, values: &[f32]) -> Encoded {
        let column = Column { width: 1, values: Values::F32(values.to_vec()) };
        let rows = Rows::new(values.len(), vec![column]).unwrap();
        Encoded {
            model: Arc::clone(model) as Arc<dyn Forward>,
            rows,
            deadline: None,
            lane: Lane::Interactive,
            since: Instant::now(),
        }
    }

    /// Holds the first runner until the result is dropped.
    fn hold(runners: &Runners) -> mpsc::Sender<()> {
        let (busy, working) = mpsc::channel::<()>();
        let errand = Box::new(move || {
            let _ = working.recv();
        });
        runners.open.batches.send(0, errand);
        busy
    }

    #[tokio::test]
    async fn a_job_larger_than_a_batch_is_split_and_joined_in_order() {
        let model = Arc::new(Echo::default());
        let values: Vec<f32> = (100..110).map(|value| value as f32).collect();
        let scored = pool(2).call(job(&model, &values)).await.unwrap();
        assert_eq!(scored.outputs, job(&model, &values).rows);
        assert_eq!(scored.batch_rows, 4);
        assert_eq!(model.passes.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn many_callers_get_their_own_rows() {
        let (model, runners) = (Arc::new(Echo::default()), pool(2));
        let calls = (0..200_u16).map(|call| {
            let values: Vec<f32> = (0..call % 7 + 1).map(|row| f32::from(call * 32 + 100 + row)).collect();
            let (job, mut runners) = (job(&model, &values), runners.clone());
            async move { assert_eq!(runners.call(job.clone()).await.unwrap().outputs, job.rows) }
        });
        futures::future::join_all(calls).await;
    }

    #[tokio::test]
    async fn rows_that_the_model_fails_on_are_alone_and_the_runner_lives() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        for (value, reason) in [(13.0, "it raised: thirteen"), (14.0, "the engine panicked"), (15.0, "0 rows for 1")] {
            let scored = runners.call(job(&model, &[1.0, 2.0, value, 4.0, 5.0])).await.unwrap();
            assert_eq!(scored.outputs, job(&model, &[1.0, 2.0, 4.0, 5.0]).rows);
            assert_eq!(scored.failed, [(2, reason.to_owned())]);
            assert_eq!((scored.place(1), scored.place(2), scored.place(3)), (Ok(1), Err(reason), Ok(2)));
        }
    }

    #[tokio::test]
    async fn what_waits_together_runs_together() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        let busy = hold(&runners);
        let calls: Vec<_> = [1.0, 2.0, 3.0, 4.0, 5.0]
            .map(|value| tokio::spawn(runners.call(job(&model, &[value]))))
            .into_iter()
            .collect();
        tokio::task::yield_now().await;
        drop(busy);
        let scored = futures::future::join_all(calls).await;
        let sizes: Vec<usize> = scored.into_iter().map(|scored| scored.unwrap().unwrap().batch_rows).collect();
        assert_eq!(sizes, [4, 4, 4, 4, 1]);
    }

    #[test]
    fn interactive_rows_go_before_bulk_rows_of_the_same_age() {
        // See `batch::queue`: told here by the order of the answers.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
            let busy = hold(&runners);
            let bulk = tokio::spawn(runners.call(Encoded { lane: Lane::Bulk, ..job(&model, &[1.0]) }));
            let interactive = tokio::spawn(runners.call(job(&model, &[2.0])));
            tokio::task::yield_now().await;
            drop(busy);
            let (bulk, interactive) = (bulk.await.unwrap().unwrap(), interactive.await.unwrap().unwrap());
            assert!(interactive.queue < bulk.queue, "{:?} {:?}", interactive.queue, bulk.queue);
        });
    }

    #[tokio::test]
    async fn what_is_late_never_runs() {
        let model = Arc::new(Echo::default());
        let late = Encoded { deadline: Some(Instant::now()), ..job(&model, &[1.0]) };
        assert_eq!(pool(1).call(late).await.unwrap_err(), ScoreError::DeadlinePassed);
        assert_eq!(model.passes.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_caller_who_left_is_skipped() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        let busy = hold(&runners);
        drop(runners.call(job(&model, &[1.0])));
        let stays = runners.call(job(&model, &[2.0]));
        drop(busy);
        assert!(stays.await.is_ok());
        assert_eq!(model.passes.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_warm_up_runs_every_size_on_every_thread() {
        let model = Arc::new(Echo::default());
        let rows: Arc<[Rows]> = [job(&model, &[1.0]).rows, job(&model, &[1.0, 2.0]).rows].into();
        pool(3).warm(&(Arc::clone(&model) as Arc<dyn Forward>), &rows).unwrap();
        // Three runners and two threads of sockets, in two sizes each.
        assert_eq!(model.passes.load(Ordering::SeqCst), (3 + 2) * 2 * WARM_PASSES);
    }

    #[tokio::test]
    async fn a_runner_that_dies_is_replaced() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        runners.open.batches.send(0, Box::new(|| panic!("the runner dies")));
        assert!(runners.call(job(&model, &[1.0])).await.is_ok());
    }

    #[tokio::test]
    async fn a_small_batch_runs_on_the_thread_that_it_arrived_on() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
        // The only runner is busy for as long as the test.
        let _busy = hold(&runners);
        let calls: Vec<_> = [1.0, 2.0, 3.0].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into();
        let sizes = futures::future::join_all(calls).await.into_iter().map(|call| call.unwrap().unwrap().batch_rows);
        assert_eq!(sizes.collect::<Vec<_>>(), [3, 3, 3]);
    }

    #[tokio::test]
    async fn what_is_too_much_to_run_here_goes_to_the_runners() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
        let calls: Vec<_> = [1.0; 9].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into();
        let names = futures::future::join_all(calls).await;
        assert!(names.into_iter().all(|call| call.unwrap().is_ok()));
        assert_eq!(model.passes.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn who_leaves_while_he_leads_leaves_nobody_behind() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
        let mut leads = tokio_test::task::spawn(runners.call(job(&model, &[1.0])));
        tokio_test::assert_pending!(leads.poll());
        let follows = tokio::spawn(runners.call(job(&model, &[2.0])));
        tokio::task::yield_now().await;
        drop(leads);
        assert_eq!(follows.await.unwrap().unwrap().batch_rows, 1);
    }

    #[tokio::test]
    async fn rows_linger_for_company_where_they_are_told_to() {
        let rules = BatchRules { linger: Duration::from_millis(20), ..RULES };
        let (model, mut runners) = (Arc::new(Echo::default()), pool_with(1, rules));
        model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
        let begun = Instant::now();
        let calls: Vec<_> = [1.0, 2.0].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into();
        let alone = futures::future::join_all(calls).await;
        assert!(alone.into_iter().all(|call| call.unwrap().unwrap().batch_rows == 2));
        assert!(begun.elapsed() >= rules.linger);
        // A full batch waits for nobody.
        let full = runners.call(job(&model, &[1.0, 2.0, 3.0, 4.0])).await.unwrap();
        assert!(full.queue < rules.linger);
    }

    #[tokio::test]
    async fn a_queue_of_one_row_and_batches_of_one_row_are_enough() {
        let one = NonZeroUsize::MIN;
        let limits = super::super::Limits { rows: one, bytes: one, wait: Duration::ZERO };
        let stack = super::super::assemble(limits, Metrics::none(), pool(1));
        let scored = stack.oneshot(super::super::test::job(9, Lane::Bulk)).await.unwrap();
        assert_eq!(scored.outputs.len(), 9);
    }

    /// Any mix of sizes, values at fault, panics, lanes, places and callers who
    /// leave: everyone who stays gets exactly its own rows, in order, as if it were
    /// alone.
    #[test]
    fn nobody_ever_gets_the_rows_of_another() {
        use proptest::prelude::*;

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        // Some cases run where they arrive and some on runners.
        let pools: Vec<Runners> = {
            let _entered = runtime.enter();
            [Duration::ZERO, Duration::from_micros(2), Duration::from_secs(1)]
                .map(|inline_below| pool_with(2, BatchRules { inline_below, ..BatchRules::default() }))
                .into()
        };
        let lane = prop_oneof![Just(Lane::Interactive), Just(Lane::Bulk), Just(Lane::Shadow)];
        let call = (prop::collection::vec(0_u8..20, 1..12), lane, any::<bool>());
        let calls = prop::collection::vec(call, 1..16);
        proptest!(ProptestConfig::with_cases(10_000), |(calls in calls, pool in 0..3_usize)| {
            let model = Arc::new(Echo::default());
            model.cost.learn(4, Took::undisturbed(Duration::from_micros(2)));
            runtime.block_on(async {
                let (mut staying, mut leaving) = (Vec::new(), Vec::new());
                for (number, (kinds, lane, leaves)) in calls.iter().enumerate() {
                    // 13, 14 and 15 make the model fail; all others are told apart by caller and row.
                    let value = |(row, kind): (usize, &u8)| match kind {
                        13..=15 => f32::from(*kind),
                        _ => (1000 + number * 100 + row) as f32,
                    };
                    let values: Vec<f32> = kinds.iter().enumerate().map(value).collect();
                    let scored = tokio::spawn(pools[pool].clone().call(Encoded { lane: *lane, ..job(&model, &values) }));
                    if *leaves { scored.abort(); leaving.push(scored) } else { staying.push((values, scored)) }
                }
                for (values, scored) in staying {
                    let scored = scored.await.unwrap().unwrap();
                    let good: Vec<f32> = values.iter().copied().filter(|value| *value > 100.0).collect();
                    let failed: Vec<usize> = (0..values.len()).filter(|row| values[*row] < 100.0).collect();
                    assert_eq!(scored.failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), failed);
                    assert_eq!(scored.outputs.len(), good.len());
                    let rows: Vec<f32> = (0..good.len()).map(|row| scored.outputs.columns()[0].f32_row(row)[0]).collect();
                    assert_eq!(rows, good);
                }
                futures::future::join_all(leaving).await;
            });
            assert!(pools[pool].watch()().iter().all(|(_, rows)| *rows == 0), "somebody was left in the queue");
        });
    }
}
