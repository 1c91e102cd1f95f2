//! A trace for each bucket of how long calls took: from a slow bar of a chart to one call
//! that was as slow.
//!
//! The last call of each method and bucket, and so bounded by the table; only calls whose
//! trace is sent, since any other one nobody can look at. Whether the collector took it is not
//! waited for: where it did not, the trace is not found.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use opentelemetry::trace::{SpanId, TraceId};

use super::{kept::Kept, table::REQUEST_DURATION};

/// One call that took so long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) seconds: f64,
    /// When it ended.
    pub(super) at: SystemTime,
}

/// The last one of each method and bucket.
#[derive(Default)]
pub(super) struct Exemplars(Kept<&'static str, Buckets>);

/// By the number of the bucket; the last one is that without a bound.
struct Buckets(Vec<ArcSwapOption<Exemplar>>);

impl Exemplars {
    /// This is the last one of its bucket.
    pub(super) fn put(&self, method: &'static str, took: Duration, (trace, span): (TraceId, SpanId)) {
        let seconds = took.as_secs_f64();
        let exemplar = Exemplar { trace, span, seconds, at: SystemTime::now() };
        self.0.with(&method, Buckets::new, |buckets| {
            if let Some(bucket) = buckets.0.get(bucket(seconds)) {
                bucket.store(Some(Arc::new(exemplar)));
            }
        });
    }

    /// The last one of the bucket with this upper bound.
    pub(super) fn of(&self, method: &str, bound: f64) -> Option<Exemplar> {
        let buckets = self.0.get(method)?;
        buckets.0.get(bucket(bound))?.load().as_deref().copied()
    }
}

impl Buckets {
    fn new() -> Self {
        Self((0..=REQUEST_DURATION.bounds().len()).map(|_| ArcSwapOption::empty()).collect())
    }
}

/// A bucket's bound belongs to it.
fn bucket(seconds: f64) -> usize {
    REQUEST_DURATION.bounds().partition_point(|bound| *bound < seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHOD: &str = "souk.v1.X/Y";

    fn put(exemplars: &Exemplars, millis: u64, trace: u128) {
        exemplars.put(METHOD, Duration::from_millis(millis), (TraceId::from(trace), SpanId::from(7)));
    }

    #[test]
    fn the_last_call_of_a_bucket_stays() {
        let exemplars = Exemplars::default();
        put(&exemplars, 3, 1);
        put(&exemplars, 4, 2);
        put(&exemplars, 5, 3);
        put(&exemplars, 6, 4);
        put(&exemplars, 60_000, 5);
        let of = |bound| exemplars.of(METHOD, bound).map(|found| found.trace);
        assert_eq!(of(0.002), None);
        assert_eq!(of(0.005), Some(TraceId::from(3)));
        assert_eq!(of(0.01), Some(TraceId::from(4)));
        assert_eq!(of(f64::INFINITY), Some(TraceId::from(5)));
        assert_eq!(exemplars.of("another", 0.005), None);
    }
}
