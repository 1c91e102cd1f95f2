//! Bounds the rows that wait or run.
//!
//! It counts rows and not requests, since rows are what costs. It does not
//! queue: interactive jobs over the bound are refused, bulk jobs wait here.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::{Job, Lane, Scored, ScoredFuture};
use crate::error::ScoreError;

/// What a refused caller is told to wait: a few batches' time, so that it meets
/// a shorter queue, and little against what a person notices.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Makes [`Admit`]; all services of one layer share one budget.
#[derive(Debug, Clone)]
pub struct AdmitLayer {
    budget: Arc<Semaphore>,
    limit: usize,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Admit<S> {
    inner: S,
    budget: Arc<Semaphore>,
    limit: usize,
}

impl AdmitLayer {
    /// At most `limit` rows at a time.
    pub fn new(limit: NonZeroUsize) -> Self {
        let limit = limit.get().min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self { budget: Arc::new(Semaphore::new(limit)), limit }
    }
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit { inner, budget: Arc::clone(&self.budget), limit: self.limit }
    }
}

impl<S> Admit<S> {
    fn overloaded(&self, rows: usize) -> ScoreError {
        ScoreError::Overloaded { rows, limit: self.limit, retry_after: RETRY_AFTER }
    }
}

impl<S> Service<Job> for Admit<S>
where
    S: Service<Job, Error = ScoreError, Response = Scored> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Scored;
    type Error = ScoreError;
    type Future = ScoredFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ScoreError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        // Taken here and not in `poll_ready`: what is ready but never calls would
        // sit on its share of the budget.
        let weight = match u32::try_from(job.rows.len()) {
            Ok(weight) if job.rows.len() <= self.limit => weight,
            _ => {
                let refused = self.overloaded(job.rows.len());
                return Box::pin(async { Err(refused) });
            }
        };
        let budget = Arc::clone(&self.budget);
        match job.lane {
            Lane::Interactive => match budget.try_acquire_many_owned(weight) {
                Ok(share) => Box::pin(hold(share, self.inner.call(job))),
                Err(_full) => {
                    let refused = self.overloaded(job.rows.len());
                    Box::pin(async { Err(refused) })
                }
            },
            Lane::Bulk => {
                let mut inner = self.inner.clone();
                Box::pin(async move {
                    let share = budget.acquire_many_owned(weight).await.map_err(|_closed| ScoreError::Draining)?;
                    hold(share, inner.call(job)).await
                })
            }
        }
    }
}

/// Gives the share back when the rows were answered or the caller left.
async fn hold<F: Future>(share: OwnedSemaphorePermit, scored: F) -> F::Output {
    let scored = scored.await;
    drop(share);
    scored
}
