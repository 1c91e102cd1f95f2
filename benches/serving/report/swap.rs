//! What versions cost that come, go, or score along.

use super::{
    acceptance::{
        Bound::{AtLeast, AtMost},
        Line, line,
    },
    table::{Table, number},
};
use crate::{
    load::{Measured, Percentiles},
    results::{Compared, Kind, Results},
    settings::Model::{self, Shipped},
    spread::Spread,
    swapped::Swapped,
};

const HEAD: [&str; 6] = ["", "answers", "p50 µs", "p99 µs", "p99.9 µs", "max µs"];

/// What must hold.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    let mut lines: Vec<Line> = results.swapped.iter().flat_map(|(model, swapped)| of_swaps(*model, swapped)).collect();
    lines.extend(of_shadow(results));
    lines
}

fn of_swaps(model: Model, swapped: &Swapped) -> Vec<Line> {
    let (swaps, name) = (swapped.swaps, model.name());
    let at_most = |claim: &str, found: f64, most: f64| {
        line(format!("{swaps} swaps, {name}: {claim}"), Spread::of([found]), AtMost(most))
    };
    let steady = swapped.outside.p99;
    vec![
        at_most("answers that are not OK", swapped.not_ok, 0.0),
        at_most("answers of a version that was not live", swapped.not_live as f64, 0.0),
        at_most("p99 within swaps by p99 outside", swapped.within.p99 / steady, 1.2),
        at_most("memory after the last by after the tenth", swapped.grown().unwrap_or(f64::NAN), 1.05),
        at_most("nine of ten first answers by p99 outside", swapped.first_p90 / steady, 2.0),
    ]
}

fn of_shadow(results: &Results) -> Vec<Line> {
    let least = results.compared.iter().map(|compared| compared.correlation.unwrap_or(f64::NAN));
    let most = results.compared.iter().map(|compared| compared.difference);
    vec![
        line("shadow of an equal: p99 by p99 without", beside(results, |found| found.latency.p99), AtMost(1.05)),
        line("shadow of an equal: largest difference", Spread::of(most), AtMost(0.0)),
        line("shadow of an equal: rank correlation", Spread::of(least), AtLeast(1.0)),
    ]
}

/// A figure with a shadow by that without, turn by turn.
fn beside(results: &Results, figure: fn(&Measured) -> f64) -> Option<Spread> {
    let [without, with] = [false, true].map(|beside| results.figures(Shipped, Kind::Shadow { beside }));
    Spread::of(without.souk.iter().zip(&with.souk).map(|(without, with)| figure(with) / figure(without)))
}

/// All tables.
pub(super) fn tables(results: &Results) -> String {
    let mut sections: Vec<String> = results.swapped.iter().map(|(model, swapped)| swaps(*model, swapped)).collect();
    sections.extend(shadow(results));
    sections.join("\n")
}

fn swaps(model: Model, swapped: &Swapped) -> String {
    let mut table = Table::new(&HEAD);
    for (part, found) in [
        ("outside", &swapped.outside),
        ("within swaps", &swapped.within),
        ("– while the version is prepared", &swapped.preparing),
        ("– while it goes live", &swapped.switching),
        ("– the second after", &swapped.after),
        ("first answer of each version", &swapped.first),
    ] {
        table.row(row(part, found));
    }
    let ms = |figures: &[f64]| number(Spread::of(figures.iter().copied()), 1);
    let memory = Spread::of(swapped.memory_mib.iter().copied()).map_or_else(String::new, |memory| memory.to_string());
    format!(
        "## Swaps, {}\n\n{} swaps at {:.0} requests/s. Into memory in {} ms, live in {} ms after that (medians). \
         Memory after swaps: {memory} MiB. Codes: {}; wrong {}, not sent {}.\n\n{}\n",
        model.name(),
        swapped.swaps,
        swapped.rate,
        ms(&swapped.load_ms),
        ms(&swapped.switch_ms),
        codes(swapped),
        swapped.wrong,
        swapped.skipped,
        table.markdown()
    )
}

fn codes(swapped: &Swapped) -> String {
    let named = swapped.codes.iter().map(|(code, count)| format!("{code} {count}"));
    named.collect::<Vec<_>>().join(", ")
}

fn row(part: &str, found: &Percentiles) -> Vec<String> {
    let figures = [found.p50, found.p99, found.p999, found.most];
    let figures = figures.map(|figure| number(Spread::of([figure]), 0));
    [part.to_owned(), found.count.to_string()].into_iter().chain(figures).collect()
}

fn shadow(results: &Results) -> Option<String> {
    let mut table = Table::new(&["", "req/s", "p50 µs", "p99 µs", "not OK"]);
    for with in [false, true] {
        let figures = results.figures(Shipped, Kind::Shadow { beside: with });
        table.row(vec![
            if with { "with a shadow" } else { "without" }.into(),
            number(figures.souk(Measured::per_second), 0),
            number(figures.souk(|found| found.latency.p50), 0),
            number(figures.souk(|found| found.latency.p99), 0),
            number(figures.souk(Measured::not_ok), 0),
        ]);
    }
    let rate = beside(results, Measured::per_second)?;
    let compared: Vec<String> = results.compared.iter().map(differs).collect();
    Some(format!(
        "## Shadow\n\nC = 64, one row a request; a version equal to the live one scores all rows along. Requests/s with by \
         without: {rate}. {}\n\n{}\n",
        compared.join(" "),
        table.markdown()
    ))
}

fn differs(compared: &Compared) -> String {
    format!(
        "In {} rows: largest difference {:.3e}, mean difference by the mean {:.3e}, rank correlation {}.",
        compared.rows,
        compared.difference,
        compared.relative,
        compared.correlation.map_or_else(|| "unknown".into(), |correlation| format!("{correlation:.9}"))
    )
}
