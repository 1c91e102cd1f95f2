//! A fixed pool of threads that run forward passes, one job at a time each.
//!
//! Threads of our own and not tokio's: a forward pass blocks, and libtorch keeps
//! state per thread that must be set once and stay warm.

use std::{
    any::Any,
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, select_biased, unbounded};
use thiserror::Error;
use tokio::sync::oneshot;
use tower::Service;

use super::{Job, Scored, ScoredFuture};
use crate::{
    error::ScoreError,
    rows::{Forward, Rows},
};

/// Runs at the start of every runner; what it returns lives as long as the thread.
pub type ThreadSetup = Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>;

/// The pool. Clones share the threads; they end when the last clone is gone.
#[derive(Clone)]
pub struct Runners {
    queue: Sender<Waiting>,
    errands: Arc<[Sender<Errand>]>,
}

/// A thread that could not be started.
#[derive(Debug, Error)]
#[error("runner {index} of {count} did not start: {source}")]
pub struct RunnerError {
    index: usize,
    count: NonZeroUsize,
    source: io::Error,
}

struct Waiting {
    job: Job,
    since: Instant,
    reply: oneshot::Sender<Result<Scored, ScoreError>>,
}

/// Something that one particular runner does between jobs, such as a warm-up.
type Errand = Box<dyn FnOnce() + Send>;

impl Runners {
    /// Starts `count` threads.
    ///
    /// # Errors
    ///
    /// [`RunnerError`] where the system refuses a thread.
    pub fn start(count: NonZeroUsize, setup: &ThreadSetup) -> Result<Self, RunnerError> {
        // Unbounded here because `Admit` bounds the rows above it.
        let (queue, waiting) = unbounded();
        let mut errands = Vec::with_capacity(count.get());
        for index in 0..count.get() {
            let (sender, receiver) = unbounded();
            errands.push(sender);
            let (waiting, setup) = (waiting.clone(), Arc::clone(setup));
            thread::Builder::new()
                .name(format!("runner-{index}"))
                .spawn(move || {
                    let _kept = setup();
                    run(&waiting, &receiver);
                })
                .map_err(|source| RunnerError { index, count, source })?;
        }
        Ok(Self { queue, errands: errands.into() })
    }

    /// Has every runner run the model once in each of `rows`, so that no request
    /// pays for what libtorch does in its first passes. Blocks until all did.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Model`] where a pass failed.
    pub fn warm(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), ScoreError> {
        let (done, outcomes) = unbounded();
        for runner in self.errands.iter() {
            let (model, rows, done) = (Arc::clone(model), Arc::clone(rows), done.clone());
            let errand: Errand = Box::new(move || {
                let outcome = rows.iter().try_for_each(|rows| pass(model.as_ref(), rows).map(drop));
                // The receiver is gone only where another runner failed already.
                let _ = done.send(outcome);
            });
            let _ = runner.send(errand);
        }
        drop(done);
        outcomes.iter().collect()
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
        let (reply, scored) = oneshot::channel();
        let sent = self.queue.send(Waiting { job, since: Instant::now(), reply });
        Box::pin(async move {
            sent.map_err(|_gone| ScoreError::Draining)?;
            scored.await.map_err(|_gone| ScoreError::Draining)?
        })
    }
}

fn run(queue: &Receiver<Waiting>, errands: &Receiver<Errand>) {
    loop {
        select_biased! {
            recv(queue) -> waiting => match waiting {
                Ok(waiting) => answer(waiting),
                Err(_closed) => return,
            },
            recv(errands) -> errand => match errand {
                Ok(errand) => errand(),
                Err(_closed) => return,
            },
        }
    }
}

fn answer(Waiting { job, since, reply }: Waiting) {
    // The caller left: nobody would read the answer.
    if reply.is_closed() {
        return;
    }
    let begun = Instant::now();
    let scored = if job.deadline.is_some_and(|deadline| deadline <= begun) {
        Err(ScoreError::DeadlinePassed)
    } else {
        score(&job, begun - since)
    };
    let _ = reply.send(scored);
}

/// Runs a job in passes of at most the model's batch size.
fn score(job: &Job, queue: Duration) -> Result<Scored, ScoreError> {
    let most = job.model.max_batch_rows().get();
    let begun = Instant::now();
    if job.rows.len() <= most {
        let outputs = pass(job.model.as_ref(), &job.rows)?;
        return Ok(Scored { outputs, queue, compute: begun.elapsed(), batch_rows: job.rows.len() });
    }
    let mut outputs = pass(job.model.as_ref(), &job.rows.slice(0..most))?;
    for start in (most..job.rows.len()).step_by(most) {
        let part = pass(job.model.as_ref(), &job.rows.slice(start..start + most))?;
        outputs.append(&part).map_err(|ragged| failed(job.model.as_ref(), ragged.to_string()))?;
    }
    Ok(Scored { outputs, queue, compute: begun.elapsed(), batch_rows: most })
}

/// One forward pass; a panic in the engine is an error like any other.
fn pass(model: &dyn Forward, rows: &Rows) -> Result<Rows, ScoreError> {
    match catch_unwind(AssertUnwindSafe(|| model.forward(rows))) {
        Ok(Ok(outputs)) if outputs.len() == rows.len() => Ok(outputs),
        Ok(Ok(outputs)) => Err(failed(model, format!("{} rows for {}", outputs.len(), rows.len()))),
        Ok(Err(error)) => Err(failed(model, error.to_string())),
        Err(_panic) => Err(failed(model, "the engine panicked".into())),
    }
}

fn failed(model: &dyn Forward, reason: String) -> ScoreError {
    let (name, version) = model.identity();
    ScoreError::Model { model: name.to_owned(), version, reason }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{
        rows::{Column, ForwardError, Values},
        stack::Lane,
    };

    /// Answers each row's own value; raises for 13, panics for 14, and answers
    /// one row too few for 15.
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
            match rows.columns()[0].f32_row(0) {
                [13.0] => Err(ForwardError::Raised("thirteen".into())),
                [14.0] => panic!("fourteen"),
                [15.0] => Ok(rows.slice(1..rows.len())),
                _ => Ok(rows.clone()),
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
        Job { model: Arc::clone(model) as Arc<dyn Forward>, rows, deadline: None, lane: Lane::Interactive }
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
    async fn a_model_that_raises_panics_or_answers_too_little_is_an_error_and_the_runner_lives() {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        for (value, reason) in [(13.0, "it raised: thirteen"), (14.0, "the engine panicked"), (15.0, "0 rows for 1")] {
            let failed = runners.call(job(&model, &[value])).await.unwrap_err();
            let wanted = ScoreError::Model { model: "echo".into(), version: 2, reason: reason.into() };
            assert_eq!(failed, wanted);
        }
        assert!(runners.call(job(&model, &[1.0])).await.is_ok());
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
        let (busy, working) = crossbeam_channel::bounded::<()>(0);
        let errand: Errand = Box::new(move || {
            let _ = working.recv();
        });
        runners.errands[0].send(errand).unwrap();
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
}
