//! The scored rows of a request, and how they become its reply.

use std::{iter, sync::Arc, time::Duration, vec::IntoIter};

use bytes::Bytes;
use prost::Message;
use prost_types::Duration as ProtoDuration;

use super::{
    encode::{Encoded, Outcome, Read},
    proto::v1::{Lane as ProtoLane, RowError, ServedBy, Timing},
    reply::{Reply, Results},
    turns::Turn,
};
use crate::{
    error::ScoreError,
    features::LeftOut,
    heads::HeadError,
    model::Version,
    registry::Resolved,
    rows::Rows,
    stack::{Lane, Scored},
    telemetry::Metrics,
    trial::{self, Trials},
};

/// The scored rows of a request.
pub(super) struct Answered {
    /// At least one, that of the request's first row first.
    pub(super) parts: Vec<Part>,
    /// The part of each row, in the request's order.
    pub(super) order: Vec<usize>,
    /// Who may have it made again by other versions.
    pub(super) trials: Trials,
    /// Where is counted what its rows left out.
    pub(super) metrics: Metrics,
}

/// The rows of a request that one version answered.
pub(super) struct Part {
    pub(super) by: Resolved,
    /// Of each entity of the part, in the request's order.
    pub(super) read: Read,
    /// Without a row where none could be encoded.
    pub(super) scored: Scored,
    /// Where they waited.
    pub(super) lane: Lane,
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

impl Answered {
    /// The version of each part.
    pub(super) fn versions(&self) -> Vec<Arc<Version>> {
        self.parts.iter().map(|part| Arc::clone(&part.by.version)).collect()
    }

    /// The reply: for each entity its answer, put into words by the wording of its
    /// part, or its error. In turns.
    pub(super) async fn reply<W: Wording>(self, wordings: Vec<W>) -> Reply {
        let metrics = self.metrics.clone();
        let (served_by, timing) = (self.parts.first().map(Part::served_by).unwrap_or_default(), self.timing());
        let mut writing = Writing::new(self, wordings);
        while writing.turn() {
            tokio::task::yield_now().await;
        }
        let Writing { parts, results, trials, .. } = writing;
        let reply = results.into_reply(served_by, timing);
        for part in parts {
            part.count(&metrics);
            part.hand_over(&trials);
        }
        reply
    }

    /// Of all parts together.
    fn timing(&self) -> Timing {
        let scored = || self.parts.iter().map(|part| &part.scored);
        let batch_rows = scored().map(|scored| scored.batch_rows).max().unwrap_or_default();
        Timing {
            // They waited side by side, and ran one after the other or on several cores.
            queue: Some(proto(scored().map(|scored| scored.queue).max().unwrap_or_default())),
            compute: Some(proto(scored().map(|scored| scored.compute).sum())),
            batch_rows: u32::try_from(batch_rows).unwrap_or(u32::MAX),
            decode: Some(proto(scored().map(|scored| scored.decode).max().unwrap_or_default())),
            lane: self.lane().into(),
        }
    }
}

impl Answered {
    /// The most patient one that any part waited in.
    fn lane(&self) -> ProtoLane {
        match self.parts.iter().map(|part| part.lane).max() {
            Some(Lane::Interactive) => ProtoLane::Interactive,
            Some(Lane::Bulk) => ProtoLane::Bulk,
            None => ProtoLane::Unspecified,
        }
    }
}

/// A server's durations are far below the 10 000 years of the message.
fn proto(duration: Duration) -> ProtoDuration {
    ProtoDuration::try_from(duration).unwrap_or_default()
}

impl Part {
    fn served_by(&self) -> ServedBy {
        let version: &Version = &self.by.version;
        ServedBy {
            model: version.manifest.model.clone(),
            version: version.manifest.version,
            label: self.by.label.to_string(),
            digest: version.digest.clone(),
        }
    }
}

/// A reply as far as it is written.
struct Writing<W> {
    parts: Vec<PartWriting<W>>,
    order: IntoIter<usize>,
    results: Results,
    trials: Trials,
}

/// A part whose results are being written.
struct PartWriting<W> {
    version: Arc<Version>,
    /// What its results say of who answered: nothing where the reply says it.
    served_by: Option<ServedBy>,
    outcomes: IntoIter<Outcome>,
    frames: Vec<Bytes>,
    scored: Scored,
    wording: W,
    left_out: LeftOut,
    /// Rows whose outputs are no answer.
    without_number: usize,
}

impl<W: Wording> Writing<W> {
    fn new(answered: Answered, wordings: Vec<W>) -> Self {
        let results = Results::with_capacity(answered.order.len());
        let parts = answered.parts.into_iter().zip(wordings).enumerate().map(|(number, (part, wording))| PartWriting {
            version: Arc::clone(&part.by.version),
            served_by: (number > 0).then(|| part.served_by()),
            outcomes: part.read.outcomes.into_iter(),
            frames: part.read.frames,
            scored: part.scored,
            wording,
            left_out: part.by.version.encoder.left_out(),
            without_number: 0,
        });
        Self { parts: parts.collect(), order: answered.order.into_iter(), results, trials: answered.trials }
    }

    /// Adds the next results; whether there are more.
    fn turn(&mut self) -> bool {
        let mut turn = Turn::begin();
        for number in self.order.by_ref() {
            let before = self.results.bytes();
            if let Some(part) = self.parts.get_mut(number) {
                part.add_next(&mut self.results);
            }
            if turn.is_over_after(self.results.bytes() - before) {
                break;
            }
        }
        self.order.len() > 0
    }
}

impl<W: Wording> PartWriting<W> {
    fn add_next(&mut self, results: &mut Results) {
        match self.outcomes.next() {
            Some(Outcome { id, encoded: Ok(encoded) }) => self.add(&id, &encoded, results),
            Some(Outcome { id, encoded: Err(error) }) => {
                results.add(&id, &self.wording.refusal(error), iter::empty(), self.served_by.as_ref());
            }
            None => {}
        }
    }

    /// Once for all rows: each feature is one addition.
    fn count(&self, metrics: &Metrics) {
        let Version { manifest, digest, encoder, .. } = &*self.version;
        metrics.defaulted(&manifest.model, digest, encoder.all_names(), self.left_out.rows());
    }

    /// Gives what was made to the trials.
    fn hand_over(self, trials: &Trials) {
        let Scored { outputs, failed, queue, compute, .. } = self.scored;
        let (frames, without_number, latency) = (self.frames, self.without_number, queue + compute);
        trials.scored(&self.version, trial::Scored { frames, outputs, failed, without_number, latency });
    }

    /// Adds the result of a row that was encoded.
    fn add(&mut self, id: &str, encoded: &Encoded, results: &mut Results) {
        let (version, served_by) = (&self.version, self.served_by.as_ref());
        self.left_out.add(&encoded.defaulted);
        let today = encoded.today.then_some("as_of");
        let defaulted = today.into_iter().chain(version.encoder.names(&encoded.defaulted));
        let wrong = match self.scored.place(encoded.row) {
            Ok(place) => match self.wording.answer(&self.scored.outputs, place) {
                Ok(result) => return results.add(id, result, defaulted, served_by),
                Err(error) => {
                    self.without_number += 1;
                    error.to_string()
                }
            },
            Err(reason) => reason.to_owned(),
        };
        results.add(id, &self.wording.refusal(at_fault(version, &wrong)), defaulted, served_by);
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
