//! Versions: which answer, how they were prepared, and those on trial.

use super::{Metric, Unit};

pub(in crate::telemetry) const MODEL_LIVE: Metric = Metric::gauge(
    "souk_model_live",
    Unit::None,
    &["model", "version", "label"],
    "1 for each version that answers, by the label that it has.",
);

pub(in crate::telemetry) const MODEL_AGE: Metric = Metric::gauge(
    "souk_model_age_seconds",
    Unit::Seconds,
    &["model", "version"],
    "Since a version that is in memory was trained, by its manifest.",
);

pub(in crate::telemetry) const MODEL_LOAD: Metric = Metric::durations(
    "souk_model_load_seconds",
    &["model"],
    "How long the preparation of a version took that proved itself.",
);

pub(in crate::telemetry) const MODEL_LOAD_FAILURES: Metric = Metric::counter(
    "souk_model_load_failures_total",
    Unit::Of("versions"),
    &["model", "reason"],
    "Versions that did not prove themselves, by the file or step at fault: `signature`, `manifest.json`, `model.pt`, \
     `model.safetensors`, `golden.jsonl`, `warm-up`, `timeout`, `other`.",
);

pub(in crate::telemetry) const CANARIES_TAKEN_BACK: Metric = Metric::counter(
    "souk_canaries_taken_back_total",
    Unit::Of("versions"),
    &["model", "limit"],
    "Canaries that the guard took back, by the limit that they broke: `max_error_rate`, `max_non_finite_rate`, \
     `max_p99_ratio`, `max_cost_ratio`, `max_divergence`.",
);

pub(in crate::telemetry) const SHADOW_ROWS: Metric = Metric::counter(
    "souk_shadow_rows_total",
    Unit::Of("rows"),
    &["model", "version", "outcome"],
    "Rows that a version was to score for comparison alone: `scored`, `failed` (it can't encode them, failed, or gave \
     no number), `dropped` (too many waited).",
);

pub(in crate::telemetry) const SHADOW_DIFFERENCE: Metric = Metric::gauge(
    "souk_shadow_difference",
    Unit::None,
    &["model", "live", "version", "head", "statistic"],
    "How the answers of `version` differ from those of `live` to the same rows, over a sliding window: see below.",
);
