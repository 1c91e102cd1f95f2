//! From a request's rows to a model's outputs: refuse what can't be in time, bound
//! what waits, encode the rest and run it in batches, small ones where they arrive
//! and the others on threads of its own.
//!
//! Architecture invariant: nothing here knows protobuf, tonic or an engine; a
//! model is whatever implements [`Forward`].

mod admit;
mod batch;
mod deadline;
mod encode;
mod observe;
mod runners;

use std::{sync::Arc, time::Duration, time::Instant};

use futures::future::BoxFuture;
use tower::{ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    error::ScoreError,
    identity::Fare,
    rows::{Forward, Rows},
    telemetry::{Batch, Journey, Metrics},
};

pub use admit::{Admit, AdmitLayer, Limits};
pub use batch::BatchRules;
pub use deadline::{DeadlineLayer, RefuseLate};
pub use encode::{Encode, EncodeLayer};
pub use observe::{Observe, ObserveLayer};
pub use runners::{RunnerError, Runners, ThreadSetup};

/// Makes rows of a request, at most as many as its [`Job::count`].
pub type Encoding = BoxFuture<'static, Result<Rows, ScoreError>>;

/// Rows to score by one version.
pub struct Job {
    /// The version, resolved once for the whole request.
    pub model: Arc<dyn Forward>,
    /// Rows of the request.
    pub count: usize,
    /// Bytes that the request holds in memory.
    pub bytes: usize,
    /// Encodes the rows. It is not begun for a request that is refused.
    pub rows: Encoding,
    /// When the caller stops waiting. Rows that did not begin by then never run.
    pub deadline: Option<Instant>,
    /// How patient the caller is.
    pub lane: Lane,
    /// Who is told where its time went.
    pub journey: Option<Journey>,
    /// What its request costs its caller, where a rate bounds him.
    pub fare: Option<Fare>,
}

/// A job that was admitted, with its rows.
#[derive(Clone)]
pub struct Encoded {
    /// The version that scores the rows.
    pub model: Arc<dyn Forward>,
    /// The rows, at least one.
    pub rows: Rows,
    /// When the caller stops waiting. Rows that did not begin by then never run.
    pub deadline: Option<Instant>,
    /// How patient the caller is.
    pub lane: Lane,
    /// Since when the rows wait: the end of encoding.
    pub since: Instant,
    /// The request that they are of.
    pub journey: Option<Journey>,
    /// What its request costs its caller: it is spent when the rows run.
    pub fare: Option<Fare>,
}

/// How patient a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Somebody waits: refused at once where the queue is full.
    Interactive,
    /// A stream, more rows than a batch, or who says so: waits for a place, which holds a
    /// stream back.
    Bulk,
}

impl Lane {
    /// Its name, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}

/// Outputs, and where the time went.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scored {
    /// The rows of the job that did not fail, in the same order.
    pub outputs: Rows,
    /// Rows of the job that the model failed on, ascending, with what it said.
    pub failed: Vec<(usize, String)>,
    /// When the rows were encoded. None where there were none to encode.
    pub encoded: Option<Instant>,
    /// How long it took to decode and encode them, with the turns of others in between.
    pub decode: Duration,
    /// From the end of encoding until the first row ran.
    pub queue: Duration,
    /// The forward passes, added up.
    pub compute: Duration,
    /// Rows in the largest forward pass.
    pub batch_rows: usize,
    /// The batches that its rows were in, where the request is traced.
    pub batches: Vec<Arc<Batch>>,
}

impl Scored {
    /// The place of a job's row among the outputs.
    ///
    /// # Errors
    ///
    /// What the model said of the row, where it failed on it.
    pub fn place(&self, row: usize) -> Result<usize, &str> {
        match self.failed.binary_search_by_key(&row, |(failed, _)| *failed) {
            Ok(found) => Err(self.failed.get(found).map_or("", |(_, reason)| reason)),
            Err(before) => Ok(row - before),
        }
    }
}

/// The assembled stack. Clones share queue and runners.
pub type Stack = BoxCloneSyncService<Job, Scored, ScoreError>;

type ScoredFuture = BoxFuture<'static, Result<Scored, ScoreError>>;

/// The stack, from the outside in.
pub fn assemble(limits: Limits, metrics: Metrics, runners: Runners) -> Stack {
    let admit = AdmitLayer::new(limits, runners.count());
    let (limit, taken) = admit.watch();
    metrics.observe_budget(limit, taken);
    let stack = ServiceBuilder::new()
        // Outermost, so that refusals of every layer are counted, and callers who
        // leave wherever they leave.
        .layer(ObserveLayer::new(metrics))
        // Early, so that what is late already takes no place in the queue.
        .layer(DeadlineLayer)
        // Above encoding, which costs more than a refusal may; a row counts from
        // here until it was answered, whether it is encoded, waits or runs.
        .layer(admit)
        // Between admission and the batch, which holds nothing but rows.
        .layer(EncodeLayer)
        .service(runners);
    BoxCloneSyncService::new(stack)
}

/// The service that said it was ready, for a call that outlives `call`; its clone
/// stays behind.
fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::{
        fixture::Counting,
        rows::{Column, Values},
    };

    /// `rows` rows of one column.
    pub(super) fn encoding(rows: usize) -> Encoding {
        let column = Column::new(1, Values::F32(vec![0.0; rows]));
        Box::pin(async move { Ok(Rows::new(rows, vec![column]).unwrap()) })
    }

    /// A job of `rows` rows.
    pub(super) fn job(rows: usize, lane: Lane) -> Job {
        let model = Arc::new(Counting::default());
        let (rows, count) = (encoding(rows), rows);
        Job { model, count, bytes: count, rows, deadline: None, lane, journey: None, fare: None }
    }

    /// What a model answers for `rows` rows.
    pub(super) fn scored(rows: usize) -> Scored {
        let values = Values::F32(vec![0.0; rows]);
        let outputs = Rows::new(rows, vec![Column::new(1, values)]).unwrap();
        Scored { outputs, batch_rows: rows, ..Scored::default() }
    }
}
