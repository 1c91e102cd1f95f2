//! One request from its arrival to its end, and where its time went.
//!
//! It passes the rooms together with the request, each adds what it knows, and who
//! began it ends it. A call is one; each message of a stream is one of its own too.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Metrics, Reason, access, context::Context, noted::Noted, tally::Tally};

/// Most ids of a request that are logged.
const ENTITIES: usize = 16;

/// Longest part of an id that is logged, in characters; an id that is accepted has at
/// most 256 bytes.
const ID: usize = 256;

/// Begins journeys, and takes what they tell at their end. Clones share it.
#[derive(Clone)]
pub struct Journeys {
    metrics: Metrics,
    noted: Noted,
    tally: Arc<Tally>,
    /// Whether the log has the ids of what requests were about.
    entities: bool,
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
    /// Empty unless they are to be logged.
    entities: Mutex<Vec<String>>,
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
    /// The ids of the first entities, where they are to be logged.
    pub entities: Vec<String>,
}

impl Ended {
    /// That of the version that took longest.
    pub(super) fn longest(&self) -> Option<&Leg> {
        self.legs.iter().max_by_key(|leg| leg.took)
    }
}

impl Journeys {
    /// Journeys that are counted in `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, noted: Noted::default(), tally: Arc::default(), entities: false }
    }

    /// The same, with the ids of entities in the access log.
    pub fn with_entities(self) -> Self {
        Self { entities: true, ..self }
    }

    /// What became of the requests since somebody last looked.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The slowest of them, and some that were refused or failed.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// A request came; its method is of a bounded set.
    pub fn begin(&self, method: &'static str, caller: Option<Context>) -> Journey {
        let context = caller.map(Context::child);
        let (begun, legs, entities) = (Instant::now(), Mutex::default(), Mutex::default());
        Journey(Arc::new(Followed { method, begun, context, caller, legs, entities, journeys: self.clone() }))
    }

    fn ended(&self, ended: &Ended) {
        for leg in &ended.legs {
            self.metrics.scored(&leg.model, leg.lane, leg.took);
        }
        self.noted.note(ended);
        self.tally.count(ended);
        access::log(ended);
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

    /// It asks about these entities. They are looked at only where they are to be logged.
    pub fn about<'i>(&self, ids: impl Iterator<Item = &'i str>) {
        if self.0.journeys.entities && access::is_on() {
            let cut = |id: &str| id.chars().take(ID).collect();
            *self.entities() = ids.take(ENTITIES).map(cut).collect();
        }
    }

    /// It is over, with this code: to be called once.
    pub fn end(&self, code: &'static str) -> Ended {
        let Followed { method, begun, context, caller, ref journeys, .. } = *self.0;
        let legs = self.legs(std::mem::take);
        let entities = if journeys.entities { std::mem::take(&mut *self.entities()) } else { Vec::new() };
        let ended = Ended { method, code, begun, took: begun.elapsed(), context, caller, legs, entities };
        journeys.ended(&ended);
        ended
    }

    fn entities(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.entities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn legs<T>(&self, change: impl FnOnce(&mut Vec<Leg>) -> T) -> T {
        change(&mut self.0.legs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
