//! Closed and open loop as tables, a table for each model.

use super::table::{Table, number, ratio};
use crate::{
    load::Measured,
    raw::Raw,
    results::{Figures, Kind, Results},
    settings::Model,
};

const HEAD: [&str; 16] = [
    "",
    "req/s",
    "rows/s",
    "× echo",
    "× raw",
    "CPU µs/req",
    "CPU µs/row",
    "CPU × echo",
    "p50 µs",
    "p99",
    "p99.9",
    "echo p50",
    "echo p99",
    "batch",
    "not OK",
    "MiB",
];

/// All tables.
pub(crate) fn tables(results: &Results) -> String {
    [Model::Shipped, Model::Reference].into_iter().map(|model| of_model(results, model)).collect()
}

fn of_model(results: &Results, model: Model) -> String {
    let raw = results.raw(model);
    let mut table = Table::new(&HEAD);
    for (point, figures) in results.points.iter().filter(|(point, _)| point.model == model) {
        table.row(row(point.kind, figures, &raw));
    }
    if raw.is_empty() {
        return String::new();
    }
    format!("\n### {}\n\n{}\n{}\n{}", model.name(), started(results, model), ceiling(&raw), table.markdown())
}

/// How Souk started, in a sentence.
fn started(results: &Results, model: Model) -> String {
    format!(
        "SERVING {} s after its start, with {} MiB ({} MiB at most until then).\n",
        number(results.start(model, |start| start.ready_after), 2),
        number(results.start(model, |start| start.memory_mib), 0),
        number(results.start(model, |start| start.peak_mib), 0),
    )
}

/// The forward pass alone, in a sentence.
fn ceiling(raw: &[&Raw]) -> String {
    let Some(last) = raw.last() else { return String::new() };
    let sizes: Vec<String> = last.rows_per_second.iter().map(|(rows, rate)| format!("{rows}: {rate:.0}")).collect();
    format!("Forward pass alone: one row {:.1} µs; rows/s on all cores by batch: {}.\n", last.one_row, sizes.join(", "))
}

fn row(kind: Kind, figures: &Figures, raw: &[&Raw]) -> Vec<String> {
    let busy_per_row = |measured: &Measured| measured.busy_per_request() / measured.rows as f64;
    vec![
        kind.to_string(),
        number(figures.souk(Measured::per_second), 0),
        number(figures.souk(Measured::rows_per_second), 0),
        ratio(figures.by_echo(Measured::per_second)),
        ratio(figures.by_raw(raw)),
        number(figures.souk(Measured::busy_per_request), 1),
        number(figures.souk(busy_per_row), 1),
        ratio(figures.by_echo(Measured::busy_per_request)),
        number(figures.souk(|measured| measured.latency.p50), 0),
        number(figures.souk(|measured| measured.latency.p99), 0),
        number(figures.souk(|measured| measured.latency.p999), 0),
        number(figures.echo(|measured| measured.latency.p50), 0),
        number(figures.echo(|measured| measured.latency.p99), 0),
        number(figures.souk(|measured| measured.batch_rows), 1),
        number(figures.souk(Measured::not_ok), 0),
        number(figures.souk(|measured| measured.memory_mib), 0),
    ]
}
