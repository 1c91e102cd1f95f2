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

/// Whether requests are welcome: every model was prepared, and one answers. One broken
/// model must not take the others from their users.
pub fn is_ready(models: &Models) -> bool {
    let prepared = models.values().all(|model| !model.starting);
    prepared && models.values().any(|model| model.traffic.is_some())
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
            None if !model.problems.is_empty() => {
                "there are problems with its folder or policy, see the server's log".into()
            }
            None => "it has no version".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture, registry::CANARY};

    fn registry(model: Model) -> Registry {
        let registry = Registry::new();
        registry.publish("merchant_gmv", model);
        registry
    }

    fn routed(registry: &Registry, wanted: &str) -> Result<(u64, String), ScoreError> {
        match registry.route("merchant_gmv", wanted)? {
            Route::One(by) => Ok((by.version.manifest.version, by.label.to_string())),
            Route::Split(_) => unreachable!("{wanted:?} is split"),
        }
    }

    #[test]
    fn a_version_is_found_by_number_by_label_and_by_default() {
        let registry = registry(fixture::live("merchant_gmv", 7));
        for wanted in ["", "7", "stable"] {
            assert_eq!(routed(&registry, wanted), Ok((7, STABLE.to_owned())), "{wanted:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is() {
        let registry = registry(fixture::with_arms("merchant_gmv", &[(STABLE, 7, 100.0), ("free", 9, 0.0)]));
        for wanted in ["8", "canary", "-1", "+7", "07", "7.0"] {
            let Err(ScoreError::NotFound { available, .. }) = routed(&registry, wanted) else {
                unreachable!("{wanted:?} was found");
            };
            assert_eq!(available, "version 7 (label \"stable\"), version 9 (label \"free\")");
        }
        assert_eq!(routed(&registry, "9"), Ok((9, "free".to_owned())));
    }

    #[test]
    fn a_split_is_by_the_entity_and_pins_are_not() {
        let arms = [(CANARY, 8, 50.0), (STABLE, 7, 50.0), (SHADOW, 9, 100.0)];
        let registry = registry(fixture::with_arms("merchant_gmv", &arms));
        let Ok(Route::Split(traffic)) = registry.route("merchant_gmv", "") else { unreachable!("not split") };
        let arm = |id: &str| traffic.of(id).map(|by| by.version.manifest.version);
        let found: std::collections::BTreeSet<_> = (0..100).map(|id| arm(&format!("m-{id}"))).collect();
        // The shadow answers nobody.
        assert_eq!(found, [Some(7), Some(8)].into());
        assert_eq!((arm("m-1"), arm("")), (arm("m-1"), Some(7)));
        assert_eq!(routed(&registry, "canary"), Ok((8, CANARY.to_owned())));
        assert_eq!(routed(&registry, "stable"), Ok((7, STABLE.to_owned())));
    }

    #[test]
    fn a_model_without_a_stable_version_says_why() {
        let reason = |model: Option<Model>| {
            let registry = Registry::new();
            model.into_iter().for_each(|model| registry.publish("merchant_gmv", model));
            match registry.route("merchant_gmv", "") {
                Err(ScoreError::NoLiveVersion { reason, .. }) => reason,
                _ => "found".into(),
            }
        };
        assert_eq!(reason(None), "the server knows no such model");
        let starting = Model { starting: true, ..Model::default() };
        assert_eq!(reason(Some(starting)), "its versions are being prepared");
        let rejected = Model { versions: [(3, Standing::Rejected(vec!["x".into()]))].into(), ..Model::default() };
        assert_eq!(reason(Some(rejected)), "version 3 was rejected, see the server's log");
        let problems = Model { problems: vec!["x".into()], ..Model::default() };
        assert_eq!(reason(Some(problems)), "there are problems with its folder or policy, see the server's log");
    }
}
