//! Brings a model live: its newest version that proves itself.
//!
//! Blocking and slow; the server calls it on a thread of its own.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

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
        let mut model = self.newest(folder);
        for problem in &folder.problems {
            warn!(model = folder.name, problem, "the model's folder was not read as a whole");
        }
        if !folder.problems.is_empty() {
            model.rejected.push(Rejected { version: None, problems: folder.problems.clone() });
        }
        if model.live.is_none() {
            error!(model = folder.name, "no version is live: the model's service is NOT_SERVING");
        }
        model
    }

    /// The newest version that proves itself, and those before it that did not.
    fn newest(&self, folder: &ModelFolder) -> Model {
        let mut model = Model::default();
        for version in &folder.versions {
            if version.is_unfinished() {
                info!(model = folder.name, version = version.version, "no manifest yet: the version is not there");
                continue;
            }
            match self.caught(version) {
                Ok(live) => {
                    model.live = Some(Arc::new(live));
                    return model;
                }
                Err(problems) => {
                    for problem in &problems {
                        warn!(model = folder.name, version = version.version, problem, "version rejected");
                    }
                    model.rejected.push(Rejected { version: Some(version.version), problems });
                }
            }
        }
        model
    }

    /// A panic, such as one of a library on a file that nobody foresaw, is that
    /// version's problem: the versions and models after it are prepared all the same.
    fn caught(&self, folder: &VersionFolder) -> Result<Version, Vec<String>> {
        // What a panic leaves half done is dropped with the version.
        let prepared = catch_unwind(AssertUnwindSafe(|| self.version(folder)));
        prepared.unwrap_or_else(|panic| Err(vec![format!("preparing panicked: {}", message(panic.as_ref()))]))
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

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        features::{Encoder, row::Field},
        manifest::{self, Manifest, Task},
        rows::{Forward, Rows},
    };

    /// Panics wherever it is asked.
    struct Panicking;

    impl RowReader for Panicking {
        fn fields(&self, task: Task) -> &'static [Field] {
            panic!("no fields of {task}")
        }

        fn encode(&self, _: Task, _: &str, _: &Encoder, _: &mut Rows) -> Result<(), String> {
            panic!("no row")
        }
    }

    impl Engines for Panicking {
        fn release(&self) -> &str {
            "2.11.0"
        }

        fn load(&self, _: &Manifest, _: &[u8]) -> Result<Arc<dyn Forward>, String> {
            panic!("no engine")
        }
    }

    fn prepared(folders: &[ModelFolder]) -> Arc<super::super::Models> {
        let registry = Registry::new();
        let (rows, engines) = (Arc::new(Panicking), Arc::new(Panicking));
        let warm_up: WarmUp = Box::new(|_| Ok(()));
        Preparation { rows, engines, warm_up }.run(&registry, folders);
        registry.models()
    }

    #[test]
    fn a_panic_rejects_the_version_and_preparing_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str, version: u64| {
            let path = root.path().join(name).join(version.to_string());
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("manifest.json"), manifest::fixture::gmv().to_string()).unwrap();
            VersionFolder { path, model: name.into(), version }
        };
        let model = |name: &str| ModelFolder {
            name: name.into(),
            versions: vec![folder(name, 2), folder(name, 1)],
            problems: Vec::new(),
        };
        let models = prepared(&[model("merchant_gmv"), model("other")]);
        for name in ["merchant_gmv", "other"] {
            assert!(!models[name].preparing);
            let rejected: Vec<_> = models[name].rejected.iter().map(|rejected| rejected.version).collect();
            assert_eq!(rejected, [Some(2), Some(1)], "{name}");
            assert_eq!(models[name].rejected[0].problems, ["preparing panicked: no fields of merchant_gmv"]);
        }
    }

    #[test]
    fn problems_of_a_models_folder_are_kept_with_the_model() {
        let problems = vec!["can't be listed".to_owned()];
        let folder = ModelFolder { name: "merchant_gmv".into(), versions: Vec::new(), problems: problems.clone() };
        let models = prepared(&[folder]);
        assert_eq!(models["merchant_gmv"].rejected, [Rejected { version: None, problems }]);
    }
}
