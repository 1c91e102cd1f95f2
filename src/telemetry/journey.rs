//! One request from its arrival to its end, and where its time went.
//!
//! It passes the rooms together with the request, each adds what it knows, and who
//! began it ends it. A call is one; each message of a stream is one of its own too.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Batch, Metrics, Reason, Traces, context::Context};

/// Begins journeys, and takes what they tell at their end. Clones share it.
#[derive(Clone)]
pub struct Journeys {
    metrics: Metrics,
    traces: Option<Traces>,
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
    /// From the end of encoding until the first row ran.
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
}

#[cfg(test)]
impl Ended {
    /// A call of two seconds without rows.
    pub(super) fn of(method: &'static str, code: &'static str, begun: Instant) -> Self {
        let took = Duration::from_secs(2);
        Self { method, code, begun, took, context: None, caller: None, is_message: false, legs: Vec::new() }
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

impl Journeys {
    /// Journeys that are counted in `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, traces: None }
    }

    /// The same, which are told as traces too, where somebody takes these.
    pub fn traced(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// A request came; its method is of a bounded set.
    pub fn begin(&self, method: &'static str, caller: Option<Context>) -> Journey {
        self.follow(method, caller, None)
    }

    fn follow(&self, method: &'static str, caller: Option<Context>, stream: Option<Journey>) -> Journey {
        let context = match &self.traces {
            Some(traces) => Some(caller.map_or_else(|| traces.root(method), Context::child)),
            // Nobody is told of a span here: it stands where its caller does.
            None => caller,
        };
        let (begun, legs, is_wanted, journeys) =
            (Instant::now(), Mutex::default(), AtomicBool::new(false), self.clone());
        Journey(Arc::new(Followed { method, begun, context, caller, stream, is_wanted, legs, journeys }))
    }

    fn ended(&self, ended: &Ended, journey: &Followed) {
        for leg in &ended.legs {
            self.metrics.scored(&leg.model, leg.lane, leg.took);
        }
        if let Some(traces) = &self.traces {
            let is_told = traces.ended(ended, journey.is_wanted.load(Ordering::Relaxed));
            if let Some(stream) = journey.stream.as_ref().filter(|_| is_told) {
                stream.0.is_wanted.store(true, Ordering::Relaxed);
            }
        }
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
        self.0.context.filter(|_| self.0.journeys.traces.is_some())
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

    /// A version was asked for rows and is done with them.
    pub fn add(&self, leg: Leg) {
        self.legs(|legs| legs.push(leg));
    }

    /// It is over, with this code: to be called once.
    pub fn end(&self, code: &'static str) -> Ended {
        let Followed { method, begun, context, caller, ref stream, ref journeys, .. } = *self.0;
        let legs = self.legs(std::mem::take);
        let is_message = stream.is_some();
        let ended = Ended { method, code, begun, took: begun.elapsed(), context, caller, is_message, legs };
        journeys.ended(&ended, &self.0);
        ended
    }

    fn legs<T>(&self, change: impl FnOnce(&mut Vec<Leg>) -> T) -> T {
        change(&mut self.0.legs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
