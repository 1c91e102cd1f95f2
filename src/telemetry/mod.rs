//! What the server measures of itself, for dashboards and alarms: scraped by Prometheus
//! ([`Exposition`]) and pushed to a collector ([`Otlp`]); and what it tells of single
//! requests, as [`Traces`] and as lists of the slow ones ([`Noted`]).
//!
//! Counted once, at one place, by pass and by call rather than by row. An update
//! finds its counters by model and version, or by method, and takes no lock but
//! the histogram's own: all attributes were bound when the first update came.
//!
//! Architecture invariant: this room alone knows OpenTelemetry and Prometheus, and
//! it knows none of ours. It says what the log has of requests; how logs are written is
//! the server's.

mod access;
mod bound;
mod context;
mod ended;
mod exemplars;
mod exposition;
mod history;
mod journey;
mod kept;
mod kinds;
mod latencies;
mod noted;
mod observed;
mod openmetrics;
mod otlp;
mod present;
mod process;
mod pushed;
mod table;
mod tally;
mod traces;

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    metrics::{Meter, MeterProvider as _, NoopMeterProvider},
    trace::{SpanId, TraceId},
};

use bound::Instruments;
pub use context::Context;
pub use ended::{Ended, Leg};
use exemplars::Exemplars;
pub use exposition::{Exposition, ExpositionError, Identity};
pub use history::{Figure, History, Name, Reading, Stretch};
pub use journey::{Journey, Journeys};
pub(crate) use kinds::Signal;
pub use kinds::{Reason, RowsOutcome, ShadowOutcome};
pub use latencies::{BUCKETS, Latencies, bucket};
pub use noted::{Noted, NotedRequest};
pub use observed::Budget;
pub use otlp::{Otlp, OtlpError};
pub use present::{Port, Presence, Present};
pub use table::{Kind, METRICS, Metric, Unit, markdown};
pub use tally::{Summary, Tally};
pub use traces::{Batch, Ran, RanOn, Sampling, Traces};

/// Takes what is measured. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Instruments>);

/// One forward pass.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The version's number.
    pub version: u64,
    /// Rows in it.
    pub rows: usize,
    /// How long it took.
    pub compute: Duration,
    /// How many of the rows had a deadline that was past when it began.
    pub late_rows: usize,
}

/// A version that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The model's name.
    pub model: String,
    /// The version's number.
    pub version: u64,
    /// What it is asked by, e.g. `stable`.
    pub label: String,
}

/// A figure of how a version's answers differ from those of the live one.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The model's name.
    pub model: String,
    /// The number of the version that answers.
    pub live: u64,
    /// That of the version that is compared with it.
    pub version: u64,
    /// The head, or a group of a portrait.
    pub head: String,
    /// Which figure, of a bounded set.
    pub statistic: &'static str,
    /// The figure.
    pub value: f64,
}

impl Metrics {
    /// Metrics that can be read.
    ///
    /// # Errors
    ///
    /// [`ExpositionError::SetUp`] where the exporter refuses its place.
    pub fn new() -> Result<(Self, Exposition), ExpositionError> {
        Self::set_up(None)
    }

    /// The same, for an [`Otlp`] to push them too.
    ///
    /// # Errors
    ///
    /// As [`Metrics::new`].
    pub fn pushed_as(identity: &Identity) -> Result<(Self, Exposition), ExpositionError> {
        Self::set_up(Some(identity))
    }

    fn set_up(pushes: Option<&Identity>) -> Result<(Self, Exposition), ExpositionError> {
        let exemplars = Arc::new(Exemplars::default());
        let (exposition, meter) = Exposition::new(pushes, Arc::clone(&exemplars))?;
        Ok((Self::of(meter, exemplars), exposition))
    }

    /// Metrics that nobody reads.
    pub fn none() -> Self {
        Self::of(NoopMeterProvider::new().meter("souk"), Arc::default())
    }

    fn of(meter: Meter, exemplars: Arc<Exemplars>) -> Self {
        Self(Arc::new(Instruments::new(meter, exemplars)))
    }

    /// A call ended; both names are of bounded sets.
    pub fn request(&self, method: &'static str, code: &'static str, took: Duration) {
        self.0.of_method(method, |counted| {
            counted.duration.record(took.as_secs_f64());
            self.0.of_code(counted, method, code);
        });
    }

    /// A call whose trace was sent took so long: it stands for others of its bucket.
    pub(super) fn exemplar(&self, method: &'static str, took: Duration, span: (TraceId, SpanId)) {
        self.0.exemplars.put(method, took, span);
    }

    /// A forward pass ended, well or not.
    pub fn pass(&self, pass: &Pass<'_>) {
        self.0.of_version(pass.model, pass.version, |of_model, of_version| {
            of_model.late.add(pass.late_rows as u64);
            of_version.compute.record(pass.compute.as_secs_f64());
            of_version.batch_rows.record(pass.rows as u64);
        });
    }

    /// The first row of a request ran after it had waited so long.
    pub fn waited(&self, model: &str, wait: Duration) {
        self.0.of_model(model, |of_model| of_model.wait.record(wait.as_secs_f64()));
    }

    /// A version was done with rows of a request after so long; `lane` is of a bounded set.
    pub(super) fn scored(&self, model: &str, lane: &'static str, took: Duration) {
        self.0.of_lane(model, lane, |of_lane| of_lane.record(took.as_secs_f64()));
    }

    /// This is what became of so many rows.
    pub fn rows(&self, model: &str, version: u64, outcome: RowsOutcome, rows: usize) {
        self.0.of_version(model, version, |_, of_version| of_version.rows.add(outcome, rows));
    }

    /// So many rows left out each of the features that these are the `names` of, those of
    /// the version with this digest.
    pub fn defaulted<'n>(&self, model: &str, digest: &str, names: impl Iterator<Item = &'n str>, rows: &[u64]) {
        self.0.of_features(model, digest, names, |counters| {
            for (counter, rows) in counters.iter().zip(rows).filter(|(_, rows)| **rows > 0) {
                counter.add(*rows);
            }
        });
    }

    /// So many rows will never run.
    pub fn shed(&self, model: &str, reason: Reason, rows: usize) {
        self.0.of_model(model, |of_model| of_model.shed.add(reason, rows));
    }

    /// This is what became of so many rows that a version was to score for nobody.
    pub fn shadow(&self, model: &str, version: u64, outcome: ShadowOutcome, rows: usize) {
        self.0.of_shadow(model, version, outcome, rows);
    }

    /// A runner's thread died and there is a new one.
    pub fn runner_replaced(&self) {
        self.0.restarts.add(1);
    }

    /// A runner's thread was at work for so long.
    pub fn runner_worked(&self, took: Duration) {
        self.0.busy.add(took.as_secs_f64());
    }

    /// There is a model of this name: what never happened to it is seen as 0. Reasons why
    /// versions may fail to load, and limits that canaries may break, are of bounded sets.
    pub fn knows_model(&self, model: &str, reasons: &[&'static str], limits: &[&'static str]) {
        reasons.iter().for_each(|reason| self.load_failures(model, reason, 0));
        limits.iter().for_each(|limit| self.taken_back(model, limit, 0));
    }

    /// The guard took a canary back, for one of the limits that the model is known with.
    pub fn canary_taken_back(&self, model: &str, limit: &'static str) {
        self.taken_back(model, limit, 1);
    }

    /// A version proved itself in so long.
    pub fn loaded(&self, model: &str, took: Duration) {
        self.0.loads.record(took.as_secs_f64(), &table::MODEL_LOAD.labelled([model]));
    }

    /// A version did not prove itself, for one of the reasons that the model is known with.
    pub fn load_failed(&self, model: &str, reason: &'static str) {
        self.load_failures(model, reason, 1);
    }

    fn load_failures(&self, model: &str, reason: &'static str, more: u64) {
        self.0.load_failures.add(more, &table::MODEL_LOAD_FAILURES.labelled([model, reason]));
    }

    fn taken_back(&self, model: &str, limit: &'static str, more: u64) {
        self.0.taken_back.add(more, &table::CANARIES_TAKEN_BACK.labelled([model, limit]));
    }

    /// A collector did not take what was sent.
    pub(crate) fn export_failed(&self, signal: Signal) {
        self.0.export_failures.add(signal, 1);
    }

    /// A request was to be told as a trace and there was no room for it.
    pub(super) fn trace_dropped(&self) {
        self.0.traces_dropped.add(1);
    }

    /// Which program this is.
    pub fn build(&self, version: &str, torch: &str) {
        table::BUILD_INFO.told(&self.0.meter).record(1, &table::BUILD_INFO.labelled([version, torch]));
    }
}

#[cfg(test)]
mod tests;
