//! From a request's rows to a model's outputs: refuse what can't be in time,
//! bound what waits, run the rest in batches on threads of its own.
//!
//! Architecture invariant: nothing here knows protobuf, tonic or an engine; a
//! model is whatever implements [`Forward`].

mod admit;
mod batch;
mod deadline;
mod runners;

use std::{num::NonZeroUsize, sync::Arc, time::Duration, time::Instant};

use futures::future::BoxFuture;
use tower::{ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    error::ScoreError,
    rows::{Forward, Rows},
};

pub use admit::{Admit, AdmitLayer};
pub use deadline::{DeadlineLayer, RefuseLate};
pub use runners::{RunnerError, Runners, ThreadSetup};

/// Rows to score by one version.
#[derive(Clone)]
pub struct Job {
    /// The version, resolved once for the whole request.
    pub model: Arc<dyn Forward>,
    /// The encoded rows.
    pub rows: Rows,
    /// When the caller stops waiting. Rows that did not begin by then never run.
    pub deadline: Option<Instant>,
    /// How patient the caller is.
    pub lane: Lane,
    /// Since when the rows wait: the end of encoding.
    pub since: Instant,
}

/// How patient a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Somebody waits: refused at once where the queue is full.
    Interactive,
    /// A stream: waits for a place, which holds the stream back.
    Bulk,
}

/// Outputs, and where the time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The rows of the job that did not fail, in the same order.
    pub outputs: Rows,
    /// Rows of the job that the model failed on, ascending, with what it said.
    pub failed: Vec<(usize, String)>,
    /// From the end of encoding until the first row ran.
    pub queue: Duration,
    /// The forward passes, added up.
    pub compute: Duration,
    /// Rows in the largest forward pass.
    pub batch_rows: usize,
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
pub fn assemble(queue_rows: NonZeroUsize, runners: Runners) -> Stack {
    let stack = ServiceBuilder::new()
        // First, so that what is late already takes no place in the queue.
        .layer(DeadlineLayer)
        // Next to the runners and below the deadline: a row counts from here
        // until it was answered, whether it waits or runs.
        .layer(AdmitLayer::new(queue_rows))
        .service(runners);
    BoxCloneSyncService::new(stack)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::{fixture::Counting, rows::Column};

    /// A job of `rows` rows without columns.
    pub(super) fn job(rows: usize, lane: Lane) -> Job {
        let column = Column { width: 1, values: crate::rows::Values::F32(vec![0.0; rows]) };
        Job {
            model: Arc::new(Counting),
            rows: Rows::new(rows, vec![column]).unwrap(),
            deadline: None,
            lane,
            since: Instant::now(),
        }
    }

    /// What a model answers for `rows` rows.
    pub(super) fn scored(rows: usize) -> Scored {
        let outputs = Counting.forward(&job(rows, Lane::Bulk).rows).unwrap();
        Scored { outputs, failed: Vec::new(), queue: Duration::ZERO, compute: Duration::ZERO, batch_rows: rows }
    }
}
