//! `ModelInfer`: resolve, plan, score, reply. What differs from the domain endpoints:
//! rows come encoded, all rows of a request go to one version, and a row at fault is
//! a fault of its request, since a tensor has no place for an error.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    super::{
        deadline::Deadline,
        scoring::{Call, Scoring, Size},
    },
    codec::{Reply, Streamed},
    faults::fault,
    finite::rows_without_number,
    lookup::known,
    parameters::Parameters,
    plan::{self, Plan, Rules},
    reply::{About, Timing, reply},
    request::Request,
};
use crate::{
    error::ScoreError,
    identity::Caller,
    model::Version,
    registry::{Resolved, Route},
    rows::Column,
    stack::{Lane, Scored},
    trial::Made,
};

/// Most rows that a message names.
const NAMED: usize = 8;

/// A message and how it came.
pub(super) struct Asked {
    pub(super) message: Bytes,
    pub(super) call: Call,
    /// Whether it came in a stream.
    pub(super) streamed: bool,
}

/// Answers a request.
///
/// # Errors
///
/// [`ScoreError`] where not all of its rows are answered.
pub(super) async fn infer(scoring: &Scoring, asked: &Asked) -> Result<Reply, ScoreError> {
    answered(scoring, asked, &Request::read(&asked.message)?).await
}

async fn answered(scoring: &Scoring, asked: &Asked, request: &Request<'_>) -> Result<Reply, ScoreError> {
    asked.call.about(Some(request.parameters.entity_id).into_iter().filter(|id| !id.is_empty()));
    // First: who may not use a model is not told whether there is one.
    asked.call.caller.may_use(request.model)?;
    let by = resolve(scoring, request, &asked.call.caller)?;
    let manifest = &by.version.manifest;
    let wanted = plan::outputs(&request.outputs, &manifest.outputs)?;
    let plan = Plan::of(&asked.message, request, &Rules { manifest, max_rows: scoring.max_rows.get() })?;
    let size = Size { count: plan.rows, bytes: asked.message.len() + plan.bytes() };
    let call = request.parameters.apply(&asked.call);
    let fare = call.fare(request.model, size.count, &scoring.drain);
    let job = call.job(&by.version, size, fare, Box::pin(plan.fill(Arc::clone(&by.version))));
    let timed = request.parameters.timing.then_some(job.lane);
    // Who chooses the version himself also chooses which one his own faults would count for.
    let counted = request.version.is_empty();
    let scored = if counted { scoring.score(&by.version, job).await? } else { scoring.score_uncounted(job).await? };

    let about = About { by: &by, id: request.id, rows: size.count, streamed: asked.streamed, timed };
    let (made, answer) = answer(&about, scored, &wanted).await;
    if counted {
        scoring.trials.answered(&by.version, made);
    }
    answer
}

/// Answers a request of a stream, which goes on where it fails.
pub(super) async fn streamed(scoring: &Scoring, asked: &Asked) -> Streamed {
    let request = match Request::read(&asked.message) {
        Ok(request) => request,
        Err(error) => return Streamed::fault(error, ""),
    };
    match answered(scoring, asked, &request).await {
        Ok(reply) => Streamed::Reply(reply),
        Err(error) => Streamed::fault(error, request.id),
    }
}

/// Who answers all rows of a request.
fn resolve(scoring: &Scoring, request: &Request<'_>, caller: &Caller) -> Result<Resolved, ScoreError> {
    if request.model.is_empty() {
        return Err(fault("model_name", "is empty, wanted the name of a model"));
    }
    match scoring.registry.route(request.model, request.version) {
        Ok(Route::One(by)) => Ok(by),
        Ok(Route::Split(traffic)) => {
            let by = match request.parameters.entity_id {
                "" => traffic.of(&format!("{:016x}", request.hash())),
                id => traffic.of(id),
            };
            let (model, reason) = (request.model.to_owned(), "its traffic has no arm".into());
            by.ok_or(ScoreError::NoLiveVersion { model, reason })
        }
        Err(error) => Err(known(&scoring.registry, request.model, caller).err().unwrap_or(error)),
    }
}

impl Parameters<'_> {
    /// The call as its parameters want it.
    fn apply(&self, call: &Call) -> Call {
        let lane = match self.priority {
            0 => call.lane,
            1 => Lane::Interactive,
            _ => Lane::Bulk,
        };
        let own = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let sooner = call.deadline.map(|deadline| deadline.0).into_iter().chain(own).min();
        Call { deadline: sooner.map(Deadline), lane, caller: call.caller.clone(), journey: call.journey.clone() }
    }
}

/// What became of the rows, for the trials and for the caller.
async fn answer(about: &About<'_>, scored: Scored, wanted: &[usize]) -> (Made, Result<Reply, ScoreError>) {
    let timing = about.timed.map(|lane| Timing::of(&scored, lane));
    let Scored { outputs, failed, queue, compute, .. } = scored;
    let mut made = Made { rows: about.rows, failed: failed.len(), without_number: 0, latency: queue + compute };
    let version = &about.by.version;
    if let Some((_, reason)) = failed.first() {
        let rows: Vec<usize> = failed.iter().map(|(row, _)| *row).collect();
        return (made, Err(at_fault(version, &rows, reason)));
    }
    let mut columns: Vec<Option<Column>> = outputs.into_columns().into_iter().map(Some).collect();
    let specs = &version.manifest.outputs;
    let taken = wanted.iter().filter_map(|&place| Some((specs.get(place)?, columns.get_mut(place)?.take()?)));
    let outputs: Vec<_> = taken.collect();
    for (spec, column) in outputs.iter().filter(|(spec, _)| !spec.non_finite) {
        let rows = rows_without_number(column).await;
        if rows.is_empty() {
            continue;
        }
        made.without_number = rows.len();
        return (made, Err(at_fault(version, &rows, &format!("output {:?} is not finite", spec.name))));
    }
    (made, Ok(reply(about, timing, outputs)))
}

/// The error of rows that the model answered wrongly or not at all.
fn at_fault(version: &Version, rows: &[usize], what: &str) -> ScoreError {
    let reason = if version.manifest.has_rows() { format!("{}: {what}", numbers(rows)) } else { what.to_owned() };
    ScoreError::Model { model: version.manifest.model.clone(), version: version.manifest.version, reason }
}

/// `row 3`, `rows 3, 7`, `rows 0, 1, 2 and 61 more`.
fn numbers(rows: &[usize]) -> String {
    let first: Vec<String> = rows.iter().take(NAMED).map(ToString::to_string).collect();
    let (word, first) = (if rows.len() == 1 { "row" } else { "rows" }, first.join(", "));
    match rows.len().saturating_sub(NAMED) {
        0 => format!("{word} {first}"),
        more => format!("{word} {first} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
