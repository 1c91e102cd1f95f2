//! What both endpoints do: resolve, encode, score.

use std::{iter, num::NonZeroUsize, sync::Arc, vec::IntoIter};

use bytes::Bytes;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use prost::Message;
use prost_types::Duration as ProtoDuration;
use tokio::sync::oneshot;
use tonic::Extensions;
use tower::{Service as _, ServiceExt as _};

use super::{
    Drain,
    deadline::Deadline,
    encode::{Encoded, Entity, Outcome, Read, encode},
    proto::v1::{RowError, ServedBy, Timing},
    reply::{Reply, Results},
    turns::Turn,
};
use crate::{
    error::ScoreError,
    heads::HeadError,
    manifest::Task,
    model::Version,
    registry::{Registry, Resolved, Route},
    rows::Rows,
    stack::{Job, Lane, Scored, Stack},
    trial::{self, Trials},
};

/// What the endpoints share.
#[derive(Clone)]
pub struct Scoring {
    /// Which version answers.
    pub registry: Arc<Registry>,
    /// Where rows are scored.
    pub stack: Stack,
    /// Most rows in one request.
    pub max_rows: NonZeroUsize,
    /// Where versions on trial are watched.
    pub trials: Trials,
    /// What was accepted.
    pub drain: Drain,
    /// The date of rows that name none.
    pub today: fn() -> Date,
}

/// How a request came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) deadline: Option<Deadline>,
    pub(super) lane: Lane,
}

/// The scored rows of a request.
pub(super) struct Answered {
    pub(super) by: Resolved,
    read: Read,
    /// Without a row where none could be encoded.
    scored: Scored,
    trials: Trials,
}

/// How an endpoint puts answers into words.
pub(super) trait Wording {
    /// `GmvResult` or `PortraitResult`.
    type Result: Message;

    /// The result of one row of a model's outputs, with nothing but its outcome.
    ///
    /// # Errors
    ///
    /// What the head found wrong.
    fn answer(&mut self, outputs: &Rows, row: usize) -> Result<&Self::Result, HeadError>;

    /// The result of a row that has none.
    fn refusal(&self, error: RowError) -> Self::Result;
}

/// Today in UTC.
pub fn today_utc() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

impl Call {
    pub(super) fn new(extensions: &Extensions, lane: Lane) -> Self {
        Self { deadline: extensions.get().copied(), lane }
    }
}

impl Scoring {
    /// Scores the entities of one request by the version that it names.
    pub(super) async fn answer<E: Entity + 'static>(
        &self,
        task: Task,
        entities: Vec<Bytes>,
        version: &str,
        call: Call,
    ) -> Result<Answered, ScoreError> {
        self.check_count::<E>(entities.len())?;
        let by = match self.registry.route(task.as_str(), version)? {
            Route::One(by) => by,
            // Until rows are given to the arms of their entities.
            Route::Split(traffic) => traffic.of("").ok_or(ScoreError::Draining)?,
        };
        let asked = self.trials.asked(&by.version, entities.len());
        let (job, mut read) = self.job::<E>(entities, &by.version, call);
        let scored = self.stack.clone().ready().await?.call(job).await;
        asked.ended(scored.as_ref().err());
        let scored = scored?;
        // There, since the rows were encoded before they were scored.
        let read = read.try_recv().unwrap_or_default();
        Ok(Answered { by, read, scored, trials: self.trials.clone() })
    }

    /// What the stack gets, and what becomes of each entity once its row is encoded.
    fn job<E: Entity + 'static>(
        &self,
        entities: Vec<Bytes>,
        version: &Arc<Version>,
        call: Call,
    ) -> (Job, oneshot::Receiver<Read>) {
        let model = Arc::clone(&version.engine);
        let count = entities.len();
        let received: usize = entities.iter().map(Bytes::len).sum();
        let bytes = received + count * version.encoder.row_bytes();
        // What fills a batch alone is no company for others.
        let lane = if count > model.max_batch_rows().get() { Lane::Bulk } else { call.lane };
        let (tell, told) = oneshot::channel();
        let encoding = encode::<E>(entities, Arc::clone(version), (self.today)());
        let rows = Box::pin(async move {
            let (rows, read) = encoding.await?;
            // Nobody listens where the caller left.
            let _ = tell.send(read);
            Ok(rows)
        });
        (Job { model, count, bytes, rows, deadline: call.deadline.map(|deadline| deadline.0), lane }, told)
    }

    fn check_count<E: Entity>(&self, count: usize) -> Result<(), ScoreError> {
        if (1..=self.max_rows.get()).contains(&count) {
            return Ok(());
        }
        let description = format!("has {count} rows, wanted 1 to {}", self.max_rows);
        Err(ScoreError::BadField { field: E::PLURAL.to_owned(), description })
    }
}

impl Answered {
    fn served_by(&self) -> ServedBy {
        let version: &Version = &self.by.version;
        ServedBy {
            model: version.manifest.model.clone(),
            version: version.manifest.version,
            label: self.by.label.to_string(),
            digest: version.digest.clone(),
        }
    }

    fn timing(&self) -> Timing {
        // A server's durations are far below the 10 000 years of the message.
        let proto = |duration| ProtoDuration::try_from(duration).unwrap_or_default();
        Timing {
            queue: Some(proto(self.scored.queue)),
            compute: Some(proto(self.scored.compute)),
            batch_rows: u32::try_from(self.scored.batch_rows).unwrap_or(u32::MAX),
        }
    }

    /// The reply: for each entity its answer, put into words, or its error. In turns.
    pub(super) async fn reply(mut self, mut wording: impl Wording) -> Reply {
        let mut results = Results::with_capacity(self.read.outcomes.len());
        let mut outcomes = std::mem::take(&mut self.read.outcomes).into_iter();
        let mut without_number = 0;
        while self.turn(&mut outcomes, &mut wording, &mut results, &mut without_number) {
            tokio::task::yield_now().await;
        }
        let reply = results.into_reply(self.served_by(), self.timing());
        self.hand_over(without_number);
        reply
    }

    /// Gives what was made to the trials, which may have it made again by another
    /// version.
    fn hand_over(self, without_number: usize) {
        let Scored { outputs, failed, queue, compute, .. } = self.scored;
        let latency = queue + compute;
        let scored = trial::Scored { frames: self.read.frames, outputs, failed, without_number, latency };
        self.trials.scored(&self.by.version, scored);
    }

    /// Adds the next results; whether there are more. Counts those `without_number`.
    fn turn(
        &self,
        outcomes: &mut IntoIter<Outcome>,
        wording: &mut impl Wording,
        results: &mut Results,
        without_number: &mut usize,
    ) -> bool {
        let mut turn = Turn::begin();
        for Outcome { id, encoded } in outcomes.by_ref() {
            let before = results.bytes();
            match encoded {
                Ok(encoded) => *without_number += usize::from(self.add(&id, &encoded, wording, results).is_err()),
                Err(error) => results.add(&id, &wording.refusal(error), iter::empty()),
            }
            if turn.is_over_after(results.bytes() - before) {
                break;
            }
        }
        outcomes.len() > 0
    }

    /// Adds the result of a row that was encoded.
    ///
    /// # Errors
    ///
    /// [`HeadError`], which the result says already, where the model's outputs are no
    /// answer.
    fn add(
        &self,
        id: &str,
        encoded: &Encoded,
        wording: &mut impl Wording,
        results: &mut Results,
    ) -> Result<(), HeadError> {
        let version = &self.by.version;
        let today = encoded.today.then_some("as_of");
        let defaulted = today.into_iter().chain(version.encoder.names(&encoded.defaulted));
        let (wrong, outcome) = match self.scored.place(encoded.row) {
            Ok(place) => match wording.answer(&self.scored.outputs, place) {
                Ok(result) => {
                    results.add(id, result, defaulted);
                    return Ok(());
                }
                Err(error) => (error.to_string(), Err(error)),
            },
            Err(reason) => (reason.to_owned(), Ok(())),
        };
        results.add(id, &wording.refusal(at_fault(version, &wrong)), defaulted);
        outcome
    }
}

/// The error of a row that the model answered wrongly.
fn at_fault(version: &Version, what: &str) -> RowError {
    RowError {
        code: tonic::Code::Internal as i32,
        message: format!("model {} version {}: {what}", version.manifest.model, version.manifest.version),
        violations: Vec::new(),
    }
}

/// The error of a version whose head does not fit the question.
pub(super) fn wrong_head(version: &Version) -> ScoreError {
    ScoreError::Model {
        model: version.manifest.model.clone(),
        version: version.manifest.version,
        reason: format!("its task is {}", version.manifest.task),
    }
}

#[cfg(test)]
mod tests;
