//! Brings a model live: its newest version that proves itself.
//!
//! Blocking and slow; the server calls it on a thread of its own.

use std::{io, sync::Arc, time::Instant};

use tracing::{error, info, warn};

use super::{Model, ModelFolder, Registry, Rejected, STABLE};
use crate::{
    error::ScoreError,
    model::{Engines, RowReader, Version, VersionFolder, examine},
};

/// Has every thread that will run a version run it before the first request does.
pub type WarmUp = Box<dyn Fn(&Version) -> Result<(), ScoreError> + Send + Sync>;

/// What preparing needs, the same for all models.
pub struct Preparation {
    /// Reads golden rows.
    pub rows: Arc<dyn RowReader>,
    /// Loads model files.
    pub engines: Arc<dyn Engines>,
    /// Warms up the threads that will run the model.
    pub warm_up: WarmUp,
}

impl Preparation {
    /// Prepares every model, one after the other, and publishes each.
    pub fn run(&self, registry: &Registry, folders: &[ModelFolder]) {
        for folder in folders {
            registry.publish(&folder.name, Model { preparing: true, ..Model::default() });
        }
        for folder in folders {
            registry.publish(&folder.name, self.model(folder));
        }
    }

    fn model(&self, folder: &ModelFolder) -> Model {
        let mut model = Model::default();
        for version in &folder.versions {
            if matches!(version.manifest(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
                info!(model = folder.name, version = version.version, "no manifest yet: the version is not there");
                continue;
            }
            match self.version(version) {
                Ok(live) => {
                    model.live = Some(Arc::new(live));
                    return model;
                }
                Err(problems) => {
                    for problem in &problems {
                        warn!(model = folder.name, version = version.version, problem, "version rejected");
                    }
                    model.rejected.push(Rejected { version: version.version, problems });
                }
            }
        }
        error!(model = folder.name, "no version is live: the model's service is NOT_SERVING");
        model
    }

    fn version(&self, folder: &VersionFolder) -> Result<Version, Vec<String>> {
        let begun = Instant::now();
        let examination = examine(folder, self.rows.as_ref(), self.engines.as_ref());
        let version = examination.version.ok_or(examination.problems)?;
        (self.warm_up)(&version).map_err(|error| vec![format!("warm-up: {error}")])?;
        info!(
            model = folder.model,
            version = folder.version,
            label = STABLE,
            golden_rows = version.golden.len(),
            digest = version.digest.get(..12),
            took_ms = begun.elapsed().as_millis(),
            "live"
        );
        Ok(version)
    }
}
