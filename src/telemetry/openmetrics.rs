//! The text format of OpenMetrics 1.0, which has a place for traces beside figures.
//!
//! Of what we measure only: counters, gauges and histograms, without timestamps or units,
//! which the names have. (github.com/prometheus/OpenMetrics, specification, "ABNF".)

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    time::UNIX_EPOCH,
};

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{
    exemplars::{Exemplar, Exemplars},
    table::REQUEST_DURATION,
};

/// What the name of a counter ends with, and that of its family doesn't.
const TOTAL: &str = "_total";

/// All families as text.
///
/// # Errors
///
/// [`fmt::Error`] never comes from a string.
pub(super) fn text(families: &[MetricFamily], exemplars: &Exemplars) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for family in families {
        head(&mut text, family)?;
        for metric in family.get_metric() {
            samples(&mut text, family, metric, exemplars)?;
        }
    }
    text.push_str("# EOF\n");
    Ok(text)
}

fn head(text: &mut String, family: &MetricFamily) -> fmt::Result {
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => (family.name().strip_suffix(TOTAL).unwrap_or(family.name()), "counter"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        MetricType::GAUGE => (family.name(), "gauge"),
        MetricType::SUMMARY | MetricType::UNTYPED => (family.name(), "unknown"),
    };
    writeln!(text, "# TYPE {name} {kind}")?;
    writeln!(text, "# HELP {name} {}", escaped(family.help()))
}

fn samples(text: &mut String, family: &MetricFamily, metric: &Metric, exemplars: &Exemplars) -> fmt::Result {
    let (name, labels) = (family.name(), metric.get_label());
    match family.get_field_type() {
        MetricType::COUNTER => sample(text, (name, ""), labels, metric.get_counter().get_value()),
        MetricType::GAUGE => sample(text, (name, ""), labels, metric.get_gauge().get_value()),
        MetricType::HISTOGRAM => {
            let of_method = labels.iter().find(|label| name == REQUEST_DURATION.name && label.name() == "method");
            let exemplar = |bound| exemplars.of(of_method?.value(), bound);
            histogram(text, name, labels, (metric.get_histogram(), exemplar))
        }
        MetricType::SUMMARY | MetricType::UNTYPED => Ok(()),
    }
}

fn histogram(
    text: &mut String,
    name: &str,
    labels: &[LabelPair],
    (histogram, exemplar): (&Histogram, impl Fn(f64) -> Option<Exemplar>),
) -> fmt::Result {
    let bounded = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let bounded = bounded.filter(|(bound, _)| bound.is_finite());
    for (bound, count) in bounded.chain([(f64::INFINITY, histogram.get_sample_count())]) {
        named(text, (name, "_bucket"), labels, Some(bound))?;
        write!(text, " {count}")?;
        if let Some(exemplar) = exemplar(bound) {
            write_exemplar(text, &exemplar)?;
        }
        text.push('\n');
    }
    sample(text, (name, "_count"), labels, histogram.get_sample_count() as f64)?;
    sample(text, (name, "_sum"), labels, histogram.get_sample_sum())
}

fn sample(text: &mut String, name: (&str, &str), labels: &[LabelPair], value: f64) -> fmt::Result {
    named(text, name, labels, None)?;
    writeln!(text, " {value}")
}

/// A sample's name with its labels, and the upper bound of a bucket behind them.
fn named(text: &mut String, (name, part): (&str, &str), labels: &[LabelPair], le: Option<f64>) -> fmt::Result {
    let labels = labels.iter().map(|label| format!("{}=\"{}\"", label.name(), escaped(label.value())));
    let labels: Vec<_> = labels.chain(le.map(|bound| format!("le=\"{}\"", Number(bound)))).collect();
    write!(text, "{name}{part}")?;
    if labels.is_empty() { Ok(()) } else { write!(text, "{{{}}}", labels.join(",")) }
}

fn write_exemplar(text: &mut String, exemplar: &Exemplar) -> fmt::Result {
    let Exemplar { trace, span, seconds, at } = exemplar;
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    write!(text, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {seconds} {at:.3}")
}

/// A bound as OpenMetrics wants it: a whole number with a zero behind its point.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value.is_infinite() => formatter.write_str("+Inf"),
            value if value.fract() == 0.0 => write!(formatter, "{value}.0"),
            value => write!(formatter, "{value}"),
        }
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return text.into();
    }
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n").into()
}

#[cfg(test)]
mod tests;
