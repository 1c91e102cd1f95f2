//! What is measured: every metric's name, labels and meaning, in one table.
//!
//! Architecture invariant: no other file spells a metric's name or label.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

/// One metric, as it is scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with unit and suffix.
    pub name: &'static str,
    /// Its labels; each has values of a bounded set only.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Upper bounds in seconds, in steps of 1, 2, 5: from less than the fastest reply
/// on a loopback to more than anybody waits.
const SECONDS: [f64; 17] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Upper bounds in rows: a pass of one, and then up to four times the default of
/// `batch.max_rows`.
const ROWS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

pub(super) const REQUESTS: Metric = Metric {
    name: "souk_requests_total",
    labels: &["method", "code"],
    help: "Calls of the data port, counted when they end; a stream is one call.",
};

pub(super) const REQUEST_DURATION: Metric = Metric {
    name: "souk_request_duration_seconds",
    labels: &["method"],
    help: "From a call's headers until its last byte was handed to the connection.",
};

pub(super) const ROWS_SCORED: Metric = Metric {
    name: "souk_rows_total",
    labels: &["model", "version", "outcome"],
    help: "Rows that a version was asked for, by what became of them.",
};

pub(super) const QUEUE_WAIT: Metric = Metric {
    name: "souk_queue_wait_seconds",
    labels: &["model"],
    help: "From the end of encoding until a request's first row ran.",
};

pub(super) const SCORING: Metric = Metric {
    name: "souk_scoring_seconds",
    labels: &["model", "lane"],
    help: "From the moment a version was asked for rows of a request until it had answered or refused them.",
};

pub(super) const COMPUTE: Metric =
    Metric { name: "souk_compute_seconds", labels: &["model", "version"], help: "One forward pass." };

pub(super) const BATCH_ROWS: Metric =
    Metric { name: "souk_batch_rows", labels: &["model", "version"], help: "Rows in one forward pass." };

pub(super) const QUEUE_ROWS: Metric =
    Metric { name: "souk_queue_rows", labels: &["model"], help: "Rows that wait for a forward pass now." };

pub(super) const SHED_ROWS: Metric = Metric {
    name: "souk_shed_rows_total",
    labels: &["model", "reason"],
    help: "Rows that were never run, by why not.",
};

pub(super) const LATE_ROWS: Metric = Metric {
    name: "souk_late_rows_run_total",
    labels: &["model"],
    help: "Rows whose deadline had passed when their forward pass began; must stay 0.",
};

pub(super) const RUNNER_RESTARTS: Metric = Metric {
    name: "souk_runner_restarts_total",
    labels: &[],
    help: "Threads of forward passes that died and were replaced.",
};

pub(super) const MODEL_LIVE: Metric = Metric {
    name: "souk_model_live",
    labels: &["model", "version", "label"],
    help: "1 for each version that answers, by the label that it has.",
};

pub(super) const MODEL_AGE: Metric = Metric {
    name: "souk_model_age_seconds",
    labels: &["model", "version"],
    help: "Since a version that is in memory was trained, by its manifest.",
};

pub(super) const MODEL_LOAD: Metric = Metric {
    name: "souk_model_load_seconds",
    labels: &["model"],
    help: "How long the preparation of a version took that proved itself.",
};

pub(super) const MODEL_LOAD_FAILURES: Metric = Metric {
    name: "souk_model_load_failures_total",
    labels: &["model", "reason"],
    help: "Versions that did not prove themselves, by the file or step at fault.",
};

pub(super) const BUILD_INFO: Metric = Metric {
    name: "souk_build_info",
    labels: &["version", "torch"],
    help: "1, with the versions of Souk and libtorch.",
};

pub(super) const SHADOW_ROWS: Metric = Metric {
    name: "souk_shadow_rows_total",
    labels: &["model", "version", "outcome"],
    help: "Rows that a version was to score for comparison alone, by what became of them.",
};

pub(super) const SHADOW_DIFFERENCE: Metric = Metric {
    name: "souk_shadow_difference",
    labels: &["model", "live", "version", "head", "statistic"],
    help: "How a version's answers differ from the live one's, over a sliding window.",
};

pub(super) const EXPORT_FAILURES: Metric = Metric {
    name: "souk_telemetry_export_failures_total",
    labels: &["signal"],
    help: "Pushes that the collector did not take.",
};

pub(super) const TRACES_DROPPED: Metric = Metric {
    name: "souk_traces_dropped_total",
    labels: &[],
    help: "Requests that were to be traced, beyond what is traced in a second or waits to be sent.",
};

/// All of them.
pub const METRICS: [Metric; 20] = [
    REQUESTS,
    REQUEST_DURATION,
    ROWS_SCORED,
    SCORING,
    QUEUE_WAIT,
    COMPUTE,
    BATCH_ROWS,
    QUEUE_ROWS,
    SHED_ROWS,
    LATE_ROWS,
    RUNNER_RESTARTS,
    MODEL_LIVE,
    MODEL_AGE,
    MODEL_LOAD,
    MODEL_LOAD_FAILURES,
    SHADOW_ROWS,
    SHADOW_DIFFERENCE,
    EXPORT_FAILURES,
    TRACES_DROPPED,
    BUILD_INFO,
];

impl Metric {
    /// The labels with their values, in the table's order.
    pub(super) fn labelled<const N: usize>(&self, values: [&str; N]) -> Vec<KeyValue> {
        debug_assert_eq!(self.labels.len(), N, "{}", self.name);
        self.labels.iter().zip(values).map(|(label, value)| KeyValue::new(*label, value.to_owned())).collect()
    }

    pub(super) fn counter(&self, meter: &Meter) -> Counter<u64> {
        meter.u64_counter(self.name).with_description(self.help).build()
    }

    pub(super) fn seconds(&self, meter: &Meter) -> Histogram<f64> {
        meter.f64_histogram(self.name).with_description(self.help).with_boundaries(SECONDS.into()).build()
    }

    pub(super) fn rows(&self, meter: &Meter) -> Histogram<u64> {
        meter.u64_histogram(self.name).with_description(self.help).with_boundaries(ROWS.into()).build()
    }

    /// A gauge whose values `read` gives at each scrape.
    pub(super) fn observed<const N: usize>(
        &self,
        meter: &Meter,
        read: impl Fn() -> Vec<([String; N], u64)> + Send + Sync + 'static,
    ) {
        let metric = *self;
        let _kept_by_the_meter = meter
            .u64_observable_gauge(self.name)
            .with_description(self.help)
            .with_callback(move |gauge| {
                for (labels, value) in read() {
                    gauge.observe(value, &metric.labelled(labels.each_ref().map(String::as_str)));
                }
            })
            .build();
    }

    /// The same with fractions.
    pub(super) fn observed_fractions<const N: usize>(
        &self,
        meter: &Meter,
        read: impl Fn() -> Vec<([String; N], f64)> + Send + Sync + 'static,
    ) {
        let metric = *self;
        let _kept_by_the_meter = meter
            .f64_observable_gauge(self.name)
            .with_description(self.help)
            .with_callback(move |gauge| {
                for (labels, value) in read() {
                    gauge.observe(value, &metric.labelled(labels.each_ref().map(String::as_str)));
                }
            })
            .build();
    }
}
