//! Where a request stands in a trace that may cross many services: W3C Trace Context.

use std::{collections::HashMap, fmt};

use opentelemetry::{
    propagation::TextMapPropagator as _,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{IdGenerator as _, RandomIdGenerator},
};

/// A span of a trace. Its text is the value of `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// Whether whoever began the trace wants it kept.
    pub(super) sampled: bool,
}

impl Context {
    /// The header that carries it.
    pub const HEADER: &'static str = "traceparent";

    /// What the header says. None where it is malformed, which the specification has
    /// treated as absent.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let carried = HashMap::from([(Self::HEADER.to_owned(), traceparent.to_owned())]);
        let found = TraceContextPropagator::new().extract(&carried);
        let span: &SpanContext = &found.span().span_context().clone();
        let (trace, id, sampled) = (span.trace_id(), span.span_id(), span.is_sampled());
        span.is_valid().then_some(Self { trace, span: id, sampled })
    }

    /// A new span of the same trace.
    pub(super) fn child(self) -> Self {
        Self { span: RandomIdGenerator::default().new_span_id(), ..self }
    }

    /// The trace's id: 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.trace.to_string()
    }
}

impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_s_span_is_read_and_written() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = Context::parse(text).unwrap();
        assert_eq!(context.to_string(), text);
        let child = context.child();
        assert_eq!((child.trace, child.sampled), (context.trace, true));
        assert_ne!(child.span, context.span);
    }

    #[test]
    fn what_is_malformed_is_absent() {
        for text in ["", "00-1-2-3", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
    }
}
