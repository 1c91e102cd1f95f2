//! Versions on trial: their figures as they are scraped, and the guard that has a canary
//! taken back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::ServerError;
use crate::{
    api::{JsonForms, today_utc},
    config::Settings,
    registry::{Keeper, Registry},
    stack::ThreadSetup,
    telemetry::{Difference, Metrics},
    trial::{Compared, Guard, TrialSetup, Trials},
};

/// How often canaries are looked at: limits count looks.
const LOOK: Duration = Duration::from_secs(1);

/// Starts trying versions out.
pub(super) fn start(
    settings: &Settings,
    registry: &Arc<Registry>,
    metrics: &Metrics,
    setup: &ThreadSetup,
) -> Result<Trials, ServerError> {
    let trials = Trials::start(TrialSetup {
        registry: Arc::clone(registry),
        frames: Arc::new(JsonForms::new()?),
        metrics: metrics.clone(),
        setup: Arc::clone(setup),
        today: today_utc,
        keep_recent_below: settings.models.keep_recent_rows.then(|| settings.models.root.clone()),
    });
    let trials = trials.map_err(ServerError::Trials)?;
    let read = trials.clone();
    metrics.observe_differences(move || differences(&read.all_comparisons()));
    Ok(trials)
}

/// Looks at canaries until it is dropped.
pub(super) fn guard(registry: &Arc<Registry>, trials: &Trials, keeper: &Keeper) -> AbortOnDropHandle<()> {
    let (registry, keeper, mut guard) = (Arc::clone(registry), keeper.clone(), Guard::new(trials.clone()));
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for breach in guard.look(&registry) {
                keeper.take_back(&breach.model, breach.version, breach.broken);
            }
        }
    }))
}

/// Each figure that there is, by the model's name.
fn differences(compared: &BTreeMap<String, Vec<Compared>>) -> Vec<Difference> {
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
