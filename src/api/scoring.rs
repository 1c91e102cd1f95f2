//! What both endpoints do: resolve, encode, score.

use std::{num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use prost_types::Duration as ProtoDuration;
use tonic::Extensions;
use tower::{Service as _, ServiceExt as _};

use super::{
    Drain,
    deadline::Deadline,
    encode::{Encoded, Entity, Outcome, encode},
    proto::v1::{RowError, ServedBy, Timing},
    turns::Turns,
};
use crate::{
    error::ScoreError,
    heads::HeadError,
    manifest::Task,
    model::Version,
    registry::{Registry, Resolved},
    stack::{Job, Lane, Scored, Stack},
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
    /// One for each entity of the request, in its order.
    outcomes: Vec<Outcome>,
    /// None where no row could be encoded.
    scored: Option<Scored>,
}

/// The answer for one entity.
pub(super) struct Answer<T> {
    /// As in the request.
    pub(super) id: String,
    /// What the head made of the outputs.
    pub(super) made: Result<T, RowError>,
    /// What the request left out.
    pub(super) defaulted: Vec<String>,
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
    pub(super) async fn answer<E: Entity>(
        &self,
        task: Task,
        entities: Vec<Bytes>,
        version: &str,
        call: Call,
    ) -> Result<Answered, ScoreError> {
        self.check_count::<E>(entities.len())?;
        let by = self.registry.resolve(task.as_str(), version)?;
        let (rows, outcomes) = encode::<E>(entities, Arc::clone(&by.version), (self.today)()).await?;
        let scored = if rows.is_empty() {
            None
        } else {
            let model = Arc::clone(&by.version.engine);
            let deadline = call.deadline.map(|deadline| deadline.0);
            let mut stack = self.stack.clone();
            Some(
                stack
                    .ready()
                    .await?
                    .call(Job {
                        model,
                        count: rows.len(),
                        bytes: 0,
                        rows: Box::pin(std::future::ready(Ok(rows))),
                        deadline,
                        lane: call.lane,
                    })
                    .await?,
            )
        };
        Ok(Answered { by, outcomes, scored })
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
    pub(super) fn served_by(&self) -> ServedBy {
        let version: &Version = &self.by.version;
        ServedBy {
            model: version.manifest.model.clone(),
            version: version.manifest.version,
            label: self.by.label.to_owned(),
            digest: version.digest.clone(),
        }
    }

    pub(super) fn timing(&self) -> Timing {
        // A server's durations are far below the 10 000 years of the message.
        let proto = |duration| ProtoDuration::try_from(duration).unwrap_or_default();
        match &self.scored {
            Some(scored) => Timing {
                queue: Some(proto(scored.queue)),
                compute: Some(proto(scored.compute)),
                batch_rows: u32::try_from(scored.batch_rows).unwrap_or(u32::MAX),
            },
            None => {
                Timing { queue: Some(ProtoDuration::default()), compute: Some(ProtoDuration::default()), batch_rows: 0 }
            }
        }
    }

    /// The results, one for each entity: what `head` makes of its outputs, or its
    /// error, put into words by `result`. In turns.
    pub(super) async fn results<T, R>(
        &mut self,
        head: impl Fn(&Scored, usize) -> Result<T, HeadError>,
        result: impl Fn(Answer<T>) -> R,
    ) -> Vec<R> {
        let outcomes = std::mem::take(&mut self.outcomes);
        let mut results = Vec::with_capacity(outcomes.len());
        let mut turns = Turns::begin();
        for outcome in outcomes {
            turns.pass().await;
            results.push(result(self.answer(outcome, &head)));
        }
        results
    }

    fn answer<T>(&self, outcome: Outcome, head: impl Fn(&Scored, usize) -> Result<T, HeadError>) -> Answer<T> {
        let Outcome { id, encoded } = outcome;
        let Encoded { row, defaulted } = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return Answer { id, made: Err(error), defaulted: Vec::new() },
        };
        let made = match self.scored.as_ref().map(|scored| (scored, scored.place(row))) {
            Some((scored, Ok(place))) => head(scored, place).map_err(|error| error.to_string()),
            Some((_, Err(reason))) => Err(reason.to_owned()),
            None => Err("the row was not scored".to_owned()),
        };
        Answer { id, made: made.map_err(|what| at_fault(&self.by.version, &what)), defaulted }
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
