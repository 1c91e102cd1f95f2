//! What the endpoints share: the domain services' way from resolving to scoring, of which
//! tensors take the end.

use std::{num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use futures::future::try_join_all;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tokio::sync::oneshot;
use tonic::Extensions;
use tower::{Service as _, ServiceExt as _};

use super::{
    Drain,
    answered::{Answered, Part},
    deadline::Deadline,
    encode::{Entity, Read, encode},
    parts::{Entities, Parts},
};
use crate::{
    error::ScoreError,
    identity::{Caller, Fare},
    manifest::Task,
    model::Version,
    registry::{Registry, Resolved},
    stack::{Encoding, Job, Lane, Scored, Stack},
    telemetry::{Journey, Metrics},
    trial::Trials,
};

/// What the endpoints share.
#[derive(Clone)]
pub struct Scoring {
    /// Which version answers.
    pub registry: Arc<Registry>,
    /// Where rows are scored.
    pub stack: Stack,
    /// What is tried out beside it.
    pub trials: Trials,
    /// Where is counted what requests left out.
    pub metrics: Metrics,
    /// Most rows in one request.
    pub max_rows: NonZeroUsize,
    /// What was accepted.
    pub drain: Drain,
    /// The date of rows that name none.
    pub today: fn() -> Date,
}

/// How a request came in.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) deadline: Option<Deadline>,
    pub(super) lane: Lane,
    pub(super) caller: Caller,
    /// Who follows it. None where nobody does.
    pub(super) journey: Option<Journey>,
}

/// Who asks; nobody in particular where nobody has to say who he is.
pub(super) fn caller(extensions: &Extensions) -> Caller {
    extensions.get().cloned().unwrap_or_default()
}

/// How large a request is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Its rows.
    pub(super) count: usize,
    /// Bytes that it holds in memory.
    pub(super) bytes: usize,
}

/// Today in UTC.
pub fn today_utc() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

impl Call {
    pub(super) fn new(extensions: &Extensions, lane: Lane) -> Self {
        let (deadline, journey) = (extensions.get().copied(), extensions.get().cloned());
        Self { deadline, lane, caller: caller(extensions), journey }
    }

    /// It asks about entities with these ids, which the log may want to know.
    pub(super) fn about<'i>(&self, ids: impl Iterator<Item = &'i str>) {
        if let Some(journey) = &self.journey {
            journey.about(ids);
        }
    }

    /// What a request for so many rows costs who asks, where a rate bounds him. Where rows wait for
    /// their place, they wait for their share of it too, until the server drains.
    pub(super) fn fare(&self, model: &str, rows: usize, drain: &Drain) -> Option<Fare> {
        self.caller.fare(model, rows, || (self.lane == Lane::Bulk).then(|| drain.token()))
    }

    /// What the stack gets.
    pub(super) fn job(&self, version: &Version, size: Size, fare: Option<Fare>, rows: Encoding) -> Job {
        let (model, Size { count, bytes }) = (Arc::clone(&version.engine), size);
        // What fills a batch alone is no company for others.
        let lane = if count > model.max_batch_rows().get() { Lane::Bulk } else { self.lane };
        let (deadline, journey) = (self.deadline.map(|deadline| deadline.0), self.journey.clone());
        Job { model, count, bytes, rows, deadline, lane, journey, fare }
    }
}

impl Scoring {
    /// Scores the entities of one request: all by the version that it names, or where it
    /// names none each by the one that its id belongs to.
    ///
    /// # Errors
    ///
    /// What one version refuses as a whole, such as rows that it has no time for, is
    /// refused for all: who asks again asks the same versions, and half of a reply would
    /// have to be told from a whole one. The other versions' rows leave the queue then.
    pub(super) async fn answer<E: Entity + 'static>(
        &self,
        task: Task,
        entities: Vec<Bytes>,
        version: &str,
        call: &Call,
    ) -> Result<Answered, ScoreError> {
        self.check_count::<E>(entities.len())?;
        let model = task.as_str();
        call.caller.may_use(model)?;
        let route = self.registry.route(model, version)?;
        let fare = call.fare(model, entities.len(), &self.drain);
        let Parts { parts, order } = Parts::of(entities, route, model).await?;
        // Side by side: the versions don't wait for each other.
        let part = |(by, entities)| self.part::<E>(by, entities, fare.clone(), call);
        let parts = try_join_all(parts.into_iter().map(part)).await?;
        Ok(Answered { parts, order, trials: self.trials.clone(), metrics: self.metrics.clone() })
    }

    /// Scores the entities of one version.
    async fn part<E: Entity + 'static>(
        &self,
        by: Resolved,
        entities: Entities,
        fare: Option<Fare>,
        call: &Call,
    ) -> Result<Part, ScoreError> {
        let (job, mut read) = self.job::<E>(entities, &by.version, fare, call);
        let lane = job.lane;
        let scored = self.score(&by.version, job).await?;
        // There, since the rows were encoded before they were scored.
        let read = read.try_recv().unwrap_or_default();
        Ok(Part { by, read, scored, lane })
    }

    /// Has the stack score rows of a version, and the trials know how that ended.
    pub(super) async fn score(&self, version: &Arc<Version>, job: Job) -> Result<Scored, ScoreError> {
        let asked = self.trials.asked(version, job.count);
        let scored = self.score_uncounted(job).await;
        asked.ended(scored.as_ref().err());
        scored
    }

    /// The same without the trials' knowledge.
    pub(super) async fn score_uncounted(&self, job: Job) -> Result<Scored, ScoreError> {
        self.stack.clone().ready().await?.call(job).await
    }

    /// What the stack gets, and what becomes of each entity once its row is encoded.
    fn job<E: Entity + 'static>(
        &self,
        entities: Entities,
        version: &Arc<Version>,
        fare: Option<Fare>,
        call: &Call,
    ) -> (Job, oneshot::Receiver<Read>) {
        let count = entities.frames().len();
        let received: usize = entities.frames().iter().map(Bytes::len).sum();
        let bytes = received + count * version.encoder.row_bytes();
        let (tell, read) = oneshot::channel();
        let encoding = encode::<E>(entities, Arc::clone(version), (self.today)());
        let rows = Box::pin(async move {
            let (rows, read) = encoding.await?;
            // Nobody listens where the caller left.
            let _ = tell.send(read);
            Ok(rows)
        });
        (call.job(version, Size { count, bytes }, fare, rows), read)
    }

    fn check_count<E: Entity>(&self, count: usize) -> Result<(), ScoreError> {
        if (1..=self.max_rows.get()).contains(&count) {
            return Ok(());
        }
        let description = format!("has {count} rows, wanted 1 to {}", self.max_rows);
        Err(ScoreError::BadField { field: E::PLURAL.to_owned(), description })
    }
}

#[cfg(test)]
mod tests;
