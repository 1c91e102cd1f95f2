//! Versions on trial, as the page tells of them: how answers differ, and how far a canary
//! is from what it would be taken back for.

use serde::Serialize;

use super::millis;
use crate::{
    registry::GuardLimits,
    trial::{Compared, Evidence},
};

/// How the answers of two versions to the same rows differ in one head.
#[derive(Serialize)]
pub(super) struct Comparison {
    live: u64,
    other: u64,
    head: String,
    rows: usize,
    /// Most rows that it can be of.
    window_rows: usize,
    /// When the oldest of them was answered.
    since: u64,
    mean: f64,
    mean_absolute: f64,
    deviation: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    largest: f64,
    relative: Option<f64>,
    rank_correlation: Option<f64>,
    top_decile_overlap: Option<f64>,
    latency_ratio: Option<f64>,
    cost_ratio: Option<f64>,
}

pub(super) fn comparison(compared: &Compared) -> Comparison {
    let Compared { live, other, head, figures, window_rows, since, latency_ratio, cost_ratio } = compared;
    Comparison {
        live: *live,
        other: *other,
        head: head.clone(),
        rows: figures.rows,
        window_rows: *window_rows,
        since: millis(*since),
        mean: figures.mean,
        mean_absolute: figures.mean_absolute,
        deviation: figures.deviation,
        p50: figures.p50,
        p90: figures.p90,
        p99: figures.p99,
        largest: figures.largest,
        relative: figures.relative,
        rank_correlation: figures.rank_correlation,
        top_decile_overlap: figures.top_decile_overlap,
        latency_ratio: *latency_ratio,
        cost_ratio: *cost_ratio,
    }
}

/// The limits of a canary, and where it is.
#[derive(Serialize)]
pub(super) struct Guard {
    enabled: bool,
    min_rows: u64,
    /// In seconds.
    window: f64,
    looks: u32,
    /// Rows of the canary in the window; `null` where there is none, and then nothing
    /// else is known either.
    rows: Option<u64>,
    limits: Vec<Limit>,
}

/// One limit.
#[derive(Serialize)]
struct Limit {
    name: &'static str,
    /// Beyond this it is broken; `null` where it is not set.
    most: Option<f64>,
    /// What it is now; the largest number that there is where it is beyond all limits,
    /// as JSON has no infinity.
    found: Option<f64>,
    /// The stable version's, which a canary may be as bad as.
    stable: Option<f64>,
    /// The part of the answers that it is of.
    head: Option<String>,
}

pub(super) fn guard(limits: &GuardLimits, evidence: Option<&Evidence>) -> Guard {
    Guard {
        enabled: limits.enabled,
        min_rows: limits.min_rows,
        window: limits.window.as_secs_f64(),
        looks: limits.looks,
        rows: evidence.map(|evidence| evidence.canary.rows),
        limits: found(limits, evidence).map(bounded).into(),
    }
}

fn found(limits: &GuardLimits, evidence: Option<&Evidence>) -> [Limit; 5] {
    let limit = |name, most| Limit { name, most, found: None, stable: None, head: None };
    let (canary, stable) = (evidence.map(|evidence| &evidence.canary), evidence.map(|evidence| &evidence.stable));
    let diverges = evidence.and_then(|evidence| evidence.divergence.as_ref());
    let slower = || Some(canary?.p99()?.as_secs_f64() / stable?.p99()?.as_secs_f64());
    [
        Limit {
            found: canary.map(|seen| seen.error_rate()),
            stable: stable.map(|seen| seen.error_rate()),
            ..limit("error_rate", Some(limits.max_error_rate))
        },
        Limit {
            found: canary.map(|seen| seen.non_finite_rate()),
            stable: stable.map(|seen| seen.non_finite_rate()),
            ..limit("non_finite_rate", Some(limits.max_non_finite_rate))
        },
        Limit { found: slower(), ..limit("p99_ratio", Some(limits.max_p99_ratio)) },
        Limit {
            found: evidence.and_then(|evidence| evidence.cost_ratio),
            ..limit("cost_ratio", Some(limits.max_cost_ratio))
        },
        Limit {
            found: diverges.map(|divergence| divergence.relative),
            head: diverges.map(|divergence| divergence.head.clone()),
            ..limit("divergence", limits.max_divergence)
        },
    ]
}

/// See [`Limit::found`].
fn bounded(limit: Limit) -> Limit {
    Limit { found: limit.found.map(|found| found.clamp(f64::MIN, f64::MAX)), ..limit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Divergence, Seen};

    fn json(evidence: Option<&Evidence>) -> serde_json::Value {
        serde_json::to_value(guard(&GuardLimits::default(), evidence)).unwrap()
    }

    #[test]
    fn limits_are_told_also_where_nothing_is_on_trial() {
        let told = json(None);
        assert_eq!((&told["rows"], &told["min_rows"]), (&serde_json::Value::Null, &100.into()));
        assert_eq!(told["limits"][0]["most"], 0.01);
        assert!(told["limits"][4]["most"].is_null(), "no divergence is limited unless somebody says so");
        assert!(told["limits"].as_array().unwrap().iter().all(|limit| limit["found"].is_null()));
    }

    #[test]
    fn a_canary_is_told_beside_the_stable_version() {
        let canary = Seen { rows: 200, failed: 3, ..Seen::default() };
        let stable = Seen { rows: 1000, failed: 1, ..Seen::default() };
        let divergence = Some(Divergence { head: "expected_gmv".into(), relative: f64::INFINITY, rows: 7 });
        let told = json(Some(&Evidence { canary, stable, cost_ratio: Some(1.5), divergence }));
        assert_eq!((&told["rows"], &told["limits"][0]["found"]), (&200.into(), &0.015.into()));
        assert_eq!(told["limits"][0]["stable"], 0.001);
        assert_eq!((&told["limits"][3]["found"], &told["limits"][4]["head"]), (&1.5.into(), &"expected_gmv".into()));
        assert!(told["limits"][2]["found"].is_null(), "no latency was seen");
        assert_eq!(told["limits"][4]["found"], f64::MAX, "beyond any limit is not unknown");
    }
}
