//! What is known of the models at a moment, and which version answers whom. Requests
//! read it without a lock.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::policy::{Policy, SHADOW, STABLE, Split};
use crate::{
    error::{ScoreError, shown},
    model::Version,
};

/// All models, as they are now.
pub struct Registry {
    models: ArcSwap<Models>,
    changes: watch::Sender<()>,
}

/// A snapshot of all models, by name.
pub type Models = BTreeMap<String, Arc<Model>>;

/// One model.
#[derive(Clone, Default)]
pub struct Model {
    /// All versions that are on disk or in memory.
    pub versions: BTreeMap<u64, Standing>,
    /// Who answers; `None` where nobody does.
    pub traffic: Option<Arc<Traffic>>,
    /// What was asked for.
    pub policy: Policy,
    /// The number of the last change of who answers; 0 before the first one.
    pub revision: u64,
    /// What is wrong with the model's folder, or with what was asked for last.
    pub problems: Vec<String>,
    /// Whether it is not decided yet who answers first.
    pub starting: bool,
}

/// How far a version is.
#[derive(Clone)]
pub enum Standing {
    /// On disk, and nobody asked for it.
    OnDisk,
    /// Being examined.
    Preparing,
    /// In memory: it proved itself and can answer.
    Resident(Resident),
    /// It stays out, for all these reasons.
    Rejected(Vec<String>),
}

/// A version in memory.
#[derive(Clone)]
pub struct Resident {
    /// The version.
    pub version: Arc<Version>,
    /// Since when it can answer.
    pub since: SystemTime,
    /// How long its preparation took.
    pub took: Duration,
}

/// Who answers for a model.
pub struct Traffic {
    /// One for each label that has a version in memory, `stable` first.
    arms: Vec<Arm>,
    /// Whose arms are those of `arms`, in their order; `None` where `stable` has all.
    split: Option<Split>,
}

/// A label and the version that it names.
#[derive(Clone)]
pub struct Arm {
    /// The label.
    pub label: Arc<str>,
    /// The version.
    pub version: Arc<Version>,
    /// Its share in percent: of the traffic, or of the rows that `shadow` scores.
    pub percent: f64,
}

/// The version that answers, and the label by which it was found.
#[derive(Clone)]
pub struct Resolved {
    /// The version.
    pub version: Arc<Version>,
    /// Empty where the request named the number of a version without a label.
    pub label: Arc<str>,
}

/// Who answers a request.
pub enum Route {
    /// One version answers all its rows.
    One(Resolved),
    /// Each row is answered by the arm of its entity.
    Split(Arc<Traffic>),
}

impl Registry {
    /// A registry that knows no model yet.
    pub fn new() -> Self {
        Self { models: ArcSwap::default(), changes: watch::Sender::new(()) }
    }

    /// All models, as they are now.
    pub fn models(&self) -> Arc<Models> {
        self.models.load_full()
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Replaces what is known of one model, in one atomic store.
    pub fn publish(&self, name: &str, model: Model) {
        let model = Arc::new(model);
        self.models.rcu(|models| {
            let mut models = Models::clone(models);
            models.insert(name.to_owned(), Arc::clone(&model));
            models
        });
        self.changes.send_replace(());
    }

    /// Removes a model that is not there any more.
    pub fn forget(&self, name: &str) {
        self.models.rcu(|models| {
            let mut models = Models::clone(models);
            models.remove(name);
            models
        });
        self.changes.send_replace(());
    }

    /// Who answers a request for `model` that names `wanted`: a number, a label, or
    /// nothing for the model's policy.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NoLiveVersion`] where nobody answers for the model,
    /// [`ScoreError::NotFound`] where somebody else does.
    pub fn route(&self, model: &str, wanted: &str) -> Result<Route, ScoreError> {
        let models = self.models.load();
        let known = models.get(model).map(Arc::as_ref);
        let Some((known, traffic)) = known.and_then(|known| Some((known, known.traffic.as_ref()?))) else {
            return Err(ScoreError::NoLiveVersion { model: model.to_owned(), reason: why_none(known) });
        };
        if wanted.is_empty() {
            return Ok(traffic.route());
        }
        traffic.labelled(wanted).or_else(|| known.numbered(wanted)).map(Route::One).ok_or_else(|| {
            let wanted = match wanted.parse::<u64>() {
                Ok(number) => format!("live version {number}"),
                Err(_) => format!("label \"{}\"", shown(wanted)),
            };
            ScoreError::NotFound { model: model.to_owned(), wanted, available: known.available() }
        })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// The versions in memory, oldest first.
    pub fn residents(&self) -> impl Iterator<Item = &Resident> {
        self.versions.values().filter_map(|standing| match standing {
            Standing::Resident(resident) => Some(resident),
            Standing::OnDisk | Standing::Preparing | Standing::Rejected(_) => None,
        })
    }

    /// The versions that stay out, newest first, each with its reasons.
    pub fn rejected(&self) -> impl Iterator<Item = (u64, &[String])> {
        self.versions.iter().rev().filter_map(|(number, standing)| match standing {
            Standing::Rejected(problems) => Some((*number, problems.as_slice())),
            Standing::OnDisk | Standing::Preparing | Standing::Resident(_) => None,
        })
    }

    /// The version that answers by default.
    pub fn stable(&self) -> Option<&Arc<Version>> {
        self.traffic.as_ref()?.arms().first().map(|arm| &arm.version)
    }

    /// The version in memory with this number, as text: `01` and `+1` are none.
    fn numbered(&self, wanted: &str) -> Option<Resolved> {
        let number = wanted.parse::<u64>().ok().filter(|number| number.to_string() == wanted)?;
        let Standing::Resident(Resident { version, .. }) = self.versions.get(&number)? else { return None };
        let label = self.traffic.as_ref().and_then(|traffic| traffic.label_of(number)).unwrap_or_default();
        Some(Resolved { version: Arc::clone(version), label })
    }

    /// What a request can name, in words.
    fn available(&self) -> String {
        let label = |number| self.traffic.as_ref().and_then(|traffic| traffic.label_of(number));
        let one = |resident: &Resident| {
            let number = resident.version.manifest.version;
            label(number)
                .map_or_else(|| format!("version {number}"), |label| format!("version {number} (label {label:?})"))
        };
        self.residents().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl Traffic {
    /// Of arms in any order, one of which must be `stable`, else there is none.
    pub fn new(arms: Vec<Arm>, salt: &str) -> Option<Self> {
        let (mut arms, others): (Vec<_>, Vec<_>) = arms.into_iter().partition(|arm| &*arm.label == STABLE);
        if arms.is_empty() {
            return None;
        }
        arms.extend(others);
        let share = |arm: &Arm| if &*arm.label == SHADOW { 0.0 } else { arm.percent };
        let is_split = arms.iter().skip(1).any(|arm| share(arm) > 0.0);
        let split = is_split.then(|| Split::new(salt, arms.iter().map(|arm| (&*arm.label, share(arm)))));
        Some(Self { arms, split })
    }

    /// All labels with a version in memory, `stable` first.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The arm of this label.
    pub fn arm(&self, label: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| &*arm.label == label)
    }

    /// Who answers for this entity where its request names no version. An entity
    /// without an id is the stable version's.
    pub fn of(&self, entity_id: &str) -> Option<Resolved> {
        let split = self.split.as_ref().filter(|_| !entity_id.is_empty());
        self.arms.get(split.map_or(0, |split| split.arm(entity_id))).map(Arm::resolved)
    }

    fn route(self: &Arc<Self>) -> Route {
        match (&self.split, self.arms.first()) {
            (None, Some(stable)) => Route::One(stable.resolved()),
            _ => Route::Split(Arc::clone(self)),
        }
    }

    fn labelled(&self, label: &str) -> Option<Resolved> {
        self.arm(label).map(Arm::resolved)
    }

    fn label_of(&self, number: u64) -> Option<Arc<str>> {
        let of_number = |arm: &&Arm| arm.version.manifest.version == number;
        self.arms.iter().find(of_number).map(|arm| Arc::clone(&arm.label))
    }
}

impl Arm {
    fn resolved(&self) -> Resolved {
        Resolved { version: Arc::clone(&self.version), label: Arc::clone(&self.label) }
    }
}

fn why_none(model: Option<&Model>) -> String {
    match model {
        None => "the server knows no such model".into(),
        Some(model) if model.starting => "its versions are being prepared".into(),
        Some(model) => match model.rejected().next() {
            Some((newest, _)) => format!("version {newest} was rejected, see the server's log"),
            None if !model.problems.is_empty() => "its folder can't be read as a whole, see the server's log".into(),
            None => "it has no version".into(),
        },
    }
}
