//! One request from its arrival to its end, and where its time went.
//!
//! It passes the rooms together with the request, each adds what it knows, and who
//! began it ends it. A call is one; each message of a stream is one of its own too.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Ended, Leg, Metrics, Traces, access, context::Context, noted::Noted, tally::Tally};

/// Most ids of a request that are logged.
const ENTITIES: usize = 16;

/// Longest part of an id that is logged, in characters; an id that is accepted has at
/// most 256 bytes.
const ID: usize = 256;

/// Begins journeys, and takes what they tell at their end. Clones share it.
#[derive(Clone)]
pub struct Journeys(Arc<Takers>);

/// Who is told of requests that are over.
#[derive(Clone)]
struct Takers {
    metrics: Metrics,
    noted: Noted,
    traces: Option<Traces>,
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
    /// Of which it is a message.
    stream: Option<Journey>,
    /// Whether it has a message that is told, which nobody finds without it.
    is_wanted: AtomicBool,
    /// Nobody waits for it: legs of one request seldom end at the same time.
    legs: Mutex<Vec<Leg>>,
    /// Rows that were encoded and may be given up yet.
    encoded: Mutex<Vec<EncodedRows>>,
    /// Empty unless they are to be logged.
    entities: Mutex<Vec<String>>,
    journeys: Journeys,
}

/// When the rows for a version were encoded, and how long that took.
struct EncodedRows {
    version: u64,
    at: Instant,
    decode: Duration,
}

impl Journeys {
    /// Journeys that are counted in `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Takers {
            metrics,
            noted: Noted::default(),
            traces: None,
            tally: Arc::default(),
            entities: false,
        }))
    }

    /// The same, which are told as traces too.
    pub fn traced(self, traces: Traces) -> Self {
        Self(Arc::new(Takers { traces: Some(traces), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// The same, with the ids of entities in the access log.
    pub fn with_entities(self) -> Self {
        Self(Arc::new(Takers { entities: true, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// What became of the requests since somebody last looked.
    pub fn tally(&self) -> &Tally {
        &self.0.tally
    }

    /// The slowest of them, and some that were refused or failed.
    pub fn noted(&self) -> &Noted {
        &self.0.noted
    }

    /// A request came; its method is of a bounded set.
    pub fn begin(&self, method: &'static str, caller: Option<Context>) -> Journey {
        self.follow(method, caller, None)
    }

    fn follow(&self, method: &'static str, caller: Option<Context>, stream: Option<Journey>) -> Journey {
        let context = match &self.0.traces {
            Some(traces) => Some(caller.map_or_else(|| traces.root(method), Context::child)),
            // Nobody is told of a span here: it stands where its caller does.
            None => caller,
        };
        Journey(Arc::new(Followed {
            method,
            begun: Instant::now(),
            context,
            caller,
            stream,
            is_wanted: AtomicBool::new(false),
            legs: Mutex::default(),
            encoded: Mutex::default(),
            entities: Mutex::default(),
            journeys: self.clone(),
        }))
    }

    fn ended(&self, ended: &Ended, journey: &Followed) {
        // A refusal takes no time, and would make a server in need look quick.
        for leg in ended.legs.iter().filter(|leg| leg.version > 0 && leg.shed.is_none()) {
            self.0.metrics.scored(&leg.model, leg.lane, leg.took);
        }
        self.0.noted.note(ended);
        if let Some(traces) = &self.0.traces {
            let is_told = traces.ended(ended, journey.is_wanted.load(Ordering::Relaxed));
            if let Some(stream) = journey.stream.as_ref().filter(|_| is_told) {
                stream.0.is_wanted.store(true, Ordering::Relaxed);
            }
        }
        self.0.tally.count(ended);
        access::log(ended);
    }
}

impl Journey {
    /// A message of a stream came, and the stream is this.
    pub fn message(&self) -> Self {
        let Followed { method, context, ref journeys, .. } = *self.0;
        journeys.follow(method, context, Some(self.clone()))
    }

    /// Where it stands in its trace, if it may be told as one.
    pub fn traced(&self) -> Option<Context> {
        self.0.context.filter(|_| self.0.journeys.0.traces.is_some())
    }

    /// What its reply says of its trace: nothing where neither its caller nor the ratio
    /// wanted one.
    pub fn traceparent(&self) -> Option<String> {
        let wanted = |context: &Context| self.0.caller.is_some() || context.sampled;
        self.0.context.filter(wanted).map(|context| context.to_string())
    }

    /// Where it stands in its trace.
    pub fn context(&self) -> Option<Context> {
        self.0.context
    }

    /// The rows for this version were encoded just now, which took so long.
    pub fn encoded(&self, version: u64, at: Instant, decode: Duration) {
        let mut encoded = self.0.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        encoded.push(EncodedRows { version, at, decode });
    }

    /// A version was asked for rows and is done with them. Those that were given up after
    /// they were encoded waited from then until now.
    pub fn add(&self, mut leg: Leg) {
        let encoded = self.0.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = encoded.iter().find(|rows| rows.version == leg.version);
        if let Some(rows) = rows.filter(|_| leg.shed.is_some()) {
            leg.decode = rows.decode;
            leg.queue = (leg.begun + leg.took).saturating_duration_since(rows.at);
        }
        drop(encoded);
        self.legs(|legs| legs.push(leg));
    }

    /// It asks about these entities. They are looked at only where they are to be logged.
    pub fn about<'i>(&self, ids: impl Iterator<Item = &'i str>) {
        if self.0.journeys.0.entities && access::is_on() {
            let cut = |id: &str| id.chars().take(ID).collect();
            *self.entities() = ids.take(ENTITIES).map(cut).collect();
        }
    }

    /// It is over, with this code: to be called once.
    pub fn end(&self, code: &'static str) -> Ended {
        let Followed { method, begun, context, caller, ref stream, ref journeys, .. } = *self.0;
        let legs = self.legs(std::mem::take);
        let is_message = stream.is_some();
        let entities = if journeys.0.entities { std::mem::take(&mut *self.entities()) } else { Vec::new() };
        let took = begun.elapsed();
        let ended = Ended { method, code, begun, took, context, caller, is_message, legs, entities };
        journeys.ended(&ended, &self.0);
        ended
    }

    fn entities(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.entities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn legs<T>(&self, change: impl FnOnce(&mut Vec<Leg>) -> T) -> T {
        change(&mut self.0.legs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
