//! Which requests are told to the collector as traces. That is decided at their end,
//! where it is known how they ended and how long they took.
//!
//! A request on its way carries ids and moments, no spans. At its end it is forgotten, or
//! copied to where the thread that sends telemetry fetches it: nobody is woken, and where
//! there is no room it is dropped and counted. Spans are made on that thread.

mod attributes;
mod batch;
mod clock;
mod limit;
mod sending;
mod slowest;
mod spans;

use std::{
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::Instant,
};

use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

pub use self::batch::{Batch, Ran, RanOn};
use self::{limit::Limit, sending::Sending, slowest::Slowest, spans::Spans};
use super::{Ended, Metrics, Otlp, context::Context, journey::is_probe};

/// Requests that wait to be fetched: those of two fetches at the limits below, and some
/// megabytes where nobody fetches them.
const WAITING: usize = 1024;

/// Traces a second at most, since whoever calls can ask for one with every call: to make and
/// send so many takes some percent of a core.
const A_SECOND: u32 = 1000;

/// Traces a second of errors that nobody asked for: in an overload most calls are refused,
/// and a hundred of them tell as much as all.
const ERRORS_A_SECOND: u32 = 100;

/// How traces are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Of the requests whose caller has no trace, the share that is told whatever becomes of
    /// them: 0 to 1.
    pub ratio: f64,
    /// Where the server is reached: its address or name.
    pub address: String,
    /// Its port.
    pub port: u16,
}

/// Takes requests that are over. Clones share it.
#[derive(Clone)]
pub struct Traces(Arc<Deciding>);

struct Deciding {
    /// A trace that begins here is sampled where its id's lower half is below twice this.
    below: u64,
    metrics: Metrics,
    all: Limit,
    errors: Limit,
    slowest: Arc<Slowest>,
    told: SyncSender<Told>,
}

/// A request whose spans are to be made.
#[derive(Debug, Clone)]
struct Told {
    ended: Ended,
    why: Why,
}

/// Why a request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its caller or the ratio wanted it, before anything was known of it.
    Sampled,
    /// It failed, or some of its rows did.
    Error,
    /// Few of its time took as long.
    Slowest,
    /// It is the stream of a message that is told.
    Message,
}

impl Why {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sampled => "sampled",
            Self::Error => "error",
            Self::Slowest => "slowest",
            Self::Message => "message",
        }
    }
}

impl Traces {
    /// Has `otlp` send traces from now on.
    pub fn start(otlp: &Otlp, metrics: &Metrics, sampling: Sampling) -> Self {
        let Sampling { ratio, address, port } = sampling;
        let (traces, sending) = Self::new(ratio, metrics.clone(), Spans::new(address, port));
        otlp.spawn(|collector, stopping| sending.run(collector, stopping));
        traces
    }

    fn new(ratio: f64, metrics: Metrics, spans: Spans) -> (Self, Sending) {
        let (told, fetched) = sync_channel(WAITING);
        let (slowest, begun) = (Arc::new(Slowest::default()), Instant::now());
        let (all, errors) = (Limit::new(A_SECOND, begun), Limit::new(ERRORS_A_SECOND, begun));
        let sending = Sending::new(fetched, Arc::clone(&slowest), (spans, metrics.clone()));
        // As OpenTelemetry's own sampler has it, so that servers of one ratio choose the same traces.
        let below = (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        (Self(Arc::new(Deciding { below, metrics, all, errors, slowest, told })), sending)
    }

    /// The first span of a trace that begins here.
    pub(super) fn root(&self, method: &str) -> Context {
        let ids = RandomIdGenerator::default();
        let (trace, span) = (ids.new_trace_id(), ids.new_span_id());
        let half = u128::from_be_bytes(trace.to_bytes()) as u64 >> 1;
        Context { trace, span, sampled: half < self.0.below && !is_probe(method) }
    }

    /// A request is over; `of_message` where a message of it is told. Whether it is told,
    /// as far as is known yet.
    pub(super) fn ended(&self, ended: &Ended, of_message: bool) -> bool {
        match why(ended, of_message) {
            Some(why) => self.tell(ended, why),
            // A call without rows of its own is a probe or a stream, of which long is not slow.
            None => !ended.legs.is_empty() && self.0.slowest.consider(ended),
        }
    }

    fn tell(&self, ended: &Ended, why: Why) -> bool {
        let Deciding { metrics, all, errors, told, .. } = self.0.as_ref();
        let now = ended.begun + ended.took;
        let has_room = (why != Why::Error || errors.admits(now)) && all.admits(now);
        // What can't be told is not copied.
        let is_told = has_room && told.try_send(Told { ended: ended.clone(), why }).is_ok();
        if !is_told {
            metrics.trace_dropped();
        }
        is_told
    }
}

/// Why a request is told, but for being slow.
fn why(ended: &Ended, of_message: bool) -> Option<Why> {
    if ended.context.is_some_and(|context| context.sampled) {
        return Some(Why::Sampled);
    }
    let is_error = ended.code != "OK" || ended.legs.iter().any(|leg| leg.failed > 0);
    if is_error && !ended.is_probe() {
        return Some(Why::Error);
    }
    of_message.then_some(Why::Message)
}

#[cfg(test)]
mod tests;
