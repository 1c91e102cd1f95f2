//! One model as the keeper has it: what there is, what is wanted, who answers. Plain
//! data and decisions; no clock, no disk, no thread.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    commands::{Answer, Wish},
    fingerprint::Fingerprint,
};
use crate::{
    model::{Version, VersionFolder},
    registry::{
        live::{Arm, Model, Resident, Standing, Traffic},
        policy::{Policy, STABLE, Target},
    },
};

/// Which version each label names, as far as it is in memory.
pub(super) type Assignment = BTreeMap<String, u64>;

/// One model.
#[derive(Default)]
pub(super) struct Kept {
    /// The versions on disk.
    pub(super) folders: BTreeMap<u64, Found>,
    /// What is wrong with the model's folder.
    pub(super) folder_problems: Vec<String>,
    /// How far versions are that somebody wanted.
    pub(super) stages: BTreeMap<u64, Stage>,
    /// What is followed.
    pub(super) policy: Policy,
    /// What is to be followed once its versions are in memory.
    pub(super) wish: Option<Wish>,
    /// Why the last change was refused that nobody waited for.
    pub(super) refused: Vec<String>,
    /// Versions that were asked for one by one.
    pub(super) loaded: BTreeSet<u64>,
    /// Versions that are not to answer by themselves any more, and who waits for their end.
    pub(super) unloaded: BTreeMap<u64, Vec<Answer<()>>>,
    /// Who answers.
    pub(super) now: Assignment,
    /// Who answered before the last change: kept in memory for a quick way back.
    pub(super) before: Assignment,
    /// The number of the last change.
    pub(super) revision: u64,
    /// Whether somebody has answered, or was found not to.
    pub(super) started: bool,
    /// Whether who answers is in the history: not at the start, while labels come one by one.
    pub(super) recorded: bool,
}

/// A version on disk.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) folder: VersionFolder,
    pub(super) print: Fingerprint,
}

/// How far a version is.
pub(super) enum Stage {
    /// Waits for a thread, or is being examined by one.
    Preparing(Preparing),
    Resident(Resident),
    /// Stays out, as long as its folder looks like this.
    Rejected {
        problems: Vec<String>,
        print: Fingerprint,
    },
}

/// A preparation that waits or runs.
#[derive(Default)]
pub(super) struct Preparing {
    /// Which one; what ends with another number was given up.
    pub(super) attempt: u64,
    /// Since when it runs.
    pub(super) since: Option<Instant>,
    /// How the folder looked when it began.
    pub(super) print: Fingerprint,
    /// Whether it was begun once more, with a share of the cores of its own.
    pub(super) hurried: bool,
    /// Who waits for it.
    pub(super) waiters: Vec<Answer<()>>,
}

impl Kept {
    /// The version in memory with this number.
    pub(super) fn resident(&self, number: u64) -> Option<&Resident> {
        match self.stages.get(&number)? {
            Stage::Resident(resident) => Some(resident),
            Stage::Preparing(_) | Stage::Rejected { .. } => None,
        }
    }

    /// The versions to bring into memory that nobody has begun with.
    pub(super) fn to_prepare(&self) -> Vec<u64> {
        let wished = self.wish.iter().flat_map(|wish| wish.policy.numbers());
        let named = self.policy.numbers().chain(wished).chain(self.newest().0);
        let way_back = self.before.values().copied().filter(|number| !self.unloaded.contains_key(number));
        let wanted: BTreeSet<u64> = named.chain(self.loaded.iter().copied()).chain(way_back).collect();
        wanted
            .into_iter()
            .filter(|number| !self.stages.contains_key(number) && self.folders.contains_key(number))
            .collect()
    }

    /// The version that should be in memory to answer as the newest, and the one in
    /// memory that comes nearest to it.
    fn newest(&self) -> (Option<u64>, Option<u64>) {
        if !self.policy.follows_newest() {
            return (None, None);
        }
        let named: BTreeSet<u64> = self.policy.numbers().collect();
        let all: BTreeSet<u64> = self.folders.keys().chain(self.stages.keys()).copied().collect();
        let free = |number: &u64| !named.contains(number) && !self.unloaded.contains_key(number);
        let is_out = |number: &u64| matches!(self.stages.get(number), Some(Stage::Rejected { .. }));
        let candidates: Vec<u64> = all.into_iter().rev().filter(free).filter(|number| !is_out(number)).collect();
        let resident = candidates.iter().copied().find(|number| self.resident(*number).is_some());
        (candidates.first().copied(), resident)
    }

    /// Who is to answer now, of what is in memory.
    pub(super) fn assignment(&self) -> Assignment {
        let number = |(label, target): (&String, Target)| match target {
            Target::Number(number) => self.resident(number).map(|_| (label.clone(), number)),
            // Who answers goes on until there is somebody else.
            Target::Newest => {
                self.newest().1.or_else(|| self.now.get(label).copied()).map(|number| (label.clone(), number))
            }
        };
        self.policy.labels.iter().map(|(label, labelled)| (label, labelled.version)).filter_map(number).collect()
    }

    /// The versions in memory that nobody needs.
    pub(super) fn to_retire(&self) -> Vec<u64> {
        let wished = self.wish.iter().flat_map(|wish| wish.policy.numbers());
        let mut needed: BTreeSet<u64> =
            self.policy.numbers().chain(wished).chain(self.loaded.iter().copied()).collect();
        needed.extend(self.before.values().filter(|number| !self.unloaded.contains_key(number)));
        needed.extend(self.now.values());
        let residents = self.stages.keys().copied().filter(|number| self.resident(*number).is_some());
        residents.filter(|number| !needed.contains(number)).collect()
    }

    /// The label by which a version answers, or is about to.
    pub(super) fn label_of(&self, number: u64) -> Option<String> {
        let names = |labelled: &Target| *labelled == Target::Number(number);
        let by_policy = self.policy.labels.iter().find(|(_, labelled)| names(&labelled.version));
        by_policy.map(|(label, _)| label.clone())
    }

    /// Whether somebody else could answer as the newest version, now or after a preparation.
    pub(super) fn has_another_than(&self, number: u64) -> bool {
        let is_out = |number: &u64| matches!(self.stages.get(number), Some(Stage::Rejected { .. }));
        let all = self.folders.keys().chain(self.stages.keys());
        let mut others = all.filter(|other| **other != number && !self.unloaded.contains_key(other));
        others.any(|other| !is_out(other))
    }

    /// Whether nobody is on the way who could answer as `stable` first.
    pub(super) fn is_settled(&self) -> bool {
        self.now.contains_key(STABLE) || !self.stages.values().any(|stage| matches!(stage, Stage::Preparing(_)))
    }

    /// Whether nothing is left of the model.
    pub(super) fn is_gone(&self) -> bool {
        self.folders.is_empty() && self.folder_problems.is_empty() && self.stages.is_empty()
    }

    /// What others see of it.
    pub(super) fn snapshot(&self, name: &str) -> Model {
        let on_disk = self.folders.keys().map(|number| (*number, Standing::OnDisk));
        let staged = self.stages.iter().map(|(number, stage)| (*number, stage.standing()));
        let arm = |(label, number): (&String, &u64)| {
            let version = Arc::clone(&self.resident(*number)?.version);
            Some(Arm { label: label.as_str().into(), version, percent: self.policy.percent(label) })
        };
        let salt = self.policy.salt.as_deref().unwrap_or(name);
        Model {
            versions: on_disk.chain(staged).collect(),
            traffic: Traffic::new(self.now.iter().filter_map(arm).collect(), salt).map(Arc::new),
            policy: self.policy.clone(),
            revision: self.revision,
            problems: self.folder_problems.iter().chain(&self.refused).cloned().chain(self.missing()).collect(),
            starting: !self.started,
        }
    }

    /// What the policy names that can't answer.
    fn missing(&self) -> impl Iterator<Item = String> {
        self.policy.labels.iter().filter_map(|(label, labelled)| {
            let Target::Number(number) = labelled.version else { return None };
            match self.stages.get(&number) {
                Some(Stage::Preparing(_) | Stage::Resident(_)) => None,
                Some(Stage::Rejected { .. }) => Some(format!("{label} is version {number}, which was rejected")),
                None => Some(format!("{label} is version {number}, which is not there")),
            }
        })
    }

    /// A version is in memory.
    pub(super) fn has_proved(&mut self, number: u64, version: Version, took: Duration) {
        let resident = Resident { version: Arc::new(version), since: SystemTime::now(), took };
        self.stages.insert(number, Stage::Resident(resident));
    }

    /// What is on disk, in words.
    pub(super) fn available(&self) -> String {
        let all: BTreeSet<u64> = self.folders.keys().chain(self.stages.keys()).copied().collect();
        let all: Vec<String> = all.iter().rev().map(|number| format!("version {number}")).collect();
        if all.is_empty() { "no version".into() } else { all.join(", ") }
    }
}

impl Stage {
    fn standing(&self) -> Standing {
        match self {
            Self::Preparing(_) => Standing::Preparing,
            Self::Resident(resident) => Standing::Resident(resident.clone()),
            Self::Rejected { problems, .. } => Standing::Rejected(problems.clone()),
        }
    }
}
