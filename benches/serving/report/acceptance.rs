//! What must hold, line by line, with what was found.

use std::thread::available_parallelism;

use super::{swap, table::Table, telemetry};
use crate::{
    load::{Measured, Percentiles},
    raw::Raw,
    results::{Figures, Kind, Rate, Results, Start},
    scenarios::overload::{CALLERS, DEADLINE, TIMES},
    settings::Model::{self, Reference, Shipped, TensorsLarge, TensorsSmall},
    spread::Spread,
};

/// MiB that an overload may add: what the queue may hold (`batch.queue_bytes`), and as
/// much again for messages that are being read or answered.
const OVERLOAD_MIB: f64 = 128.0;

/// Largest batch of both models.
const BATCH: usize = 256;

/// One thing that must hold.
pub(super) struct Line {
    /// What must hold.
    pub(super) claim: String,
    /// Whether it does; `None` where it was not measured.
    pub(super) met: Option<bool>,
    /// What was found.
    pub(super) found: String,
}

/// A figure with its bound.
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}
use Bound::{AtLeast, AtMost};

/// Everything that must hold.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    let parts = [normal(results), by_the_clock(results), overload(results), edges(results), server(results)];
    let parts = parts.into_iter().chain([tensors(results), swap::lines(results), telemetry::lines(results)]);
    parts.flatten().collect()
}

/// As a table; nothing where nothing of it was measured.
pub(super) fn table(lines: &[Line]) -> String {
    let mut table = Table::new(&["must hold", "found", ""]);
    let measured: Vec<&Line> = lines.iter().filter(|line| line.met.is_some()).collect();
    for line in &measured {
        let verdict = if line.met == Some(true) { "met" } else { "NOT MET" };
        table.row(vec![line.claim.clone(), line.found.clone(), verdict.into()]);
    }
    if measured.is_empty() { String::new() } else { format!("## What must hold\n\n{}\n", table.markdown()) }
}

pub(super) fn line(claim: impl Into<String>, found: Option<Spread>, bound: Bound) -> Line {
    let (met, wanted): (fn(f64, f64) -> bool, _) = match bound {
        AtLeast(least) => (|found, least| found >= least, least),
        AtMost(most) => (|found, most| found <= most, most),
    };
    Line {
        claim: claim.into(),
        met: found.map(|found| met(found.median, wanted)),
        found: found.map_or_else(String::new, |found| found.to_string()),
    }
}

/// The closed loop.
fn normal(results: &Results) -> Vec<Line> {
    let one = |model, callers| results.figures(model, Kind::Closed { callers, rows: 1 });
    let page = |model| results.figures(model, Kind::Closed { callers: 8, rows: 64 }).by_raw(&results.raw(model));
    let alone = |model| above_the_parts(&one(model, 1), &results.raw(model));
    let (shipped, reference) = (one(Shipped, 64), one(Reference, 64));
    let rate = Measured::per_second;
    let busy = Measured::busy_per_request;
    vec![
        line("C = 1, 1 row, shipped: p50 at most 100 µs above echo and forward pass", alone(Shipped), AtMost(100.0)),
        line("C = 1, 1 row, reference: the same", alone(Reference), AtMost(100.0)),
        line("C = 64, 1 row, shipped: at least 0.75 × the echo's requests/s", shipped.by_echo(rate), AtLeast(0.75)),
        line("C = 64, 1 row, shipped: at most 1.5 × the echo's CPU a request", shipped.by_echo(busy), AtMost(1.5)),
        line("C = 64, 1 row, reference: at least 0.55 × the echo's requests/s", reference.by_echo(rate), AtLeast(0.55)),
        line("C = 8, 64 rows, shipped: at least 0.42 × the forward pass's rows/s", page(Shipped), AtLeast(0.42)),
        line("C = 8, 64 rows, reference: at least 0.72 × the forward pass's rows/s", page(Reference), AtLeast(0.72)),
    ]
}

/// The Open Inference Protocol.
fn tensors(results: &Results) -> Vec<Line> {
    let one = results.figures(TensorsSmall, Kind::Closed { callers: 64, rows: 1 }).by_echo(Measured::per_second);
    let page = |model| results.figures(model, Kind::Closed { callers: 8, rows: 64 }).by_raw(&results.raw(model));
    let rows = "C = 8, 64 rows";
    vec![
        line("C = 64, 1 row, tensors 128-64: at least 0.8 × the echo's requests/s", one, AtLeast(0.8)),
        line(format!("{rows}, tensors 128-64: at least 0.45 × the forward pass's"), page(TensorsSmall), AtLeast(0.45)),
        line(
            format!("{rows}, tensors 400-400-400: at least 0.72 × the forward pass's"),
            page(TensorsLarge),
            AtLeast(0.72),
        ),
    ]
}

/// How much longer one row takes than echo and forward pass together, in µs.
fn above_the_parts(figures: &Figures, raw: &[&Raw]) -> Option<Spread> {
    let repetitions = figures.souk.iter().zip(&figures.echo).zip(raw);
    Spread::of(repetitions.map(|((souk, echo), raw)| souk.latency.p50 - echo.latency.p50 - raw.one_row))
}

/// The open loop.
fn by_the_clock(results: &Results) -> Vec<Line> {
    let above = |model: Model, rate: f64, most: f64| {
        let figures = results.figures(model, Kind::Open { rate: Rate::Fixed(rate) });
        let claim = format!("{rate}/s, 1 row, {}: p99 at most {most} ms above the echo's", model.name());
        line(claim, figures.above_echo(|measured| measured.latency.p99 / 1000.0), AtMost(most))
    };
    let both = |rate, most| [Shipped, Reference].map(|model| above(model, rate, most));
    [both(5000.0, 1.0), both(9000.0, 2.0)].into_iter().flatten().collect()
}

/// More than can be answered.
fn overload(results: &Results) -> Vec<Line> {
    let peak = peak(results);
    let with = |times| results.figures(Reference, Kind::Overload { times, deadline: true });
    let without = |times| results.figures(Reference, Kind::Overload { times, deadline: false });
    let goodput =
        |figures: &Figures| Spread::of(figures.souk.iter().zip(&peak).map(|(souk, peak)| souk.per_second() / peak));
    let p99 = |figures: &Figures| figures.souk(|measured| measured.since_sent.p99 / 1000.0);
    let deadline = DEADLINE.as_secs_f64() * 1000.0;
    let late_rows = Spread::of(results.late_rows.iter().copied());
    let mut lines = Vec::new();
    for times in [2.0, 3.0] {
        let (with, without) = (with(times), without(times));
        lines.extend([
            line(format!("{times} × overload: goodput at least 0.88 × the peak"), goodput(&with), AtLeast(0.88)),
            line(format!("{times} × overload: p99 of what is OK under {deadline} ms"), p99(&with), AtMost(deadline)),
            line(format!("{times} × overload: half of the refusals within 10 ms"), refused_after(&with), AtMost(10.0)),
            line(format!("{times} × overload without deadlines: p99 at most 60 ms"), p99(&without), AtMost(60.0)),
        ]);
    }
    let all: Vec<Measured> = TIMES.into_iter().flat_map(|times| with(times).souk).collect();
    let sum = |figure: fn(&Measured) -> u64| {
        Spread::of((!all.is_empty()).then(|| all.iter().map(figure).sum::<u64>() as f64))
    };
    lines.extend([
        line("overload: OK answers later than the deadline", sum(|measured| measured.late), AtMost(0.0)),
        line("overload: rows that ran too late, by the server's count", late_rows, AtMost(0.0)),
        line("overload: refusals of another form", sum(Measured::ill_formed), AtMost(0.0)),
        line("overload: MiB more than before", grown(results), AtMost(OVERLOAD_MIB)),
        line("2 s after an overload: p50 by p50 before", recovered(results), AtMost(1.5)),
    ]);
    lines
}

/// Most requests a second of each repetition, while no more is asked than can be answered.
fn peak(results: &Results) -> Vec<f64> {
    let capacity = CALLERS.map(|callers| results.figures(Reference, Kind::Capacity { callers }));
    let at_most = results.figures(Reference, Kind::Overload { times: 1.0, deadline: true });
    let all = capacity.iter().chain([&at_most]);
    let best = |repetition: usize| {
        let rates = all.clone().filter_map(|figures| figures.souk.get(repetition)).map(Measured::per_second);
        rates.fold(0.0, f64::max)
    };
    (0..at_most.souk.len()).map(best).collect()
}

/// Half of the refusals came within so many ms.
fn refused_after(figures: &Figures) -> Option<Spread> {
    let refusals: Vec<Percentiles> = figures.souk.iter().map(|measured| measured.refusals).collect();
    Spread::of(refusals.iter().filter(|refusals| refusals.count > 0).map(|refusals| refusals.p50 / 1000.0))
}

/// MiB that an overload adds to what the server held before.
fn grown(results: &Results) -> Option<Spread> {
    let before = results.figures(Reference, Kind::Calm { after: false, deadline: true });
    let during = results.figures(Reference, Kind::Overload { times: 3.0, deadline: true });
    Spread::of(before.souk.iter().zip(&during.souk).map(|(before, during)| during.memory_mib - before.memory_mib))
}

fn recovered(results: &Results) -> Option<Spread> {
    let calm = |after| results.figures(Reference, Kind::Calm { after, deadline: true });
    let (before, after) = (calm(false), calm(true));
    Spread::of(before.souk.iter().zip(&after.souk).map(|(before, after)| after.latency.p50 / before.latency.p50))
}

/// Floods, streams, clients that vanish.
fn edges(results: &Results) -> Vec<Line> {
    let flood = results.figures(Shipped, Kind::Flood);
    let started = results.starts(Shipped).map(|start| start.memory_mib);
    let flooded = Spread::of(flood.souk.iter().zip(started).map(|(flood, start)| flood.memory_mib - start));
    let leaving = &results.leaving;
    let queue = Spread::of(leaving.iter().filter_map(|left| left.queue_rows));
    vec![
        line("flood: OK answers later than the deadline", flood.souk(|measured| measured.late as f64), AtMost(0.0)),
        line("flood: MiB more than at the start", flooded, AtMost(OVERLOAD_MIB)),
        line("200/s beside a stream: p99 by 1.5 × p99 alone and a batch", beside(results), AtMost(1.0)),
        line("1,000 clients that vanished: rows in the queue", queue, AtMost(0.0)),
        line(
            "1,000 clients that vanished: memory after by before",
            Spread::of(leaving.iter().map(|left| left.after_mib / left.before_mib)),
            AtMost(1.05),
        ),
    ]
}

fn beside(results: &Results) -> Option<Spread> {
    let interactive = |beside| results.figures(Reference, Kind::Interactive { beside });
    let cores = available_parallelism().map_or(1, usize::from) as f64;
    let batch = |raw: &Raw| {
        let rate = raw.rows_per_second.iter().find(|(rows, _)| *rows == BATCH).map_or(f64::NAN, |(_, rate)| *rate);
        BATCH as f64 * cores / rate * 1e6
    };
    let (alone, beside) = (interactive(false), interactive(true));
    let repetitions = alone.souk.iter().zip(&beside.souk).zip(results.raw(Reference));
    Spread::of(repetitions.map(|((alone, beside), raw)| beside.latency.p99 / (1.5 * alone.latency.p99 + batch(raw))))
}

/// The server as such.
fn server(results: &Results) -> Vec<Line> {
    let start = |figure: fn(&Start) -> f64| Spread::of(results.starts(Shipped).map(figure));
    let answers = results.points.iter().flat_map(|(_, figures)| &figures.souk);
    let wrong = answers.map(|measured| measured.wrong + measured.count("BROKEN")).sum::<u64>();
    let wrong = (!results.points.is_empty()).then_some(wrong as f64);
    vec![
        line("ready within 1.5 s with the shipped models", start(|start| start.ready_after), AtMost(1.5)),
        line("then at most 250 MB (238 MiB)", start(|start| start.memory_mib), AtMost(238.4)),
        line("everywhere: wrong or broken answers", Spread::of(wrong), AtMost(0.0)),
    ]
}
