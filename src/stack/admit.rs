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
                // The one that said it was ready, not its clone.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
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

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
    use tower::ServiceExt as _;
    use tower_test::{assert_request_eq, mock};

    use super::*;
    use crate::stack::test::{job, scored};

    type Handle = mock::Handle<usize, Scored>;

    /// The layer over a model that is answered by hand and sees only row counts.
    fn admit(
        limit: usize,
    ) -> (impl Service<Job, Response = Scored, Error = ScoreError, Future = ScoredFuture>, Handle) {
        let (model, handle) = mock::pair::<usize, Scored>();
        let model = model.map_err(|_closed| ScoreError::Draining).map_request(|job: Job| job.rows.len());
        (AdmitLayer::new(NonZeroUsize::new(limit).unwrap()).layer(model), handle)
    }

    fn ready(admit: &mut impl Service<Job, Error = ScoreError>) {
        assert_ready_ok!(task::spawn(std::future::poll_fn(|context| admit.poll_ready(context))).poll());
    }

    #[tokio::test]
    async fn refuses_rows_over_the_budget_and_recovers() {
        let (mut admit, mut model) = admit(8);
        model.allow(9);
        ready(&mut admit);
        let mut first = task::spawn(admit.call(job(8, Lane::Interactive)));
        assert_pending!(first.poll());
        ready(&mut admit);
        let refused = assert_ready_err!(task::spawn(admit.call(job(1, Lane::Interactive))).poll());
        assert_eq!(refused, ScoreError::Overloaded { rows: 1, limit: 8, retry_after: RETRY_AFTER });

        assert_request_eq!(model, 8).send_response(scored(8));
        assert_ready_ok!(first.poll());
        ready(&mut admit);
        assert_pending!(task::spawn(admit.call(job(8, Lane::Interactive))).poll());
    }

    #[test]
    fn a_caller_who_leaves_gives_its_share_back() {
        let (mut admit, mut model) = admit(8);
        model.allow(9);
        ready(&mut admit);
        let mut first = task::spawn(admit.call(job(8, Lane::Interactive)));
        assert_pending!(first.poll());
        drop(first);
        ready(&mut admit);
        assert_pending!(task::spawn(admit.call(job(8, Lane::Interactive))).poll());
    }

    #[tokio::test]
    async fn bulk_rows_wait_for_their_place() {
        let (mut admit, mut model) = admit(8);
        model.allow(9);
        ready(&mut admit);
        let mut first = task::spawn(admit.call(job(8, Lane::Bulk)));
        assert_pending!(first.poll());
        ready(&mut admit);
        let mut second = task::spawn(admit.call(job(4, Lane::Bulk)));
        assert_pending!(second.poll());

        assert_request_eq!(model, 8).send_response(scored(8));
        assert_ready_ok!(first.poll());
        assert!(second.is_woken());
        assert_pending!(second.poll());
        assert_request_eq!(model, 4).send_response(scored(4));
        assert_ready_ok!(second.poll());
    }

    #[test]
    fn what_could_never_fit_is_refused_even_in_bulk() {
        let (mut admit, mut model) = admit(8);
        model.allow(9);
        ready(&mut admit);
        let refused = assert_ready!(task::spawn(admit.call(job(9, Lane::Bulk))).poll());
        assert!(matches!(refused, Err(ScoreError::Overloaded { rows: 9, limit: 8, .. })));
    }
}
