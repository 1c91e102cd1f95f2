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
use self::{
    attributes::CODES,
    limit::Limit,
    sending::{Fetched, Sending},
    slowest::Slowest,
    spans::Spans,
};
use super::{Ended, Metrics, Otlp, context::Context, ended::is_probe};

/// Errors that wait to be fetched, for which others leave these places.
const ERRORS_WAITING: usize = 256;

/// Other requests that wait to be fetched: those of two fetches at the limit below, and some
/// megabytes where nobody fetches them.
const OTHERS_WAITING: usize = 800;

/// Sampled traces a second at most, since whoever calls can ask for one with every call: to
/// make and send so many takes some percent of a core.
const A_SECOND: u32 = 800;

/// Traces a second of errors of one code, and of streams for their messages: in an overload
/// most calls are refused, and so many of them tell as much as all.
const ERRORS_A_SECOND: u32 = 50;

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
    sampled: Limit,
    /// By code, so that a flood of one hides no other.
    errors: [Limit; CODES.len()],
    messages: Limit,
    slowest: Arc<Slowest>,
    told_errors: SyncSender<Told>,
    told_others: SyncSender<Told>,
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
        let (told_errors, errors) = sync_channel(ERRORS_WAITING);
        let (told_others, others) = sync_channel(OTHERS_WAITING);
        let (slowest, begun) = (Arc::new(Slowest::default()), Instant::now());
        let fetched = Fetched { errors, others };
        let sending = Sending::new(fetched, Arc::clone(&slowest), (spans, metrics.clone()));
        // As OpenTelemetry's own sampler has it, so that servers of one ratio choose the same traces.
        let below = (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        let sampled = Limit::new(A_SECOND, begun);
        let limit = || Limit::new(ERRORS_A_SECOND, begun);
        let (errors, messages) = (std::array::from_fn(|_| limit()), limit());
        let deciding = Deciding { below, metrics, sampled, errors, messages, slowest, told_errors, told_others };
        (Self(Arc::new(deciding)), sending)
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
        // An error that is one sampled request too many is an error still.
        let is_told =
            self.tell_as(ended, why) || why == Why::Sampled && is_error(ended) && self.tell_as(ended, Why::Error);
        if !is_told {
            self.0.metrics.trace_dropped();
        }
        is_told
    }

    fn tell_as(&self, ended: &Ended, why: Why) -> bool {
        let Deciding { sampled, messages, told_errors, told_others, .. } = self.0.as_ref();
        let (limit, told) = match why {
            Why::Error => (self.errors(ended.code), told_errors),
            Why::Message => (messages, told_errors),
            Why::Sampled | Why::Slowest => (sampled, told_others),
        };
        // What can't be told is not copied.
        limit.admits(ended.begun + ended.took) && told.try_send(Told { ended: ended.clone(), why }).is_ok()
    }

    /// Of errors of this code; `OK` where rows failed.
    fn errors(&self, code: &str) -> &Limit {
        let Deciding { errors, messages, .. } = self.0.as_ref();
        let of_code = CODES.iter().zip(errors).find(|(name, _)| **name == code);
        of_code.map_or(messages, |(_, limit)| limit)
    }
}

fn is_error(ended: &Ended) -> bool {
    let failed = ended.code != "OK" || ended.legs.iter().any(|leg| leg.failed > 0);
    failed && !ended.is_probe()
}

/// Why a request is told, but for being slow.
fn why(ended: &Ended, of_message: bool) -> Option<Why> {
    if ended.context.is_some_and(|context| context.sampled) {
        return Some(Why::Sampled);
    }
    if is_error(ended) {
        return Some(Why::Error);
    }
    of_message.then_some(Why::Message)
}

#[cfg(test)]
mod tests;
