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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
    use tower::ServiceExt as _;
    use tower_test::mock;

    use super::*;
    use crate::stack::{Lane, Scored, test::job};

    fn first_poll(deadline: Option<Instant>) -> std::task::Poll<Result<Scored, ScoreError>> {
        let (model, mut handle) = mock::pair::<usize, Scored>();
        handle.allow(1);
        let model = model.map_err(|_closed| ScoreError::Draining).map_request(|job: Job| job.count);
        let mut layered = DeadlineLayer.layer(model);
        assert_ready_ok!(task::spawn(std::future::poll_fn(|context| layered.poll_ready(context))).poll());
        let call = layered.call(Job { deadline, ..job(1, Lane::Interactive) });
        task::spawn(call).poll()
    }

    #[test]
    fn a_job_whose_deadline_passed_is_refused_at_once() {
        assert_eq!(assert_ready_err!(first_poll(Some(Instant::now()))), ScoreError::DeadlinePassed);
    }

    #[test]
    fn a_job_with_time_left_or_without_a_deadline_goes_on() {
        assert_pending!(first_poll(Some(Instant::now() + Duration::from_secs(3600))));
        assert_pending!(first_poll(None));
    }
}
