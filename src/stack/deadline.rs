//! Refuses jobs whose deadline passed before they reached the queue.
//!
//! The runner looks at the deadline again before it runs a job, and the
//! connection's layer answers the caller the moment it passes.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use tower::{Layer, Service};

use super::{Job, ScoredFuture};
use crate::error::ScoreError;

/// Makes [`RefuseLate`].
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer;

/// See the module.
#[derive(Debug, Clone)]
pub struct RefuseLate<S> {
    inner: S,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = RefuseLate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RefuseLate { inner }
    }
}

impl<S> Service<Job> for RefuseLate<S>
where
    S: Service<Job, Error = ScoreError, Response = super::Scored>,
    S::Future: Send + 'static,
{
    type Response = super::Scored;
    type Error = ScoreError;
    type Future = ScoredFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ScoreError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        if job.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Box::pin(async { Err(ScoreError::DeadlinePassed) });
        }
        Box::pin(self.inner.call(job))
    }
}
