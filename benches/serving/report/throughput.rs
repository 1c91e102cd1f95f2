//! Closed and open loop as tables, one for each model.

use super::table::{Table, number, ratio};
use crate::{
    load::Measured,
    raw::Raw,
    results::{Figures, Kind, Results, Start},
    settings::Model,
    spread::Spread,
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
    "p99 µs",
    "p99.9 µs",
    "echo p50",
    "echo p99",
    "batch",
    "not OK",
    "MiB",
];

/// All tables.
pub(super) fn tables(results: &Results) -> String {
    let models = [Model::Shipped, Model::Reference, Model::TensorsSmall, Model::TensorsLarge];
    models.into_iter().filter_map(|model| of_model(results, model)).collect()
}

fn of_model(results: &Results, model: Model) -> Option<String> {
    let raw = results.raw(model);
    let mut table = Table::new(&HEAD);
    let beside_echo = |kind: &Kind| matches!(kind, Kind::Closed { .. } | Kind::Open { .. });
    for (point, figures) in results.points.iter().filter(|(point, _)| point.model == model && beside_echo(&point.kind))
    {
        table.row(row(point.kind, figures, &raw));
    }
    let (started, ceiling) = (started(results, model), ceiling(raw.last()?));
    Some(format!("## The {} model\n\n{started}\n{ceiling}\n\n{}\n", model.name(), table.markdown()))
}

/// How Souk started, in a sentence.
fn started(results: &Results, model: Model) -> String {
    let figure = |figure: fn(&Start) -> f64| Spread::of(results.starts(model).map(figure));
    format!(
        "SERVING {} s after its start, with {} MiB of memory ({} MiB at most until then).",
        number(figure(|start| start.ready_after), 2),
        number(figure(|start| start.memory_mib), 0),
        number(figure(|start| start.peak_mib), 0),
    )
}

/// The forward pass alone, in a sentence.
fn ceiling(raw: &Raw) -> String {
    let sizes: Vec<String> =
        raw.rows_per_second.iter().map(|(rows, rate)| format!("{rows}: {:.0},000", rate / 1000.0)).collect();
    let sizes = sizes.join(", ");
    format!(
        "The forward pass alone: one row in {:.0} µs; rows/s on all cores by rows in a batch: {sizes}.",
        raw.one_row
    )
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
