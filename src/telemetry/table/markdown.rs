//! The table as the README has it.

use std::collections::BTreeMap;

use super::{Kind, METRICS, Metric, Unit};

/// All metrics as a table in Markdown, and the bounds of their buckets.
pub fn markdown() -> String {
    let rows: Vec<_> = METRICS.iter().map(row).collect();
    let buckets: Vec<_> = buckets().into_iter().map(|(unit, bounds)| format!("of {unit} {bounds}")).collect();
    format!(
        "| metric | what it is | labels | what it tells |\n|---|---|---|---|\n{}\n\nUpper bounds of the buckets: {}.\n",
        rows.join("\n"),
        buckets.join("; ")
    )
}

fn row(metric: &Metric) -> String {
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    let labels = if labels.is_empty() { "–".into() } else { labels.join(", ") };
    format!("| `{}` | {} | {labels} | {} |", metric.name, what(metric), metric.help)
}

/// E.g. `histogram, seconds`.
fn what(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    word(metric.unit).map_or_else(|| kind.into(), |unit| format!("{kind}, {unit}"))
}

fn word(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::Seconds => Some("seconds"),
        Unit::Bytes => Some("bytes"),
        Unit::Of(things) => Some(things),
        Unit::None => None,
    }
}

/// Those of each unit's histograms.
fn buckets() -> BTreeMap<&'static str, String> {
    let histograms = METRICS.iter().filter(|metric| !metric.bounds().is_empty());
    let listed = |bounds: &[f64]| bounds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    histograms.filter_map(|metric| Some((word(metric.unit)?, listed(metric.bounds())))).collect()
}
