//! Bounds what waits or runs: in rows, in bytes, and in the time that it takes.
//!
//! It counts rows and not requests, since rows are what costs. Interactive jobs
//! over a bound are refused at once. Bulk jobs wait here for a share of their half
//! of the rows, so that a flood of streams leaves room for whoever asks for one
//! row. They wait here for the rate of their caller too, with what they hold in
//! memory in its place.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::{Job, Lane, Scored, ScoredFuture, take_ready};
use crate::{
    error::{ScoreError, Shortage},
    identity::Fare,
    telemetry,
};

/// What a refused caller is told to wait at least and at most. What waits is gone
/// after the time that it was expected to take; sooner than some batches nothing
/// has changed, and later than a second nobody knows.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How much of the time until its deadline a job may be expected to wait. An
/// expectation can be wrong by half, and the answer has to be made and sent.
const PATIENCE: f64 = 0.5;

/// How much may wait or run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows, over all versions.
    pub rows: NonZeroUsize,
    /// Bytes that their requests hold in memory.
    pub bytes: NonZeroUsize,
    /// How long an interactive job without a deadline may be expected to wait.
    pub wait: Duration,
}

/// Makes [`Admit`]; all services of one layer share one budget.
#[derive(Debug, Clone)]
pub struct AdmitLayer {
    budget: Budget,
}

/// What may wait or run; clones share it.
#[derive(Debug, Clone)]
struct Budget {
    rows: Arc<Semaphore>,
    /// Taken by bulk jobs before their share of all.
    half: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Taken by jobs that may have to wait for their caller's rate, which can be long: what one of
    /// them asks for must not keep all others from asking.
    paying: Arc<Semaphore>,
    backlog: Arc<Backlog>,
    limits: Limits,
}

/// The work of all interactive jobs that were admitted and not yet answered.
#[derive(Debug)]
struct Backlog {
    nanos: AtomicU64,
    /// Among so many threads.
    runners: u32,
}

/// What a job holds while it waits or runs.
struct Share {
    _rows: OwnedSemaphorePermit,
    _half: Option<OwnedSemaphorePermit>,
    _bytes: OwnedSemaphorePermit,
    _work: Option<Work>,
}

/// What a bulk job asks for.
struct Asked {
    rows: usize,
    bytes: usize,
    fare: Option<Fare>,
}

/// A job's part of the backlog.
struct Work {
    backlog: Arc<Backlog>,
    nanos: u64,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Admit<S> {
    inner: S,
    budget: Budget,
}

impl AdmitLayer {
    /// At most so much at a time, for a pool of `runners`.
    pub fn new(limits: Limits, runners: NonZeroUsize) -> Self {
        let permits = |limit: usize| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        let runners = u32::try_from(runners.get()).unwrap_or(u32::MAX);
        Self {
            budget: Budget {
                rows: permits(limits.rows.get()),
                half: permits(half(limits.rows.get())),
                bytes: permits(limits.bytes.get()),
                paying: permits(half(limits.bytes.get())),
                backlog: Arc::new(Backlog { nanos: AtomicU64::new(0), runners }),
                limits,
            },
        }
    }

    /// What there may be, and a reading of what of it is taken. It does not keep the queue.
    pub(super) fn watch(&self) -> (telemetry::Budget, impl Fn() -> telemetry::Budget + Clone + Send + Sync + 'static) {
        let (rows, bytes) = (&self.budget.rows, &self.budget.bytes);
        let limit = telemetry::Budget { rows: rows.available_permits(), bytes: bytes.available_permits() };
        let (rows, bytes) = (Arc::clone(rows), Arc::clone(bytes));
        let taken = move || telemetry::Budget {
            rows: limit.rows.saturating_sub(rows.available_permits()),
            bytes: limit.bytes.saturating_sub(bytes.available_permits()),
        };
        (limit, taken)
    }
}

/// The larger half.
fn half(whole: usize) -> usize {
    whole.div_ceil(2)
}

/// What `wanted` takes of a limit: what is larger than all of it takes all of it,
/// and so has its turn when nothing else is there.
fn weight(wanted: usize, limit: usize) -> u32 {
    // Semaphores hand out permits by u32.
    u32::try_from(wanted.min(limit)).unwrap_or(u32::MAX)
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit { inner, budget: self.budget.clone() }
    }
}

impl Budget {
    /// A share for an interactive job, now or not at all.
    fn at_once(&self, job: &Job) -> Result<Share, ScoreError> {
        self.check_wait(job)?;
        let bytes = self.bytes(job)?;
        let rows = self.rows_now(job.count)?;
        // Last: what is refused anyway costs nothing.
        job.fare.as_ref().map_or(Ok(()), Fare::take)?;
        let work = Some(self.backlog.add(job.model.cost().share(job.count, job.model.max_batch_rows().get())));
        Ok(Share { _rows: rows, _half: None, _bytes: bytes, _work: work })
    }

    /// A share for a bulk job, as soon as there is one: only what it holds in memory
    /// while it waits must have its place at once.
    async fn in_turn(self, asked: Asked, bytes: Result<OwnedSemaphorePermit, ScoreError>) -> Result<Share, ScoreError> {
        let (bytes, rows, limit) = (bytes?, asked.rows, self.limits.rows.get());
        if let Some(fare) = &asked.fare {
            let _place = self.place_to_wait(asked.bytes)?;
            fare.paid().await?;
        }
        let (all, part) = (weight(rows, limit), weight(rows, half(limit)));
        // Never closed.
        let half = self.half.acquire_many_owned(part).await.map_err(|_closed| ScoreError::Draining)?;
        let rows = self.rows.acquire_many_owned(all).await.map_err(|_closed| ScoreError::Draining)?;
        Ok(Share { _rows: rows, _half: Some(half), _bytes: bytes, _work: None })
    }

    /// The place of a job that may have to wait for its caller's rate.
    fn place_to_wait(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ScoreError> {
        let limit = half(self.limits.bytes.get());
        let place = Arc::clone(&self.paying).try_acquire_many_owned(weight(bytes, limit));
        place.map_err(|_full| self.refusal(Shortage::Bytes { bytes, limit }))
    }

    /// Refuses a job that would wait longer than it can. Where nothing waits every
    /// job has its try: who was never let in could never show that it got faster.
    fn check_wait(&self, job: &Job) -> Result<(), ScoreError> {
        let expected = self.backlog.wait();
        if expected.is_zero() {
            return Ok(());
        }
        let allowed = match job.deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let own = job.model.cost().of(job.count).unwrap_or_default();
                left.saturating_sub(own).mul_f64(PATIENCE)
            }
            None => self.limits.wait,
        };
        if expected <= allowed { Ok(()) } else { Err(self.refusal(Shortage::Wait { expected, allowed })) }
    }

    fn bytes(&self, job: &Job) -> Result<OwnedSemaphorePermit, ScoreError> {
        let limit = self.limits.bytes.get();
        let share = Arc::clone(&self.bytes).try_acquire_many_owned(weight(job.bytes, limit));
        share.map_err(|_full| self.refusal(Shortage::Bytes { bytes: job.bytes, limit }))
    }

    fn rows_now(&self, rows: usize) -> Result<OwnedSemaphorePermit, ScoreError> {
        let limit = self.limits.rows.get();
        let share = Arc::clone(&self.rows).try_acquire_many_owned(weight(rows, limit));
        share.map_err(|_full| self.refusal(Shortage::Rows { rows, limit }))
    }

    fn refusal(&self, shortage: Shortage) -> ScoreError {
        let (least, most) = RETRY_AFTER;
        ScoreError::Overloaded { shortage, retry_after: self.backlog.wait().clamp(least, most) }
    }
}

impl Backlog {
    /// How long what was admitted keeps the runners busy.
    fn wait(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) / self.runners.max(1)
    }

    fn add(self: &Arc<Self>, work: Duration) -> Work {
        let nanos = u64::try_from(work.as_nanos()).unwrap_or(u64::MAX / 2);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        Work { backlog: Arc::clone(self), nanos }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.backlog.nanos.fetch_sub(self.nanos, Ordering::Relaxed);
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
        if job.lane == Lane::Bulk {
            return self.call_in_turn(job);
        }
        match self.budget.at_once(&job) {
            Ok(share) => Box::pin(hold(share, self.inner.call(job))),
            Err(refused) => Box::pin(async { Err(refused) }),
        }
    }
}

impl<S> Admit<S>
where
    S: Service<Job, Error = ScoreError, Response = Scored> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    fn call_in_turn(&mut self, job: Job) -> ScoredFuture {
        let mut inner = take_ready(&mut self.inner);
        let asked = Asked { rows: job.count, bytes: job.bytes, fare: job.fare.clone() };
        let share = self.budget.clone().in_turn(asked, self.budget.bytes(&job));
        Box::pin(async move {
            let share = before(job.deadline, share).await?;
            hold(share, inner.call(job)).await
        })
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
mod tests;
