//! What both endpoints do: resolve, encode, score.

use std::{iter, num::NonZeroUsize, sync::Arc, time::Instant, vec::IntoIter};

use bytes::Bytes;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use prost::Message;
use prost_types::Duration as ProtoDuration;
use tonic::Extensions;
use tower::{Service as _, ServiceExt as _};

use super::{
    Drain,
    deadline::Deadline,
    encode::{Encoded, Entity, Outcome, encode},
    proto::v1::{RowError, ServedBy, Timing},
    reply::{Reply, Results},
    turns::Turn,
};
use crate::{
    error::ScoreError,
    heads::HeadError,
    manifest::Task,
    model::Version,
    registry::{Registry, Resolved},
    rows::Rows,
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
                    .call(Job { model, rows, deadline, lane: call.lane, since: Instant::now() })
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
    fn served_by(&self) -> ServedBy {
        let version: &Version = &self.by.version;
        ServedBy {
            model: version.manifest.model.clone(),
            version: version.manifest.version,
            label: self.by.label.to_owned(),
            digest: version.digest.clone(),
        }
    }

    fn timing(&self) -> Timing {
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

    /// The reply: for each entity its answer, put into words, or its error. In turns.
    pub(super) async fn reply(mut self, mut wording: impl Wording) -> Reply {
        let mut results = Results::with_capacity(self.outcomes.len());
        let mut outcomes = std::mem::take(&mut self.outcomes).into_iter();
        while self.turn(&mut outcomes, &mut wording, &mut results) {
            tokio::task::yield_now().await;
        }
        results.into_reply(self.served_by(), self.timing())
    }

    /// Adds the next results; whether there are more.
    fn turn(&self, outcomes: &mut IntoIter<Outcome>, wording: &mut impl Wording, results: &mut Results) -> bool {
        let mut turn = Turn::begin();
        for Outcome { id, encoded } in outcomes.by_ref() {
            let before = results.bytes();
            match encoded {
                Ok(encoded) => self.add(&id, &encoded, wording, results),
                Err(error) => results.add(&id, &wording.refusal(error), iter::empty()),
            }
            if turn.is_over_after(results.bytes() - before) {
                break;
            }
        }
        outcomes.len() > 0
    }

    /// Adds the result of a row that was encoded.
    fn add(&self, id: &str, encoded: &Encoded, wording: &mut impl Wording, results: &mut Results) {
        let version = &self.by.version;
        let today = encoded.today.then_some("as_of");
        let defaulted = today.into_iter().chain(version.encoder.names(&encoded.defaulted));
        let wrong = match self.scored.as_ref().map(|scored| (scored, scored.place(encoded.row))) {
            Some((scored, Ok(place))) => match wording.answer(&scored.outputs, place) {
                Ok(result) => return results.add(id, result, defaulted),
                Err(error) => error.to_string(),
            },
            Some((_, Err(reason))) => reason.to_owned(),
            None => "the row was not scored".to_owned(),
        };
        results.add(id, &wording.refusal(at_fault(version, &wrong)), defaulted);
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
