//! Calls, rows, the queue and the passes.

use super::{Metric, Unit};

pub(in crate::telemetry) const REQUESTS: Metric = Metric::counter(
    "souk_requests_total",
    Unit::Of("calls"),
    &["method", "code"],
    "Calls of the data port that ended, a stream as one; a caller who left is `CANCELLED`, a method that does not \
     exist is `other`.",
);

pub(in crate::telemetry) const REQUEST_DURATION: Metric = Metric::durations(
    "souk_request_duration_seconds",
    &["method"],
    "From a call's headers until its last byte was handed to the connection.",
);

pub(in crate::telemetry) const ROWS_SCORED: Metric = Metric::counter(
    "souk_rows_total",
    Unit::Of("rows"),
    &["model", "version", "outcome"],
    "Rows that a version was asked for, by what became of them: `ok` (the model answered, though an answer that is no \
     number is an `INTERNAL` of its row), `failed` (the model failed on them), `refused` (can't be encoded).",
);

pub(in crate::telemetry) const FEATURES_DEFAULTED: Metric = Metric::counter(
    "souk_features_defaulted_total",
    Unit::Of("rows"),
    &["model", "feature"],
    "Rows of replies whose request left this feature out, so that the manifest's default stood in for it.",
);

pub(in crate::telemetry) const SCORING: Metric = Metric::durations(
    "souk_scoring_seconds",
    &["model", "lane"],
    "From the moment a version was asked for rows of a request until it had answered them, without those that never \
     ran (`souk_shed_rows_total`); `lane` is `interactive` or `bulk`.",
);

pub(in crate::telemetry) const QUEUE_WAIT: Metric = Metric::durations(
    "souk_queue_wait_seconds",
    &["model"],
    "From the end of encoding until a request's first row ran.",
);

pub(in crate::telemetry) const COMPUTE: Metric =
    Metric::durations("souk_compute_seconds", &["model", "version"], "One forward pass.");

pub(in crate::telemetry) const BATCH_ROWS: Metric =
    Metric::sizes("souk_batch_rows", &["model", "version"], "Rows in one forward pass.");

pub(in crate::telemetry) const QUEUE_ROWS: Metric =
    Metric::gauge("souk_queue_rows", Unit::Of("rows"), &["model"], "Rows that wait for a forward pass now.");

pub(in crate::telemetry) const ADMITTED_ROWS: Metric = Metric::gauge(
    "souk_admitted_rows",
    Unit::Of("rows"),
    &[],
    "Rows that are encoded, wait or run now, which is what `souk_queue_rows_limit` bounds.",
);

pub(in crate::telemetry) const QUEUE_ROWS_LIMIT: Metric = Metric::gauge(
    "souk_queue_rows_limit",
    Unit::Of("rows"),
    &[],
    "Most of these rows: `batch.queue_rows`. What is over it is refused.",
);

pub(in crate::telemetry) const QUEUE_BYTES: Metric = Metric::gauge(
    "souk_queue_bytes",
    Unit::Bytes,
    &[],
    "What the requests of rows that are encoded, wait or run hold in memory now.",
);

pub(in crate::telemetry) const QUEUE_BYTES_LIMIT: Metric = Metric::gauge(
    "souk_queue_bytes_limit",
    Unit::Bytes,
    &[],
    "Most of these bytes: `batch.queue_bytes`. What is over it is refused.",
);

pub(in crate::telemetry) const SHED_ROWS: Metric = Metric::counter(
    "souk_shed_rows_total",
    Unit::Of("rows"),
    &["model", "reason"],
    "Rows that were never run: `queue_full`, `queue_bytes`, `wait` (would be too long), `deadline` (can't be met), \
     `expired` (while waiting), `cancelled`, `rate` (more than their caller may have in a second).",
);

pub(in crate::telemetry) const LATE_ROWS: Metric = Metric::counter(
    "souk_late_rows_run_total",
    Unit::Of("rows"),
    &["model"],
    "Rows whose deadline had passed when their forward pass began; must stay 0.",
);
