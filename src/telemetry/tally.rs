//! What became of all requests since somebody last looked: the log's summary.
//!
//! Counters of its own, since those of the metrics go up for ever and are read only as a
//! whole. A request costs some look-ups and additions, and no lock.

use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tracing::info;

use super::{
    Ended, Reason,
    kept::Kept,
    latencies::{BUCKETS, Latencies, bucket, millis},
};

/// Most names in one part of a summary: a log line is not a table.
const NAMED: usize = 8;

/// Counts requests. Those that asked no version for rows count where they failed: probes
/// and open streams are no traffic.
pub struct Tally {
    codes: Kept<&'static str, AtomicU64>,
    reasons: Kept<&'static str, AtomicU64>,
    /// Requests that versions answered, by model and version.
    answered: Kept<String, Kept<u64, AtomicU64>>,
    /// Rows of them.
    rows: AtomicU64,
    /// How long they took.
    took: [AtomicU64; BUCKETS],
}

/// What is counted of a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Requests that ended.
    pub requests: u64,
    /// Rows of those that were answered.
    pub rows: u64,
    /// How long these took.
    pub took: Latencies,
    /// Requests by the name of their gRPC code.
    pub codes: Vec<(String, u64)>,
    /// Requests whose rows were never run, by why not.
    pub reasons: Vec<(String, u64)>,
    /// Requests that were answered, by model and version.
    pub versions: Vec<(String, u64)>,
}

impl Default for Tally {
    fn default() -> Self {
        let (codes, reasons, answered, rows) = Default::default();
        Self { codes, reasons, answered, rows, took: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Tally {
    /// A request is over.
    pub(super) fn count(&self, ended: &Ended) {
        let is_good = ended.code == "OK";
        if ended.is_probe() || is_good && ended.legs.is_empty() {
            return;
        }
        self.codes.with(&ended.code, AtomicU64::default, one_more);
        if let Some(reason) = ended.reason().map(Reason::as_str) {
            self.reasons.with(&reason, AtomicU64::default, one_more);
        }
        for leg in ended.legs.iter().filter(|leg| is_good && leg.shed.is_none()) {
            self.rows.fetch_add(leg.rows as u64, Relaxed);
            self.answered.with(&leg.model, Kept::default, |of| of.with(&leg.version, AtomicU64::default, one_more));
        }
        if let Some(count) = self.took.get(bucket(ended.took)).filter(|_| is_good) {
            one_more(count);
        }
    }

    /// What was counted since this was last called; none where nothing was.
    pub fn take(&self) -> Option<Summary> {
        let codes = taken(&self.codes);
        let requests = codes.iter().map(|(_, count)| count).sum();
        let mut took = Latencies::default();
        self.took.iter().enumerate().for_each(|(bucket, count)| took.add(bucket, count.swap(0, Relaxed)));
        let mut versions = Vec::new();
        self.answered.each(|model, of| {
            versions.extend(taken(of).into_iter().map(|(version, count)| (format!("{model}/{version}"), count)));
        });
        let (rows, reasons) = (self.rows.swap(0, Relaxed), taken(&self.reasons));
        (requests > 0).then_some(Summary { requests, rows, took, codes, reasons, versions })
    }
}

fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}

/// What was counted, by name.
fn taken<K: Ord + Clone + fmt::Display>(counts: &Kept<K, AtomicU64>) -> Vec<(String, u64)> {
    let mut taken = Vec::new();
    counts.each(|name, count| match count.swap(0, Relaxed) {
        0 => {}
        count => taken.push((name.to_string(), count)),
    });
    taken
}

impl Summary {
    /// Writes it to the log, as one of so long.
    pub fn log(&self, over: Duration) {
        let per_second = self.requests as f64 / over.as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |share| self.took.percentile(share).map(millis);
        info!(
            seconds = over.as_secs(),
            requests = self.requests,
            per_second = (per_second * 10.0).round() / 10.0,
            rows = self.rows,
            p50_ms = share(0.5),
            p99_ms = share(0.99),
            codes = named(&self.codes),
            refused = named(&self.reasons),
            versions = named(&self.versions),
            "requests"
        );
    }
}

/// `OK 120, CANCELLED 3`, the most frequent first; none where there is nothing.
fn named(counts: &[(String, u64)]) -> Option<String> {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names: Vec<_> = counts.iter().take(NAMED).map(|(name, count)| format!("{name} {count}")).collect();
    let mut names = names.join(", ");
    if counts.len() > NAMED {
        // Writing to a string can't fail.
        let _ = write!(names, " and {} more", counts.len() - NAMED);
    }
    Some(names).filter(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::telemetry::Leg;

    fn leg(version: u64, shed: Option<Reason>) -> Leg {
        Leg { model: "m".into(), version, rows: 5, shed, ..Leg::of(Instant::now()) }
    }

    fn count(tally: &Tally, code: &'static str, legs: Vec<Leg>) {
        let (begun, took) = (Instant::now(), Duration::from_millis(8));
        tally.count(&Ended { took, legs, ..Ended::of("x", code, begun) });
    }

    #[test]
    fn what_became_of_requests_is_told_once() {
        let tally = Tally::default();
        count(&tally, "OK", vec![leg(3, None)]);
        count(&tally, "OK", vec![leg(3, None), leg(4, None)]);
        count(&tally, "RESOURCE_EXHAUSTED", vec![leg(3, Some(Reason::Wait)), leg(4, Some(Reason::Cancelled))]);
        count(&tally, "INVALID_ARGUMENT", Vec::new());
        let begun = Instant::now();
        tally.count(&Ended::of("grpc.health.v1.Health/Watch", "CANCELLED", begun));
        let summary = tally.take().unwrap();
        assert_eq!((summary.requests, summary.rows, summary.took.count()), (4, 15, 2));
        assert_eq!(named(&summary.codes).unwrap(), "OK 2, INVALID_ARGUMENT 1, RESOURCE_EXHAUSTED 1");
        assert_eq!(named(&summary.reasons).unwrap(), "wait 1");
        assert_eq!(named(&summary.versions).unwrap(), "m/3 2, m/4 1");
        let p50 = summary.took.percentile(0.5).unwrap().as_secs_f64();
        assert!((p50 / 0.008 - 1.0).abs() < 0.05, "{p50} s");
        assert_eq!(tally.take(), None);
    }

    #[test]
    fn where_nobody_asked_for_rows_there_is_nothing_to_tell() {
        let tally = Tally::default();
        count(&tally, "OK", Vec::new());
        assert_eq!(tally.take(), None);
    }

    #[test]
    fn many_names_are_cut() {
        let counts: Vec<_> = (1..=10).map(|count| (format!("m {count}"), count)).collect();
        assert_eq!(named(&counts).unwrap(), "m 10 10, m 9 9, m 8 8, m 7 7, m 6 6, m 5 5, m 4 4, m 3 3 and 2 more");
        assert_eq!(named(&[]), None);
    }
}
