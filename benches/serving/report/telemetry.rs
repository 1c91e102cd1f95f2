//! What it costs to be looked at.

use super::{
    acceptance::{
        Bound::{AtLeast, AtMost},
        Line, line,
    },
    table::{Table, number},
};
use crate::{
    load::Measured,
    results::{Kind, Results, Watched},
    settings::Model::Shipped,
    spread::Spread,
};

/// MiB that a server may hold beyond one that nobody looks at: queues of spans, and a
/// history for the page.
const MOST_MIB: f64 = 64.0;

const LOOKED: [(Watched, &str); 4] = [
    (Watched::On, "on"),
    (Watched::Gone, "on, collector gone"),
    (Watched::Slow, "on, collector slow"),
    (Watched::Refusing, "on, collector refusing"),
];

/// What must hold.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    let rate = LOOKED.map(|(watched, name)| {
        line(
            format!("telemetry {name}: requests/s by those with it off"),
            by_off(results, watched, Measured::per_second),
            AtLeast(0.97),
        )
    });
    let memory = LOOKED.map(|(watched, name)| {
        let memory = above_off(results, watched, |measured| measured.memory_mib);
        line(format!("telemetry {name}: MiB more than with it off"), memory, AtMost(MOST_MIB))
    });
    rate.into_iter().chain(memory).collect()
}

fn figures(results: &Results, watched: Watched) -> Vec<Measured> {
    results.figures(Shipped, Kind::Telemetry { watched }).souk
}

/// A figure by that of the turn with it off.
fn by_off(results: &Results, watched: Watched, figure: fn(&Measured) -> f64) -> Option<Spread> {
    let (off, on) = (figures(results, Watched::Off), figures(results, watched));
    Spread::of(off.iter().zip(&on).map(|(off, on)| figure(on) / figure(off)))
}

fn above_off(results: &Results, watched: Watched, figure: fn(&Measured) -> f64) -> Option<Spread> {
    let (off, on) = (figures(results, Watched::Off), figures(results, watched));
    Spread::of(off.iter().zip(&on).map(|(off, on)| figure(on) - figure(off)))
}

/// The table; nothing where it was not measured.
pub(super) fn table(results: &Results) -> String {
    let mut table = Table::new(&["telemetry", "req/s", "× off", "CPU µs/req", "p50 µs", "p99 µs", "not OK", "MiB"]);
    if figures(results, Watched::Off).is_empty() {
        return String::new();
    }
    for (watched, name) in [(Watched::Off, "off")].into_iter().chain(LOOKED) {
        let found = results.figures(Shipped, Kind::Telemetry { watched });
        table.row(vec![
            name.into(),
            number(found.souk(Measured::per_second), 0),
            number(by_off(results, watched, Measured::per_second), 3),
            number(found.souk(Measured::busy_per_request), 1),
            number(found.souk(|found| found.latency.p50), 0),
            number(found.souk(|found| found.latency.p99), 0),
            number(found.souk(Measured::not_ok), 0),
            number(found.souk(|found| found.memory_mib), 0),
        ]);
    }
    format!(
        "## Telemetry\n\nShipped model, C = 64, one row a request, in turns. On: a trace of one request in a hundred and \
         metrics to a collector, `/metrics` and the page's data each second.\n\n{}\n",
        table.markdown()
    )
}
