//! What two readings say of the time between them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    buckets::Buckets,
    reading::{Reading, Spread},
};

/// What is told of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Requests of a model, per second.
    Requests,
    /// Median of how long these took, in seconds.
    P50,
    /// Their 99th percentile.
    P99,
    /// 99th percentile of how long requests of a model waited, in seconds.
    WaitP99,
    /// 99th percentile of a version's passes, in seconds.
    ComputeP99,
    /// Mean rows in a pass of a model.
    BatchRows,
    /// Rows of a model that wait.
    QueueRows,
    /// Rows of a version, per second, by what became of them.
    Rows,
    /// Rows of a model that were never run, per second, by why not.
    Shed,
    /// Calls of a method, per second, by code.
    Calls,
    /// Median of how long calls of a method took, in seconds.
    CallP50,
    /// Their 99th percentile.
    CallP99,
}

/// What a figure is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// What is told.
    pub figure: Figure,
    /// Of which model, or of which method.
    pub of: String,
    /// Of which of its versions.
    pub version: Option<u64>,
    /// The outcome, reason or code.
    pub by: Option<String>,
}

impl Figure {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::WaitP99 => "wait_p99",
            Self::ComputeP99 => "compute_p99",
            Self::BatchRows => "batch_rows",
            Self::QueueRows => "queue_rows",
            Self::Rows => "rows",
            Self::Shed => "shed",
            Self::Calls => "calls",
            Self::CallP50 => "call_p50",
            Self::CallP99 => "call_p99",
        }
    }

    /// What it is where nothing happened: no rate, and no percentile either.
    pub(super) const fn blank(self) -> f32 {
        match self {
            Self::Requests | Self::QueueRows | Self::Rows | Self::Shed | Self::Calls => 0.0,
            Self::P50
            | Self::P99
            | Self::WaitP99
            | Self::ComputeP99
            | Self::BatchRows
            | Self::CallP50
            | Self::CallP99 => f32::NAN,
        }
    }
}

impl Name {
    pub(super) fn new(figure: Figure, of: String) -> Self {
        Self { figure, of, version: None, by: None }
    }

    pub(super) fn version(self, version: u64) -> Self {
        Self { version: Some(version), ..self }
    }

    pub(super) fn by(self, by: String) -> Self {
        Self { by: Some(by), ..self }
    }
}

/// The figures of the time between two readings, which was so long; what did not happen
/// is left out.
pub(super) fn point(before: &Reading, now: &Reading, took: Duration) -> BTreeMap<Name, f32> {
    let seconds = took.as_secs_f64();
    if seconds <= 0.0 {
        return BTreeMap::new();
    }
    let rate = |(name, count): (&Name, &f64)| {
        let gained = count - before.counts.get(name).copied().unwrap_or_default();
        (gained > 0.0).then(|| (name.clone(), gained / seconds))
    };
    let rates = now.counts.iter().filter_map(rate);
    let gauges = now.gauges.iter().map(|(name, value)| (name.clone(), *value));
    let nothing = Buckets::default();
    let gained = |spread| {
        let before = before.spreads.get(spread).unwrap_or(&nothing);
        now.spreads.get(spread).map(|now| now.gained(before))
    };
    let spreads = now.spreads.keys().flat_map(|spread| {
        let gained = gained(spread).filter(|gained| gained.count() > 0);
        gained.map(|gained| of_spread(spread, &gained, seconds, now)).into_iter().flatten()
    });
    #[expect(clippy::cast_possible_truncation, reason = "a chart's precision")]
    let narrowed = |(name, value): (Name, f64)| (name, value as f32);
    rates.chain(gauges).chain(spreads).map(narrowed).collect()
}

fn of_spread(spread: &Spread, gained: &Buckets, seconds: f64, all: &Reading) -> Vec<(Name, f64)> {
    let of = |figure, of: &String, value: Option<f64>| value.map(|value| (Name::new(figure, of.clone()), value));
    let rate = |model| of(Figure::Requests, model, Some(gained.count() as f64 / seconds));
    let (p50, p99) = (gained.quantile(0.5), gained.quantile(0.99));
    let found = match spread {
        Spread::Scoring(model) => [rate(model), of(Figure::P50, model, p50), of(Figure::P99, model, p99)],
        Spread::Wait(model) => {
            // Who counts requests better counts them alone.
            let alone = !all.spreads.contains_key(&Spread::Scoring(model.clone()));
            [rate(model).filter(|_| alone), of(Figure::WaitP99, model, p99), None]
        }
        Spread::Compute(model, version) => {
            let of_version = |(name, value): (Name, f64)| (name.version(*version), value);
            [of(Figure::ComputeP99, model, p99).map(of_version), None, None]
        }
        Spread::Batch(model) => [of(Figure::BatchRows, model, gained.mean()), None, None],
        Spread::Call(method) => [of(Figure::CallP50, method, p50), of(Figure::CallP99, method, p99), None],
    };
    found.into_iter().flatten().collect()
}
