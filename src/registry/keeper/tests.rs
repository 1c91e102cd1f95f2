//! The keeper with versions that are prepared as a test says, on a real folder: what all
//! tests need.

mod policies;
mod versions;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    fixture,
    model::{Version, VersionFolder},
    registry::{CANARY, Event, EventKind, Labelled, Model, STABLE, Standing, Target},
};

const MODEL: &str = "merchant_gmv";

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A keeper on a folder of its own.
struct House {
    root: TempDir,
    keeper: Keeper,
    registry: Arc<Registry>,
    events: Events,
    /// Versions that are not to prove themselves, and those that wait to be let go.
    fates: Fates,
}

type Fates = Arc<Mutex<BTreeMap<u64, Fate>>>;

enum Fate {
    Rejected(&'static str),
    Panics,
    Waits(mpsc::Receiver<()>),
}

fn root(versions: &[u64]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    versions.iter().for_each(|version| add(root.path(), *version));
    root
}

fn add(root: &Path, version: u64) {
    let folder = root.join(MODEL).join(version.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("manifest.json"), version.to_string()).unwrap();
}

fn prepared(fates: &Fates, folder: &VersionFolder) -> Result<Version, Vec<String>> {
    let fate = fates.lock().unwrap().remove(&folder.version);
    match fate {
        Some(Fate::Rejected(problem)) => return Err(vec![problem.into()]),
        Some(Fate::Panics) => panic!("seven"),
        Some(Fate::Waits(go)) => go.recv().unwrap_or_default(),
        None => {}
    }
    Ok(fixture::version(&folder.model, folder.version))
}

fn open(root: TempDir, fates: impl IntoIterator<Item = (u64, Fate)>) -> House {
    open_with(root, fates, PATIENCE)
}

fn open_with(root: TempDir, fates: impl IntoIterator<Item = (u64, Fate)>, prepare_timeout: Duration) -> House {
    let fates: Fates = Arc::new(Mutex::new(fates.into_iter().collect()));
    let known = Arc::clone(&fates);
    let prepare: Prepare = Arc::new(move |folder| prepared(&known, folder));
    let (registry, events) = (Arc::new(Registry::new()), Events::new());
    let keeper = Keeper::start(Keeping {
        root: root.path().to_owned(),
        poll: Duration::from_millis(50),
        prepare_timeout,
        preparation: Preparation { prepare, setup: Arc::new(|_haste| Box::new(())) },
        metrics: Metrics::none(),
        registry: Arc::clone(&registry),
        events: events.clone(),
    });
    House { root, keeper: keeper.unwrap(), registry, events, fates }
}

impl House {
    /// Waits until the model is as wanted.
    async fn until(&self, wanted: impl Fn(&Model) -> bool) -> Arc<Model> {
        let mut changes = self.registry.changes();
        let reached = async {
            loop {
                if let Some(model) = self.registry.models().get(MODEL).filter(|model| wanted(model)) {
                    return Arc::clone(model);
                }
                changes.changed().await.unwrap();
            }
        };
        match timeout(PATIENCE, reached).await {
            Ok(model) => model,
            Err(_) => panic!("it did not come: {:?}", self.said()),
        }
    }

    async fn until_stable(&self, number: u64) -> Arc<Model> {
        self.until(|model| model.stable().is_some_and(|stable| stable.manifest.version == number)).await
    }

    async fn set(&self, labels: &[(&str, Target, Option<f64>)]) -> Result<Change, OrderError> {
        let policy = policy(labels);
        let traffic = NewTraffic { model: MODEL.into(), policy, from: None, reason: String::new() };
        self.keeper.set_traffic(traffic, "a test").await
    }

    fn said(&self) -> Vec<String> {
        self.events
            .listen()
            .0
            .into_iter()
            .map(|Event { kind, version, message, .. }| format!("{kind:?} {version:?} {message}"))
            .collect()
    }

    fn fate(&self, version: u64, fate: Fate) {
        self.fates.lock().unwrap().insert(version, fate);
    }

    /// The same folder after the process ended.
    fn reopened(self) -> House {
        open(self.root, [])
    }
}

fn policy(labels: &[(&str, Target, Option<f64>)]) -> Policy {
    let labels = labels.iter().map(|&(label, version, percent)| (label.to_owned(), Labelled { version, percent }));
    Policy { labels: labels.collect(), ..Policy::default() }
}

fn resident(model: &Model) -> Vec<u64> {
    model.residents().map(|resident| resident.version.manifest.version).collect()
}

const ONE: (&str, Target, Option<f64>) = (STABLE, Target::Number(1), None);
const TWO: (&str, Target, Option<f64>) = (STABLE, Target::Number(2), None);
