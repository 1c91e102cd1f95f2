//! One request while its parts wait and run: it joins their outcomes in order.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::super::{Encoded, Lane, Scored};
use crate::{
    error::ScoreError,
    identity::Fare,
    rows::{Forward, Rows},
    telemetry::{self, Context},
};

/// A request whose rows wait or run.
pub(super) struct Pending {
    deadline: Option<Instant>,
    since: Instant,
    /// Where it is traced.
    context: Option<Context>,
    fare: Option<Fare>,
    joining: Mutex<Joining>,
}

/// Rows of one request that fit into one batch.
pub(super) struct Part {
    pub(super) request: Arc<Pending>,
    /// Which part of its request, from 0.
    pub(super) index: usize,
    pub(super) model: Arc<dyn Forward>,
    pub(super) lane: Lane,
    pub(super) rows: Rows,
}

/// What one part gave.
pub(super) struct Outcome {
    /// Outputs of the rows that did not fail.
    pub(super) outputs: Rows,
    /// Rows of the part that the model failed on, ascending, with the reason.
    pub(super) failed: Vec<(usize, String)>,
}

impl Outcome {
    /// Joins the outcome of the `more` rows that follow the first `rows`.
    pub(super) fn append(&mut self, rows: usize, next: Self, more: usize) {
        if self.outputs.is_empty() {
            self.outputs = next.outputs;
        } else if self.outputs.append(&next.outputs).is_err() {
            // Two passes of one model gave different columns: the second has no place.
            let reason = "outputs of different shapes";
            self.failed.extend((rows..rows + more).map(|row| (row, reason.to_owned())));
            return;
        }
        self.failed.extend(next.failed.into_iter().map(|(row, reason)| (rows + row, reason)));
    }

    /// What became of the `size` rows from `start` on.
    pub(super) fn cut(&self, start: usize, size: usize) -> Self {
        let rows = start..start + size;
        let before = self.failed.iter().filter(|(row, _)| *row < start).count();
        let within = self.failed.iter().filter(|(row, _)| rows.contains(row));
        let failed: Vec<_> = within.map(|(row, reason)| (row - start, reason.clone())).collect();
        let good = start - before..start - before + size - failed.len();
        Self { outputs: self.outputs.slice(good), failed }
    }
}

/// The pass that a part ran in.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub(super) began: Instant,
    pub(super) compute: Duration,
    pub(super) rows: usize,
    /// Where any of its requests is traced.
    pub(super) told: Option<Arc<telemetry::Batch>>,
}

struct Joining {
    /// Gone once the request was answered.
    reply: Option<oneshot::Sender<Result<Scored, ScoreError>>>,
    outcomes: Vec<Option<Outcome>>,
    sizes: Vec<usize>,
    began: Option<Instant>,
    compute: Duration,
    batch_rows: usize,
    batches: Vec<Arc<telemetry::Batch>>,
}

impl Pending {
    /// Splits a job into parts that each fit into a batch of its model.
    pub(super) fn split(job: Encoded, reply: oneshot::Sender<Result<Scored, ScoreError>>) -> Vec<Part> {
        let Encoded { model, rows, deadline, lane, since, journey, fare } = job;
        let most = model.max_batch_rows().get();
        let parts: Vec<Rows> = if rows.len() <= most {
            vec![rows]
        } else {
            (0..rows.len()).step_by(most).map(|start| rows.slice(start..start + most)).collect()
        };
        let joining = Joining {
            reply: Some(reply),
            outcomes: parts.iter().map(|_| None).collect(),
            sizes: parts.iter().map(Rows::len).collect(),
            began: None,
            compute: Duration::ZERO,
            batch_rows: 0,
            batches: Vec::new(),
        };
        let context = journey.and_then(|journey| journey.traced());
        let request = Arc::new(Self { deadline, since, context, fare, joining: Mutex::new(joining) });
        let part = |(index, rows)| Part { request: Arc::clone(&request), index, model: Arc::clone(&model), lane, rows };
        parts.into_iter().enumerate().map(part).collect()
    }

    /// Since when the request waits.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Where it stands in its trace, if it may be told as one.
    pub(super) fn context(&self) -> Option<Context> {
        self.context
    }

    /// Whether anybody still waits for the answer.
    pub(super) fn is_wanted(&self) -> bool {
        self.joining(|joining| joining.reply.as_ref().is_some_and(|reply| !reply.is_closed()))
    }

    /// Some of its rows are about to run.
    pub(super) fn begins(&self) {
        self.fare.iter().for_each(Fare::spend);
    }

    /// Whether the deadline has passed at `now`.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The answer to who waited longer than the deadline.
    pub(super) fn late(&self, now: Instant) -> Option<Answer> {
        if self.is_late(now) { self.failed(ScoreError::DeadlinePassed) } else { None }
    }

    /// An error as the answer to the whole request, unless it was answered.
    fn failed(&self, error: ScoreError) -> Option<Answer> {
        let reply = self.joining(|joining| joining.reply.take())?;
        Some(Answer { reply, scored: Err(error) })
    }

    /// Takes what a part gave; the last one makes the answer.
    pub(super) fn join(&self, part: usize, outcome: Outcome, pass: &Pass) -> Option<Answer> {
        self.joining(|joining| joining.take(part, outcome, pass, self.since))
    }

    fn joining<T>(&self, change: impl FnOnce(&mut Joining) -> T) -> T {
        change(&mut self.joining.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An answer on its way to its request.
pub(super) struct Answer {
    reply: oneshot::Sender<Result<Scored, ScoreError>>,
    scored: Result<Scored, ScoreError>,
}

impl Answer {
    /// Wakes who waits for it.
    pub(super) fn give(self) {
        // The caller may have left meanwhile.
        let _ = self.reply.send(self.scored);
    }
}

impl Joining {
    fn take(&mut self, part: usize, outcome: Outcome, pass: &Pass, since: Instant) -> Option<Answer> {
        *self.outcomes.get_mut(part)? = Some(outcome);
        self.began = Some(self.began.map_or(pass.began, |began| began.min(pass.began)));
        self.compute += pass.compute;
        self.batch_rows = self.batch_rows.max(pass.rows);
        self.batches.extend(pass.told.clone());
        if self.outcomes.iter().any(Option::is_none) {
            return None;
        }
        let reply = self.reply.take()?;
        Some(Answer { reply, scored: self.joined(since) })
    }

    fn joined(&mut self, since: Instant) -> Result<Scored, ScoreError> {
        let mut outcomes = std::mem::take(&mut self.outcomes).into_iter().flatten().zip(&self.sizes);
        let Some((mut whole, size)) = outcomes.next() else { return Err(ScoreError::Draining) };
        let mut rows = *size;
        for (outcome, size) in outcomes {
            whole.append(rows, outcome, *size);
            rows += size;
        }
        let Outcome { outputs, failed } = whole;
        let queue = self.began.map_or(Duration::ZERO, |began| began.saturating_duration_since(since));
        let (compute, batch_rows, batches) = (self.compute, self.batch_rows, std::mem::take(&mut self.batches));
        Ok(Scored { outputs, failed, queue, compute, batch_rows, batches, ..Scored::default() })
    }
}
