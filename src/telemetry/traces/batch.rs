//! One batch, as all traced requests in it see it.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use super::super::context::Context;

/// A batch that ran. It has one span, in the trace of the first of its requests that is
/// told; the others' spans are linked with it.
#[derive(Debug)]
pub struct Batch {
    pub(super) ran: Ran,
    pub(super) requests: Vec<Context>,
    span: SpanId,
    /// Of whom its span is a child.
    parent: Mutex<Option<Context>>,
}

/// How a batch ran.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// Rows in it.
    pub rows: usize,
    /// Requests that these are of, traced or not.
    pub requests: usize,
    /// Forward passes: one, or as many as it took to find the rows at fault.
    pub passes: usize,
    /// On which thread.
    pub on: RanOn,
    /// When it was taken out of the queue.
    pub began: Instant,
    /// When its first pass began.
    pub forward: Instant,
    /// When its last pass ended.
    pub ended: Instant,
}

/// Where a batch ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RanOn {
    /// On the thread that its requests arrived on.
    Inline,
    /// On a runner's.
    Runner,
}

/// Where a batch's span is, seen from one of its requests.
pub(super) enum Seen {
    /// Below it: the span is to be made now.
    Below(Context),
    /// In the trace of another one, where it was made.
    Elsewhere(Context),
}

impl RanOn {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Runner => "runner",
        }
    }
}

impl Batch {
    /// A batch with these requests in it, of those that are traced.
    pub fn new(ran: Ran, requests: Vec<Context>) -> Self {
        Self { ran, requests, span: RandomIdGenerator::default().new_span_id(), parent: Mutex::default() }
    }

    /// Where its span is for a request that is told.
    pub(super) fn seen_from(&self, request: Context) -> Seen {
        let mut parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        let span = |parent: Context| Context { span: self.span, ..parent };
        match *parent {
            Some(parent) => Seen::Elsewhere(span(parent)),
            None => {
                *parent = Some(request);
                Seen::Below(span(request))
            }
        }
    }
}

/// The same batch, that is.
impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.span == other.span
    }
}
