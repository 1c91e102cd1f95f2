//! The figures of versions on trial as they are scraped.

use std::collections::BTreeMap;

use crate::{telemetry::Difference, trial::Compared};

/// Each figure that there is, by the model's name.
pub(super) fn differences(compared: &BTreeMap<String, Vec<Compared>>) -> Vec<Difference> {
    let heads = compared.iter().flat_map(|(model, heads)| heads.iter().map(move |head| (model, head)));
    let of_head = |(model, head): (&String, &Compared)| {
        let (model, head) = (model.clone(), head.clone());
        statistics(&head).into_iter().map(move |(statistic, value)| Difference {
            model: model.clone(),
            live: head.live,
            version: head.other,
            head: head.head.clone(),
            statistic,
            value,
        })
    };
    heads.flat_map(of_head).collect()
}

/// What has no value is left out. The two ratios are of the versions, and so the same
/// for all their heads.
fn statistics(head: &Compared) -> Vec<(&'static str, f64)> {
    let figures = &head.figures;
    let all = [
        ("rows", Some(figures.rows as f64)),
        ("mean", Some(figures.mean)),
        ("mean_absolute", Some(figures.mean_absolute)),
        ("deviation", Some(figures.deviation)),
        ("p50", Some(figures.p50)),
        ("p90", Some(figures.p90)),
        ("p99", Some(figures.p99)),
        ("max", Some(figures.largest)),
        ("relative", figures.relative),
        ("rank_correlation", figures.rank_correlation),
        ("top_decile_overlap", figures.top_decile_overlap),
        ("latency_ratio", head.latency_ratio),
        ("cost_ratio", head.cost_ratio),
    ];
    all.into_iter().filter_map(|(statistic, value)| Some((statistic, value?))).collect()
}
