//! How versions differ, on the wire.

use crate::{api::proto::v1::Comparison, trial::Compared};

pub(super) fn comparison(compared: &Compared) -> Comparison {
    let Compared { live, other, head, figures, window_rows, since, latency_ratio, cost_ratio } = compared;
    Comparison {
        live_version: *live,
        other_version: *other,
        head: head.clone(),
        rows: figures.rows as u64,
        mean_difference: figures.mean,
        mean_absolute_difference: figures.mean_absolute,
        standard_deviation: figures.deviation,
        p50_absolute_difference: figures.p50,
        p90_absolute_difference: figures.p90,
        p99_absolute_difference: figures.p99,
        max_absolute_difference: figures.largest,
        relative_difference: figures.relative.unwrap_or_default(),
        rank_correlation: figures.rank_correlation,
        top_decile_overlap: figures.top_decile_overlap,
        latency_ratio: *latency_ratio,
        cost_ratio: *cost_ratio,
        window_rows: *window_rows as u64,
        window_since: Some((*since).into()),
    }
}
