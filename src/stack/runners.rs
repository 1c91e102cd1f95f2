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
mod tests;
