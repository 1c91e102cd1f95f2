//! A fixed pool of threads that run batches, and the stack's innermost service.
//!
//! Threads of our own and not tokio's: a forward pass blocks, and libtorch keeps
//! state per thread that must be set once and stay warm.

mod warm;

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use thiserror::Error;
use tokio::runtime::Handle;
use tower::Service;
use tracing::error;

use super::{BatchRules, Encoded, Scored, ScoredFuture, batch::Batches};
use crate::{
    error::ScoreError,
    telemetry::{Metrics, Presence},
};

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
    presence: Presence,
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
        let presence = metrics.runners(count.get());
        for index in 0..count.get() {
            let (batches, setup, metrics) = (batches.clone(), Arc::clone(setup), metrics.clone());
            let runner = Runner { index, batches, setup, metrics, presence: presence.clone() };
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
}

impl Runner {
    fn start(self) -> io::Result<()> {
        let name = format!("runner-{}", self.index);
        let present = self.presence.one();
        let run = move || {
            let _present = present;
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
