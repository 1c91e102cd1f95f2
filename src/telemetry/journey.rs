//! One request from its arrival to its end, and where its time went.
//!
//! It passes the rooms together with the request, each adds what it knows, and who
//! began it ends it. A call is one; each message of a stream is one of its own too.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Metrics, Reason, context::Context, noted::Noted};

/// Begins journeys, and takes what they tell at their end. Clones share it.
#[derive(Clone)]
pub struct Journeys {
    metrics: Metrics,
    noted: Noted,
}

/// One request. Clones follow the same one.
#[derive(Clone)]
pub struct Journey(Arc<Followed>);

struct Followed {
    method: &'static str,
    begun: Instant,
    context: Option<Context>,
    caller: Option<Context>,
    /// Nobody waits for it: legs of one request seldom end at the same time.
    legs: Mutex<Vec<Leg>>,
    journeys: Journeys,
}

/// The rows of a request that one version was asked for.
#[derive(Debug, Clone)]
pub struct Leg {
    /// The model's name.
    pub model: String,
    /// The version's number.
    pub version: u64,
    /// Rows that it was asked for.
    pub rows: usize,
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
    /// From the end of encoding until the first row ran.
    pub queue: Duration,
    /// The forward passes, added up.
    pub compute: Duration,
    /// Rows in the largest of them, those of other requests included.
    pub batch_rows: usize,
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
    /// One for each version that was asked for rows.
    pub legs: Vec<Leg>,
}

impl Journeys {
    /// Journeys that are counted in `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, noted: Noted::default() }
    }

    /// The slowest of them, and some that were refused or failed.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// A request came; its method is of a bounded set.
    pub fn begin(&self, method: &'static str, caller: Option<Context>) -> Journey {
        let context = caller.map(Context::child);
        let (begun, legs) = (Instant::now(), Mutex::default());
        Journey(Arc::new(Followed { method, begun, context, caller, legs, journeys: self.clone() }))
    }

    fn ended(&self, ended: &Ended) {
        for leg in &ended.legs {
            self.metrics.scored(&leg.model, leg.lane, leg.took);
        }
        self.noted.note(ended);
    }
}

impl Journey {
    /// A message of a stream came, and the stream is this.
    pub fn message(&self) -> Self {
        let Followed { method, context, journeys, .. } = self.0.as_ref();
        journeys.begin(method, *context)
    }

    /// Where it stands in its trace.
    pub fn context(&self) -> Option<Context> {
        self.0.context
    }

    /// A version was asked for rows and is done with them.
    pub fn add(&self, leg: Leg) {
        self.legs(|legs| legs.push(leg));
    }

    /// It is over, with this code: to be called once.
    pub fn end(&self, code: &'static str) -> Ended {
        let Followed { method, begun, context, caller, ref journeys, .. } = *self.0;
        let legs = self.legs(std::mem::take);
        let ended = Ended { method, code, begun, took: begun.elapsed(), context, caller, legs };
        journeys.ended(&ended);
        ended
    }

    fn legs<T>(&self, change: impl FnOnce(&mut Vec<Leg>) -> T) -> T {
        change(&mut self.0.legs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
