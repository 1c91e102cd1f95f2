//! What is measured: every metric's name, kind, unit, labels, buckets and meaning, in one
//! table, of which the README's is made ([`markdown`]).
//!
//! Architecture invariant: nothing outside this folder spells a metric's name or label.

mod made;
mod markdown;
mod models;
mod process;
mod scoring;
mod server;

pub use markdown::markdown;
pub(super) use models::*;
pub(super) use process::*;
pub(super) use scoring::*;
pub(super) use server::*;

/// One metric, as it is scraped and pushed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name, with unit and suffix.
    pub name: &'static str,
    /// What its values do.
    pub kind: Kind,
    /// What they count.
    pub unit: Unit,
    /// Its labels; each has values of a bounded set only.
    pub labels: &'static [&'static str],
    /// What it tells; Markdown.
    pub help: &'static str,
}

/// What the values of a metric do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts what was seen by these upper bounds, which ascend.
    Histogram(&'static [f64]),
}

/// What the values of a metric count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// So many of these things, e.g. `rows`.
    Of(&'static str),
    /// Nothing: a fact, or a figure that its labels explain.
    None,
}

/// Upper bounds in seconds, in steps of 1, 2, 5: from less than the fastest reply
/// on a loopback to more than anybody waits.
const SECONDS: &[f64] =
    &[0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Upper bounds in rows: a pass of one, and then up to four times the default of
/// `batch.max_rows`.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// All of them, as the README has them.
pub const METRICS: &[Metric] = &[
    REQUESTS,
    REQUEST_DURATION,
    ROWS_SCORED,
    FEATURES_DEFAULTED,
    SCORING,
    QUEUE_WAIT,
    COMPUTE,
    BATCH_ROWS,
    QUEUE_ROWS,
    ADMITTED_ROWS,
    QUEUE_ROWS_LIMIT,
    QUEUE_BYTES,
    QUEUE_BYTES_LIMIT,
    SHED_ROWS,
    LATE_ROWS,
    MODEL_LIVE,
    MODEL_AGE,
    MODEL_LOAD,
    MODEL_LOAD_FAILURES,
    CANARIES_TAKEN_BACK,
    SHADOW_ROWS,
    SHADOW_DIFFERENCE,
    READY,
    DRAINING,
    CONNECTIONS,
    CONNECTIONS_LIMIT,
    RUNNERS,
    RUNNERS_CONFIGURED,
    RUNNER_BUSY,
    RUNNER_RESTARTS,
    IO_THREADS,
    IO_BUSY,
    IO_TASKS,
    IO_TASKS_QUEUED,
    EXPORT_FAILURES,
    TRACES_DROPPED,
    CERTIFICATE_EXPIRY,
    BUILD_INFO,
    PROCESS_CPU,
    PROCESS_RESIDENT,
    PROCESS_VIRTUAL,
    PROCESS_THREADS,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_START,
];

impl Metric {
    const fn counter(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit, labels, help }
    }

    const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels, help }
    }

    /// A histogram of how long something took.
    const fn durations(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram(SECONDS), unit: Unit::Seconds, labels, help }
    }

    /// A histogram of rows.
    const fn sizes(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram(ROWS), unit: Unit::Of("rows"), labels, help }
    }

    /// The upper bounds of its buckets; none where it is no histogram.
    pub(super) const fn bounds(&self) -> &'static [f64] {
        match self.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::Counter | Kind::Gauge => &[],
        }
    }
}

#[cfg(test)]
mod tests;
