//! All that was counted until a moment, as far as it is told over time.

use std::collections::BTreeMap;

use prometheus::proto::{LabelPair, Metric as Sample, MetricFamily};

use super::{
    buckets::Buckets,
    point::{Figure, Name},
};
use crate::telemetry::{
    Exposition,
    table::{BATCH_ROWS, COMPUTE, QUEUE_ROWS, QUEUE_WAIT, REQUEST_DURATION, REQUESTS, ROWS_SCORED, SCORING, SHED_ROWS},
};

/// All that was counted until a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    pub(super) counts: BTreeMap<Name, f64>,
    pub(super) gauges: BTreeMap<Name, f64>,
    pub(super) spreads: BTreeMap<Spread, Buckets>,
}

/// What a histogram is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spread {
    /// How long requests to a model took.
    Scoring(String),
    /// How long they waited.
    Wait(String),
    /// How long passes of a version took.
    Compute(String, u64),
    /// Rows in passes of a model.
    Batch(String),
    /// How long calls of a method took.
    Call(String),
}

impl Exposition {
    /// What was counted so far. It takes as long as a scrape, without the text.
    pub fn reading(&self) -> Reading {
        Reading::of(&self.families())
    }
}

impl Reading {
    pub(super) fn of(families: &[MetricFamily]) -> Self {
        let mut reading = Self::default();
        for family in families {
            family.get_metric().iter().for_each(|sample| reading.take(family.name(), sample));
        }
        reading
    }

    /// How many calls there were, by method and code.
    pub(super) fn calls(&self) -> BTreeMap<(String, String), u64> {
        let of_calls = self.counts.iter().filter(|(name, _)| name.figure == Figure::Calls);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it counts from 0")]
        let count =
            |(name, count): (&Name, &f64)| ((name.of.clone(), name.by.clone().unwrap_or_default()), *count as u64);
        of_calls.map(count).collect()
    }

    fn take(&mut self, metric: &str, sample: &Sample) {
        let label = |name| label(sample.get_label(), name);
        let (model, method) = (|| label("model"), || label("method"));
        let version = || label("version").parse().unwrap_or_default();
        let mut spread = |of| self.spreads.entry(of).or_default().add(&Buckets::of(sample.get_histogram()));
        if metric == REQUESTS.name {
            self.count(Name::new(Figure::Calls, method()).by(label("code")), sample);
        } else if metric == ROWS_SCORED.name {
            self.count(Name::new(Figure::Rows, model()).version(version()).by(label("outcome")), sample);
        } else if metric == SHED_ROWS.name {
            self.count(Name::new(Figure::Shed, model()).by(label("reason")), sample);
        } else if metric == QUEUE_ROWS.name {
            self.gauges.insert(Name::new(Figure::QueueRows, model()), sample.get_gauge().get_value());
        } else if metric == SCORING.name {
            spread(Spread::Scoring(model()));
        } else if metric == QUEUE_WAIT.name {
            spread(Spread::Wait(model()));
        } else if metric == COMPUTE.name {
            spread(Spread::Compute(model(), version()));
        } else if metric == BATCH_ROWS.name {
            spread(Spread::Batch(model()));
        } else if metric == REQUEST_DURATION.name {
            spread(Spread::Call(method()));
        }
    }

    fn count(&mut self, name: Name, sample: &Sample) {
        *self.counts.entry(name).or_default() += sample.get_counter().get_value();
    }
}

fn label(labels: &[LabelPair], name: &str) -> String {
    labels.iter().find(|label| label.name() == name).map(|label| label.value().to_owned()).unwrap_or_default()
}
