//! How this program prepares its versions, and the keeper that has it done.

use std::sync::Arc;

use tracing::warn;

use super::ServerError;
use crate::{
    api::JsonForms,
    config::Settings,
    model::{Engines, Means, VersionFolder, examine, lowest_priority, only_when_idle},
    registry::{Events, Haste, Keeper, Keeping, Preparation, Registry, scan},
    stack::{Runners, ThreadSetup},
    telemetry::Metrics,
    trial::Trials,
};

/// Examines a version and warms up all threads that will run it; who serves goes first.
pub(super) fn preparation(
    settings: &Settings,
    engines: Arc<dyn Engines>,
    (runners, trials): (Runners, Trials),
    setup: ThreadSetup,
) -> Result<Preparation, ServerError> {
    let slowest_row = settings.models.slowest_row;
    let trust = settings.models.trust().map_err(ServerError::Trust)?;
    let forms = JsonForms::new()?;
    let prepare = move |folder: &VersionFolder| {
        let means = Means { rows: &forms, engines: engines.as_ref(), slowest_row, trust: &trust };
        let examination = examine(folder, &means);
        let version = examination.version.ok_or(examination.problems)?;
        // What is asked for these days, as far as it is known.
        let rows = version.warmup_rows(&trials.warm_rows(&version));
        let warm = runners.warm(&version.engine, &rows.into());
        warm.map_err(|error| vec![format!("warm-up: {error}")])?;
        Ok(version)
    };
    let setup = move |haste| {
        match haste {
            Haste::Great => {}
            Haste::None => only_when_idle(),
            Haste::Little => lowest_priority(),
        }
        // Golden rows are scored as the runners score.
        setup()
    };
    Ok(Preparation { prepare: Arc::new(prepare), setup: Arc::new(setup) })
}

/// Starts keeping the models.
pub(super) fn keep(
    settings: &Settings,
    registry: &Arc<Registry>,
    events: &Events,
    preparation: Preparation,
    metrics: Metrics,
) -> Result<Keeper, ServerError> {
    let root = &settings.models.root;
    let folders = scan(root).map_err(|source| ServerError::Models { root: root.clone(), source })?;
    if folders.is_empty() {
        warn!(root = %root.display(), "there is no model below models.root");
    }
    let keeping = Keeping {
        root: root.clone(),
        poll: settings.models.poll,
        prepare_timeout: settings.models.prepare_timeout,
        preparation,
        metrics,
        registry: Arc::clone(registry),
        events: events.clone(),
    };
    Keeper::start(keeping).map_err(ServerError::Preparation)
}
