//! The spans of a request:
//!
//! ```text
//! souk.v1.MerchantGmvService/PredictGmv      the call
//! ├─ admit                                   waited for a place (bulk alone)
//! ├─ decode                                  its rows were read and encoded
//! ├─ queue                                   waited for a pass
//! ├─ batch                                   with those of other requests, once
//! │  └─ forward
//! └─ reply                                   was put into words and sent
//! ```
//!
//! A message of a stream has the same below its own span, `message`, which is below the call.
//! Rows that were never run have `admit` alone, where they were refused, or `score`, where
//! their caller left or their deadline passed.

use std::{sync::Arc, time::Instant};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use opentelemetry_semantic_conventions::SCHEMA_URL;

use super::{
    Batch, Told,
    attributes::{name, of_batch, of_call, of_request, of_rows, status},
    batch::Seen,
    clock::Clock,
};
use crate::telemetry::{Ended, Leg, Reason, context::Context};

/// Links of one span at most; OpenTelemetry's own bound.
const LINKS: usize = 128;

/// Makes spans.
#[derive(Debug)]
pub(super) struct Spans {
    scope: InstrumentationScope,
    /// Address and port.
    server: (String, u16),
}

/// The spans of one request.
struct OfRequest<'s> {
    scope: &'s InstrumentationScope,
    clock: Clock,
    context: Context,
    made: Vec<SpanData>,
    /// Batches whose spans lie elsewhere.
    elsewhere: Vec<Context>,
}

/// From one moment to a later one.
type Time = (Instant, Instant);

impl Spans {
    /// Spans of the server at this address and port.
    pub(super) fn new(address: String, port: u16) -> Self {
        let scope = InstrumentationScope::builder("souk")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA_URL)
            .build();
        Self { scope, server: (address, port) }
    }

    /// The spans of a request; none where nobody asked for its trace.
    pub(super) fn of(&self, told: &Told) -> Vec<SpanData> {
        let Some(context) = told.ended.context else { return Vec::new() };
        let (made, elsewhere) = (Vec::with_capacity(8), Vec::new());
        let mut spans = OfRequest { scope: &self.scope, clock: Clock::now(), context, made, elsewhere };
        told.ended.legs.iter().for_each(|leg| spans.add_leg(leg));
        spans.add_reply(&told.ended);
        let mut attributes = match told.ended.is_message {
            true => Vec::new(),
            false => of_call(told.ended.method, told.ended.code, &self.server),
        };
        attributes.extend(of_request(told));
        spans.add_request(&told.ended, attributes);
        spans.made
    }
}

impl OfRequest<'_> {
    /// The request itself.
    fn add_request(&mut self, ended: &Ended, attributes: Vec<KeyValue>) {
        let links = links(std::mem::take(&mut self.elsewhere));
        let time = (ended.begun, ended.begun + ended.took);
        let name = if ended.is_message { "message" } else { name(ended.method) };
        let span = self.span(name, self.context, time);
        self.made.push(SpanData {
            parent_span_id: ended.caller.map_or(SpanId::INVALID, |caller| caller.span),
            parent_span_is_remote: ended.caller.is_some() && !ended.is_message,
            span_kind: if ended.is_message { SpanKind::Internal } else { SpanKind::Server },
            attributes,
            links,
            status: status(ended.code),
            ..span
        });
    }

    /// What became of rows at one version.
    fn add_leg(&mut self, leg: &Leg) {
        let Some(encoded) = leg.encoded else {
            return self.add_shed(leg);
        };
        let decoding = encoded.checked_sub(leg.decode).unwrap_or(encoded).max(leg.begun);
        if leg.lane == "bulk" {
            self.add_child("admit", (leg.begun, decoding), of_rows(leg));
        }
        self.add_child("decode", (decoding, encoded), of_rows(leg));
        if leg.batch_rows > 0 {
            self.add_child("queue", (encoded, encoded + leg.queue), of_rows(leg));
        }
        leg.batches.iter().for_each(|batch| self.add_batch(batch, leg));
    }

    /// Rows that were never run.
    fn add_shed(&mut self, leg: &Leg) {
        let Some(reason) = leg.shed else { return };
        let name = match reason {
            Reason::QueueFull | Reason::QueueBytes | Reason::Wait | Reason::Deadline | Reason::Rate => "admit",
            // Wherever they were then.
            Reason::Expired | Reason::Cancelled => "score",
        };
        let mut attributes = of_rows(leg);
        attributes.push(KeyValue::new("souk.shed", reason.as_str()));
        self.add_child(name, (leg.begun, leg.begun + leg.took), attributes);
    }

    /// A batch is one span for all of its requests.
    fn add_batch(&mut self, batch: &Arc<Batch>, leg: &Leg) {
        let context = match batch.seen_from(self.context) {
            Seen::Below(context) => context,
            Seen::Elsewhere(context) => return self.elsewhere.push(context),
        };
        let (began, forward, ended) = (batch.ran.began, batch.ran.forward, batch.ran.ended);
        let span = self.span("batch", context, (began, ended));
        // Only to those that are sent: the others lead nowhere, and most are not.
        let is_sent = |request: &&Context| request.sampled || **request == self.context;
        let links = links(batch.requests.iter().filter(is_sent).copied().collect());
        self.made.push(SpanData { attributes: of_batch(batch, leg), links, ..span });
        let span = self.span("forward", context.child(), (forward, ended));
        self.made.push(SpanData { parent_span_id: context.span, ..span });
    }

    /// From the last answer on until it was sent.
    fn add_reply(&mut self, ended: &Ended) {
        let answered = ended.legs.iter().all(|leg| leg.shed.is_none());
        let last = ended.legs.iter().map(|leg| leg.begun + leg.took).max();
        if let Some(last) = last.filter(|_| answered) {
            self.add_child("reply", (last, ended.begun + ended.took), Vec::new());
        }
    }

    fn add_child(&mut self, name: &'static str, time: Time, attributes: Vec<KeyValue>) {
        let span = self.span(name, self.context.child(), time);
        self.made.push(SpanData { attributes, ..span });
    }

    /// A span of this context, below the request.
    fn span(&self, name: &'static str, context: Context, (start, end): Time) -> SpanData {
        SpanData {
            span_context: told(context),
            parent_span_id: self.context.span,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: self.clock.time(start),
            end_time: self.clock.time(end.max(start)),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// What is told is sampled, whoever wanted it.
fn told(context: Context) -> SpanContext {
    SpanContext::new(context.trace, context.span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn links(to: Vec<Context>) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.dropped_count = u32::try_from(to.len().saturating_sub(LINKS)).unwrap_or(u32::MAX);
    links.links = to.into_iter().take(LINKS).map(|context| Link::with_context(told(context))).collect();
    links
}

#[cfg(test)]
mod tests;
