//! A fixed pool of threads that run batches, and the stack's innermost service.
//!
//! Threads of our own and not tokio's: a forward pass blocks, and libtorch keeps
//! state per thread that must be set once and stay warm.

use std::{
    any::Any,
    io,
    num::NonZeroUsize,
    sync::{Arc, mpsc},
    task::{Context, Poll},
    thread,
};

use thiserror::Error;
use tower::Service;

use super::{
    Job, Scored, ScoredFuture,
    batch::{Batches, pass, run},
};
use crate::{
    error::ScoreError,
    rows::{Forward, Rows},
};

/// Runs at the start of every runner; what it returns lives as long as the thread.
pub type ThreadSetup = Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>;

/// The pool. Clones share the threads; they end when the last clone is gone.
#[derive(Clone)]
pub struct Runners {
    count: usize,
    open: Arc<Open>,
}

/// Keeps the threads.
struct Open {
    batches: Batches,
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
    /// Starts `count` threads.
    ///
    /// # Errors
    ///
    /// [`RunnerError`] where the system refuses a thread.
    pub fn start(count: NonZeroUsize, setup: &ThreadSetup) -> Result<Self, RunnerError> {
        let batches = Batches::new(count.get());
        let runners = Self { count: count.get(), open: Arc::new(Open { batches: batches.clone() }) };
        for index in 0..count.get() {
            let (batches, setup) = (batches.clone(), Arc::clone(setup));
            thread::Builder::new()
                .name(format!("runner-{index}"))
                .spawn(move || {
                    let _kept = setup();
                    run(&batches, index);
                })
                .map_err(|source| RunnerError { index, count, source })?;
        }
        Ok(runners)
    }

    /// Has every runner run the model once in each of `rows`, so that no request
    /// pays for what libtorch does in its first passes. Blocks until all did.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Model`] where a pass failed.
    pub fn warm(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), ScoreError> {
        let (done, outcomes) = mpsc::channel();
        for runner in 0..self.count {
            let (model, rows, done) = (Arc::clone(model), Arc::clone(rows), done.clone());
            let errand = Box::new(move || {
                let outcome = rows.iter().try_for_each(|rows| pass(model.as_ref(), rows).map(drop));
                // The receiver is gone only where another runner failed already.
                let _ = done.send(outcome);
            });
            self.open.batches.send(runner, errand);
        }
        drop(done);
        let (name, version) = model.identity();
        let failed = |reason| ScoreError::Model { model: name.to_owned(), version, reason };
        outcomes.iter().collect::<Result<(), String>>().map_err(failed)
    }
}

impl Service<Job> for Runners {
    type Response = Scored;
    type Error = ScoreError;
    type Future = ScoredFuture;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ScoreError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: Job) -> Self::Future {
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
        time::Instant,
    };

    use super::*;
    use crate::{
        rows::{Column, ForwardError, Values},
        stack::Lane,
    };

    /// Answers each row's own value; raises where a row is 13, panics for 14, and
    /// answers one row too few for 15.
    #[derive(Default)]
    struct Echo {
        passes: AtomicUsize,
    }

    impl Forward for Echo {
        fn identity(&self) -> (&str, u64) {
            ("echo", 2)
        }

        fn max_batch_rows(&self) -> NonZeroUsize {
            NonZeroUsize::new(4).unwrap()
        }

        fn forward(&self, rows: &Rows) -> Result<Rows, ForwardError> {
            self.passes.fetch_add(1, Ordering::SeqCst);
            let has = |value| (0..rows.len()).any(|row| rows.columns()[0].f32_row(row) == [value]);
            match () {
                () if has(13.0) => Err(ForwardError::Raised("thirteen".into())),
                () if has(14.0) => panic!("fourteen"),
                () if has(15.0) => Ok(rows.slice(1..rows.len())),
                () => Ok(rows.clone()),
            }
        }
    }

    fn pool(count: usize) -> Runners {
        let setup: ThreadSetup = Arc::new(|| Box::new(()) as Box<dyn Any>);
        Runners::start(NonZeroUsize::new(count).unwrap(), &setup).unwrap()
    }

    fn job(model: &Arc<Echo>, values: &[f32]) -> Job {
        let column = Column { width: 1, values: Values::F32(values.to_vec()) };
        let rows = Rows::new(values.len(), vec![column]).unwrap();
        Job {
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
            let bulk = tokio::spawn(runners.call(Job { lane: Lane::Bulk, ..job(&model, &[1.0]) }));
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
        let late = Job { deadline: Some(Instant::now()), ..job(&model, &[1.0]) };
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

    #[test]
    fn a_warm_up_runs_every_size_on_every_runner() {
        let model = Arc::new(Echo::default());
        let rows: Arc<[Rows]> = [job(&model, &[1.0]).rows, job(&model, &[1.0, 2.0]).rows].into();
        pool(3).warm(&(Arc::clone(&model) as Arc<dyn Forward>), &rows).unwrap();
        assert_eq!(model.passes.load(Ordering::SeqCst), 6);
    }

    /// Any mix of sizes, values at fault, lanes and callers who leave: everyone
    /// who stays gets exactly its own rows, in order.
    #[test]
    fn nobody_ever_gets_the_rows_of_another() {
        use proptest::prelude::*;

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let runners = pool(2);
        let call = (prop::collection::vec(0_u8..20, 1..12), any::<bool>(), any::<bool>());
        proptest!(ProptestConfig::with_cases(2000), |(calls in prop::collection::vec(call, 1..24))| {
            let model = Arc::new(Echo::default());
            runtime.block_on(async {
                let mut staying = Vec::new();
                for (number, (kinds, bulk, leaves)) in calls.iter().enumerate() {
                    // 13, 14 and 15 make the model fail; all others are told apart by caller and row.
                    let value = |(row, kind): (usize, &u8)| match kind {
                        13..=15 => f32::from(*kind),
                        _ => (1000 + number * 100 + row) as f32,
                    };
                    let values: Vec<f32> = kinds.iter().enumerate().map(value).collect();
                    let lane = if *bulk { Lane::Bulk } else { Lane::Interactive };
                    let scored = tokio::spawn(runners.clone().call(Job { lane, ..job(&model, &values) }));
                    if *leaves { scored.abort() } else { staying.push((values, scored)) }
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
            });
        });
    }
}
