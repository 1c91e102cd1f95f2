//! Bounds the rows that wait or run.
//!
//! It counts rows and not requests, since rows are what costs. Interactive jobs
//! over the bound are refused. Bulk jobs wait here for a share of their half, so
//! that a flood of streams leaves room for whoever asks for one row.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
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
    budget: Budget,
}

/// Rows that may wait or run; clones share them.
#[derive(Debug, Clone)]
struct Budget {
    all: Arc<Semaphore>,
    /// Taken by bulk jobs before their share of all.
    bulk: Arc<Semaphore>,
    limit: u32,
    bulk_limit: u32,
}

/// What a job holds while it waits or runs.
type Share = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// See the module.
#[derive(Debug, Clone)]
pub struct Admit<S> {
    inner: S,
    budget: Budget,
}

impl AdmitLayer {
    /// At most `limit` rows at a time.
    pub fn new(limit: NonZeroUsize) -> Self {
        // Semaphores hand out permits by u32.
        let limit = u32::try_from(limit.get()).unwrap_or(u32::MAX);
        let bulk_limit = limit.div_ceil(2);
        let permits = |limit| Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { budget: Budget { all: permits(limit), bulk: permits(bulk_limit), limit, bulk_limit } }
    }
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit { inner, budget: self.budget.clone() }
    }
}

impl Budget {
    /// A share for an interactive job, now or not at all.
    fn at_once(&self, rows: usize) -> Result<Share, ScoreError> {
        let share = Arc::clone(&self.all).try_acquire_many_owned(self.weight(rows)?);
        share.map(|share| (share, None)).map_err(|_full| self.refusal(rows))
    }

    /// A share for a bulk job, as soon as there is one. What is larger than the
    /// bulk half takes all of that half.
    async fn in_turn(self, rows: usize) -> Result<Share, ScoreError> {
        let weight = self.weight(rows)?;
        let half = weight.min(self.bulk_limit);
        // Never closed.
        let bulk = self.bulk.acquire_many_owned(half).await.map_err(|_closed| ScoreError::Draining)?;
        let share = self.all.acquire_many_owned(weight).await.map_err(|_closed| ScoreError::Draining)?;
        Ok((share, Some(bulk)))
    }

    /// What the rows take of all; refused where even an empty queue is too small.
    fn weight(&self, rows: usize) -> Result<u32, ScoreError> {
        let weight = u32::try_from(rows).ok().filter(|weight| *weight <= self.limit);
        weight.ok_or_else(|| self.refusal(rows))
    }

    fn refusal(&self, rows: usize) -> ScoreError {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        ScoreError::Overloaded { rows, limit, retry_after: RETRY_AFTER }
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
        match job.lane {
            Lane::Interactive => match self.budget.at_once(job.rows.len()) {
                Ok(share) => Box::pin(hold(share, self.inner.call(job))),
                Err(refused) => Box::pin(async { Err(refused) }),
            },
            Lane::Bulk => {
                // The one that said it was ready, not its clone.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                let share = self.budget.clone().in_turn(job.rows.len());
                Box::pin(async move {
                    let share = before(job.deadline, share).await?;
                    hold(share, inner.call(job)).await
                })
            }
        }
    }
}

/// What `share` gives, unless the deadline comes first.
async fn before<T>(
    deadline: Option<Instant>,
    share: impl Future<Output = Result<T, ScoreError>>,
) -> Result<T, ScoreError> {
    match deadline {
        Some(deadline) => {
            tokio::time::timeout_at(deadline.into(), share).await.unwrap_or(Err(ScoreError::DeadlinePassed))
        }
        None => share.await,
    }
}

/// Gives the share back when the rows were answered or the caller left.
async fn hold<F: Future>(share: Share, scored: F) -> F::Output {
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
        let mut first = task::spawn(admit.call(job(3, Lane::Bulk)));
        assert_pending!(first.poll());
        ready(&mut admit);
        let mut second = task::spawn(admit.call(job(2, Lane::Bulk)));
        assert_pending!(second.poll());

        assert_request_eq!(model, 3).send_response(scored(3));
        assert_ready_ok!(first.poll());
        assert!(second.is_woken());
        assert_pending!(second.poll());
        assert_request_eq!(model, 2).send_response(scored(2));
        assert_ready_ok!(second.poll());
    }

    #[test]
    fn a_flood_of_bulk_rows_leaves_half_to_interactive_ones() {
        let (mut admit, mut model) = admit(8);
        model.allow(9);
        let mut flood = Vec::new();
        for _ in 0..4 {
            ready(&mut admit);
            let mut bulk = task::spawn(admit.call(job(2, Lane::Bulk)));
            assert_pending!(bulk.poll());
            flood.push(bulk);
        }
        ready(&mut admit);
        assert_pending!(task::spawn(admit.call(job(4, Lane::Interactive))).poll());
    }

    #[tokio::test]
    async fn a_bulk_job_larger_than_its_half_has_its_turn_when_all_is_free() {
        let (mut admit, mut model) = admit(8);
        model.allow(9);
        ready(&mut admit);
        let mut large = task::spawn(admit.call(job(8, Lane::Bulk)));
        assert_pending!(large.poll());
        assert_request_eq!(model, 8).send_response(scored(8));
        assert_ready_ok!(large.poll());
    }

    #[tokio::test(start_paused = true)]
    async fn a_bulk_job_waits_no_longer_than_its_deadline() {
        let (mut admit, mut model) = admit(8);
        model.allow(9);
        ready(&mut admit);
        let mut first = task::spawn(admit.call(job(4, Lane::Bulk)));
        assert_pending!(first.poll());
        ready(&mut admit);
        let deadline = Some(Instant::now() + Duration::from_secs(1));
        let late = admit.call(Job { deadline, ..job(1, Lane::Bulk) });
        assert_eq!(late.await, Err(ScoreError::DeadlinePassed));
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
