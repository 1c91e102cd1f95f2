//! What is known of a request that is over, for all who are told of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Batch, Reason, context::Context};

/// The rows of a request that one version was asked for.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The model's name.
    pub model: String,
    /// The version's number. 0 where none was asked.
    pub version: u64,
    /// Rows that it was asked for.
    pub rows: usize,
    /// Those of them that it failed on.
    pub failed: usize,
    /// `interactive` or `bulk`.
    pub lane: &'static str,
    /// When it was asked.
    pub begun: Instant,
    /// From then until it had answered or refused.
    pub took: Duration,
    /// When its rows were encoded. None where they never were.
    pub encoded: Option<Instant>,
    /// How long it took to decode and encode them.
    pub decode: Duration,
    /// From the end of encoding until the first row ran, or they were given up.
    pub queue: Duration,
    /// The forward passes, added up.
    pub compute: Duration,
    /// Rows in the largest of them, those of other requests included.
    pub batch_rows: usize,
    /// The batches that its rows were in, where requests are traced.
    pub batches: Vec<Arc<Batch>>,
    /// Why the rows were never run. None where they were, or are at fault themselves.
    pub shed: Option<Reason>,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Ended {
    /// `package.Service/Method`, of a bounded set.
    pub method: &'static str,
    /// The name of its gRPC code.
    pub code: &'static str,
    /// When it came.
    pub begun: Instant,
    /// From then until its end.
    pub took: Duration,
    /// Where it stands in its trace.
    pub context: Option<Context>,
    /// What called it, where that was said.
    pub caller: Option<Context>,
    /// Whether it was a message of a stream, which is then its caller.
    pub is_message: bool,
    /// One for each version that was asked for rows.
    pub legs: Vec<Leg>,
    /// The ids of the first entities, where they are to be logged.
    pub entities: Vec<String>,
}

impl Ended {
    /// That of the version that took longest.
    pub(super) fn longest(&self) -> Option<&Leg> {
        self.legs.iter().max_by_key(|leg| leg.took)
    }

    /// Why rows of it were never run. Where one version refuses or fails, those of the others
    /// are cancelled, which is no reason then.
    pub(super) fn reason(&self) -> Option<Reason> {
        let reasons = || self.legs.iter().filter_map(|leg| leg.shed);
        let cancelled = || self.code == "CANCELLED" || self.legs.iter().all(|leg| leg.shed.is_some());
        let first = reasons().find(|reason| *reason != Reason::Cancelled);
        first.or_else(|| reasons().next().filter(|_| cancelled()))
    }

    /// Whether it is one of health checks and reflection, which come without end and ask for
    /// no rows.
    pub(super) fn is_probe(&self) -> bool {
        is_probe(self.method)
    }
}

/// Whether this method is of health checks or reflection.
pub(super) fn is_probe(method: &str) -> bool {
    ["grpc.health.", "grpc.reflection."].iter().any(|package| method.starts_with(package))
}

#[cfg(test)]
impl Ended {
    /// A call of two seconds without rows.
    pub(super) fn of(method: &'static str, code: &'static str, begun: Instant) -> Self {
        let took = Duration::from_secs(2);
        Self {
            method,
            code,
            begun,
            took,
            context: None,
            caller: None,
            is_message: false,
            legs: Vec::new(),
            entities: Vec::new(),
        }
    }
}

#[cfg(test)]
impl Leg {
    /// Rows that were answered: asked for at `begun`, encoded 300 ms later, of which 100 ms were
    /// decoding, run from 500 ms on for 200 ms, and answered after a second.
    pub(super) fn of(begun: Instant) -> Self {
        let millis = Duration::from_millis;
        Self {
            model: "merchant_gmv".into(),
            version: 3,
            rows: 5,
            failed: 0,
            lane: "interactive",
            begun,
            took: millis(1000),
            encoded: Some(begun + millis(300)),
            decode: millis(100),
            queue: millis(200),
            compute: millis(200),
            batch_rows: 7,
            batches: Vec::new(),
            shed: None,
        }
    }
}
