//! Where a request stands in a trace that may cross many services: W3C Trace Context.

use std::fmt;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

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
        let mut fields = traceparent.split('-');
        let [version, trace, span, flags] =
            [2, 32, 16, 2].map(|digits| fields.next().filter(|text| is_hex(text, digits)));
        let (version, flags) = (version?, u8::from_str_radix(flags?, 16).ok()?);
        // Later versions may add fields behind these; ff is none.
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let (trace, span) = (TraceId::from_hex(trace?).ok()?, SpanId::from_hex(span?).ok()?);
        let is_valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        is_valid.then_some(Self { trace, span, sampled: flags & 1 == 1 })
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

/// Whether this is so many hexadecimal digits in lower case.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for (version, trace, span, flags) in [
            ("", "", "", ""),
            ("00", "1", "2", "3"),
            ("ff", trace, span, "01"),
            ("00", trace, span, "01-00"),
            ("00", &"0".repeat(32), span, "01"),
            ("00", trace, &"0".repeat(16), "01"),
            ("00", &trace.to_uppercase(), span, "01"),
            ("00", trace, span, "é"),
        ] {
            let text = format!("{version}-{trace}-{span}-{flags}");
            assert_eq!(Context::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        assert!(Context::parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more").unwrap().sampled);
    }
}
