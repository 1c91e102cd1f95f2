//! What versions have done, from the counters that requests of all services feed.

use super::lookup::known;
use crate::{
    api::proto::inference::{InferStatistics, ModelStatistics, ModelStatisticsRequest, StatisticDuration},
    error::{ScoreError, shown},
    identity::Caller,
    registry::{Model, Registry, Resident},
};

/// Of all versions in memory that are asked about.
///
/// # Errors
///
/// [`ScoreError`] where a model or version is named that is not there.
pub(super) fn statistics(
    registry: &Registry,
    asked: &ModelStatisticsRequest,
    caller: &Caller,
) -> Result<Vec<ModelStatistics>, ScoreError> {
    if asked.name.is_empty() {
        let models = registry.models();
        return Ok(models
            .iter()
            .filter(|(name, _)| caller.sees(name))
            .flat_map(|(name, model)| of_model(name, model))
            .collect());
    }
    let model = known(registry, &asked.name, caller)?;
    let all = of_model(&asked.name, &model);
    if asked.version.is_empty() {
        return Ok(all);
    }
    let available = all.iter().map(|one| format!("version {}", one.version)).collect::<Vec<_>>().join(", ");
    let of_version: Vec<_> = all.into_iter().filter(|one| one.version == asked.version).collect();
    if of_version.is_empty() {
        let wanted = format!("version {} in memory", shown(&asked.version));
        return Err(ScoreError::NotFound { model: asked.name.clone(), wanted, available });
    }
    Ok(of_version)
}

fn of_model(name: &str, model: &Model) -> Vec<ModelStatistics> {
    let of_version = |resident: &Resident| {
        let tally = resident.version.engine.cost().served().tally();
        let some = |(count, ns): (u64, u64)| Some(StatisticDuration { count, ns });
        let answered = |ns: u64| some((tally.answered.0, ns));
        ModelStatistics {
            name: name.to_owned(),
            version: resident.version.manifest.version.to_string(),
            last_inference: tally.last_pass_millis,
            inference_count: tally.rows,
            execution_count: tally.passes,
            inference_stats: Some(InferStatistics {
                success: some(tally.answered),
                fail: some(tally.failed),
                queue: answered(tally.queue_nanos),
                compute_infer: answered(tally.compute_nanos),
                ..InferStatistics::default()
            }),
            batch_stats: Vec::new(),
        }
    };
    model.residents().map(of_version).collect()
}
