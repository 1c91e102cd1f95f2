//! What happens beyond the capacity, beside a stream, and when clients vanish.

use std::collections::BTreeMap;

use super::table::{Table, number};
use crate::{
    load::Measured,
    results::{Figures, Kind, Results},
};

const HEAD: [&str; 12] = [
    "",
    "sent/s",
    "OK/s",
    "OK p50 ms",
    "OK p99 ms",
    "late",
    "refused",
    "with RetryInfo",
    "refused p50 ms",
    "refused p99 ms",
    "MiB",
    "other codes",
];

/// All tables.
pub(super) fn tables(results: &Results) -> String {
    let mut table = Table::new(&HEAD);
    let beside_echo = |kind: &Kind| {
        matches!(kind, Kind::Closed { .. } | Kind::Open { .. } | Kind::Shadow { .. } | Kind::Telemetry { .. })
    };
    let mut rows = 0;
    for (point, figures) in results.points.iter().filter(|(point, _)| !beside_echo(&point.kind)) {
        table.row(row(point.to_string(), figures));
        rows += 1;
    }
    let table = if rows == 0 { String::new() } else { format!("## Beyond the capacity\n\n{}\n", table.markdown()) };
    table + &left(results)
}

fn row(name: String, figures: &Figures) -> Vec<String> {
    let milliseconds = |figure: fn(&Measured) -> f64| number(figures.souk(|measured| figure(measured) / 1000.0), 1);
    vec![
        name,
        number(figures.souk(Measured::sent_per_second), 0),
        number(figures.souk(Measured::per_second), 0),
        milliseconds(|measured| measured.since_sent.p50),
        milliseconds(|measured| measured.since_sent.p99),
        number(figures.souk(|measured| measured.late as f64), 0),
        number(figures.souk(|measured| measured.refusals.count as f64), 0),
        number(figures.souk(|measured| measured.retry_info as f64), 0),
        milliseconds(|measured| measured.refusals.p50),
        milliseconds(|measured| measured.refusals.p99),
        number(figures.souk(|measured| measured.memory_mib), 0),
        others(figures),
    ]
}

/// Codes that are neither OK nor a refusal, over all repetitions.
fn others(figures: &Figures) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in figures.souk.iter().flat_map(|measured| &measured.codes) {
        *counts.entry(code).or_default() += count;
    }
    let named = counts.iter().filter(|(code, _)| **code != "OK" && **code != "RESOURCE_EXHAUSTED");
    named.map(|(code, count)| format!("{code} {count}")).collect::<Vec<_>>().join(", ")
}

/// What vanished clients left, in a sentence a repetition.
fn left(results: &Results) -> String {
    let sentence = |left: &crate::results::Left| {
        let queue = left.queue_rows.map_or_else(|| "unknown".into(), |rows| format!("{rows:.0}"));
        format!(
            "{} clients that vanished: {:.0} MiB before, {:.0} MiB after; rows in the queue afterwards: {queue}.\n",
            left.clients, left.before_mib, left.after_mib
        )
    };
    results.leaving.iter().map(sentence).collect()
}
