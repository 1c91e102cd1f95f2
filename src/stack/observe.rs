//! Counts what becomes of every job: rows answered, failed, refused, given up.
//!
//! Here and nowhere else in the stack, so that nothing is counted twice; what a
//! single pass did is counted where it ran.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tower::{Layer, Service};
use tracing::debug;

use super::{Job, Lane, Scored, ScoredFuture};
use crate::{
    cost::Answered,
    error::{ScoreError, Shortage},
    rows::Forward,
    telemetry::{Journey, Leg, Metrics, Reason, RowsOutcome},
};

/// Makes [`Observe`].
#[derive(Clone)]
pub struct ObserveLayer {
    metrics: Metrics,
}

/// See the module.
#[derive(Clone)]
pub struct Observe<S> {
    inner: S,
    metrics: Metrics,
}

/// A job until it is answered or its caller leaves.
struct Observed {
    scored: ScoredFuture,
    model: Arc<dyn Forward>,
    rows: usize,
    deadline: Option<Instant>,
    lane: Lane,
    journey: Option<Journey>,
    metrics: Metrics,
    begun: Instant,
    answered: bool,
}

impl ObserveLayer {
    /// Counts into `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe { inner, metrics: self.metrics.clone() }
    }
}

impl<S> Service<Job> for Observe<S>
where
    S: Service<Job, Response = Scored, Error = ScoreError, Future = ScoredFuture>,
{
    type Response = Scored;
    type Error = ScoreError;
    type Future = ScoredFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ScoreError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        let Job { count: rows, deadline, lane, .. } = job;
        let (model, journey) = (Arc::clone(&job.model), job.journey.clone());
        let scored = self.inner.call(job);
        Box::pin(Observed {
            scored,
            model,
            rows,
            deadline,
            lane,
            journey,
            metrics: self.metrics.clone(),
            begun: Instant::now(),
            answered: false,
        })
    }
}

impl Future for Observed {
    type Output = Result<Scored, ScoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let scored = ready!(self.scored.as_mut().poll(context));
        self.answered = true;
        match &scored {
            Ok(scored) => self.count_rows(scored),
            Err(error) => self.count_error(error),
        }
        Poll::Ready(scored)
    }
}

impl Observed {
    fn count_rows(&self, scored: &Scored) {
        let (model, version) = self.model.identity();
        let (good, failed) = (scored.outputs.len(), scored.failed.len());
        let refused = self.rows.saturating_sub(good + failed);
        if failed > 0 {
            self.log_failed(failed);
        }
        let outcomes = [(RowsOutcome::Ok, good), (RowsOutcome::Failed, failed), (RowsOutcome::Refused, refused)];
        for (outcome, rows) in outcomes.into_iter().filter(|(_, rows)| *rows > 0) {
            self.metrics.rows(model, version, outcome, rows);
        }
        if scored.batch_rows > 0 {
            self.metrics.waited(model, scored.queue);
        }
        self.tell(|leg| Leg {
            encoded: scored.encoded,
            decode: scored.decode,
            queue: scored.queue,
            compute: scored.compute,
            batch_rows: scored.batch_rows,
            batches: scored.batches.clone(),
            failed: scored.failed.len(),
            ..leg
        });
        self.tally(scored);
    }

    /// A request is answered where all of its rows are.
    fn tally(&self, scored: &Scored) {
        let (served, rows, took) = (self.model.cost().served(), scored.outputs.len(), self.begun.elapsed());
        if rows < self.rows {
            return served.failed(rows, took);
        }
        served.answered(Answered { rows, took, queue: scored.queue, compute: scored.compute });
    }

    fn count_error(&self, error: &ScoreError) {
        self.model.cost().served().failed(0, self.begun.elapsed());
        let reason = match error {
            ScoreError::Overloaded { shortage: Shortage::Rows { .. }, .. } => Reason::QueueFull,
            ScoreError::Overloaded { shortage: Shortage::Bytes { .. }, .. } => Reason::QueueBytes,
            ScoreError::Overloaded { shortage: Shortage::Wait { .. }, .. } if self.deadline.is_some() => {
                Reason::Deadline
            }
            ScoreError::Overloaded { shortage: Shortage::Wait { .. }, .. } => Reason::Wait,
            ScoreError::Overloaded { shortage: Shortage::Rate { .. }, .. } => Reason::Rate,
            ScoreError::DeadlinePassed => Reason::Expired,
            ScoreError::Draining => Reason::Cancelled,
            ScoreError::Model { .. } => {
                self.log_failed(self.rows);
                return self.count_rows_as(RowsOutcome::Failed);
            }
            ScoreError::BadField { .. }
            | ScoreError::UnknownModel { .. }
            | ScoreError::NotFound { .. }
            | ScoreError::NoLiveVersion { .. }
            // Who may ask is found out before rows come here, unless he is withdrawn while he waits.
            | ScoreError::NotIdentified { .. }
            | ScoreError::NotPermitted { .. } => {
                return self.count_rows_as(RowsOutcome::Refused);
            }
        };
        self.shed(reason);
    }

    /// Without what the model said, which may repeat what it was asked; callers have it.
    fn log_failed(&self, rows: usize) {
        let (model, version) = self.model.identity();
        let trace_id = self.journey.as_ref().and_then(Journey::context).map(|context| context.trace_id());
        debug!(model, version, rows, trace_id, "the model failed on rows of a request");
    }

    /// These rows will never run.
    fn shed(&self, reason: Reason) {
        self.metrics.shed(self.model.identity().0, reason, self.rows);
        self.tell(|leg| Leg { shed: Some(reason), ..leg });
    }

    /// Tells who follows the request what became of it here.
    fn tell(&self, told: impl FnOnce(Leg) -> Leg) {
        let Some(journey) = &self.journey else { return };
        let (model, version) = self.model.identity();
        journey.add(told(Leg {
            model: model.to_owned(),
            version,
            rows: self.rows,
            failed: 0,
            lane: self.lane.as_str(),
            begun: self.begun,
            took: self.begun.elapsed(),
            encoded: None,
            decode: Duration::ZERO,
            queue: Duration::ZERO,
            compute: Duration::ZERO,
            batch_rows: 0,
            batches: Vec::new(),
            shed: None,
        }));
    }

    fn count_rows_as(&self, outcome: RowsOutcome) {
        let (model, version) = self.model.identity();
        self.metrics.rows(model, version, outcome, self.rows);
        let failed = if outcome == RowsOutcome::Failed { self.rows } else { 0 };
        self.tell(|leg| Leg { failed, ..leg });
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.answered {
            // The connection drops a call whose deadline passed.
            self.model.cost().served().failed(0, self.begun.elapsed());
            let late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
            let reason = if late { Reason::Expired } else { Reason::Cancelled };
            self.shed(reason);
        }
    }
}
