//! Looks at canaries and says which one is to be taken back, and why. It takes
//! nothing back itself.

mod decision;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Trials, answers::embedding, comparison::Compared};
use crate::{
    model::Version,
    registry::{Broken, CANARY, GuardLimits, Model, Registry},
};

pub use decision::{Divergence, Evidence, broken};

/// Looks that follow each other sooner than this count as one: the next second's
/// figures are what may say something else.
const LEAST_BETWEEN: Duration = Duration::from_millis(500);

/// Watches over canaries. Somebody has it look once a second.
pub struct Guard {
    trials: Trials,
    /// By the model's name.
    streaks: BTreeMap<String, Streak>,
}

/// A canary that broke its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The model.
    pub model: String,
    /// The canary's number.
    pub version: u64,
    /// Which limit, and the figures.
    pub broken: Broken,
}

/// How many looks in a row found the same canary beyond a limit.
struct Streak {
    version: u64,
    looks: u32,
    last: Duration,
}

impl Guard {
    /// Over what these trials see.
    pub fn new(trials: Trials) -> Self {
        Self { trials, streaks: BTreeMap::new() }
    }

    /// The canaries that broke a limit, the same or another one, in as many looks in a
    /// row as theirs want. To be called once a second.
    pub fn look(&mut self, registry: &Registry) -> Vec<Breach> {
        self.look_at(registry, self.trials.now())
    }

    fn look_at(&mut self, registry: &Registry, at: Duration) -> Vec<Breach> {
        let models = registry.models();
        self.streaks.retain(|model, _| models.contains_key(model));
        models.iter().filter_map(|(name, model)| self.look_at_one(name, model, at)).collect()
    }

    fn look_at_one(&mut self, name: &str, model: &Model, at: Duration) -> Option<Breach> {
        let limits = &model.policy.guard;
        let found = canary(model).and_then(|(stable, canary)| {
            let evidence = self.evidence([stable, canary], limits, at)?;
            Some((canary.manifest.version, broken(limits, &evidence)?))
        });
        let Some((version, broken)) = found else {
            self.streaks.remove(name);
            return None;
        };
        let begun = || Streak { version, looks: 0, last: Duration::ZERO };
        let streak = self.streaks.entry(name.to_owned()).or_insert_with(begun);
        if streak.version != version {
            *streak = begun();
        }
        if !streak.counts(at) || streak.looks < limits.looks {
            return None;
        }
        // It has said so; who is still there after as many looks more is told of again.
        self.streaks.remove(name);
        Some(Breach { model: name.to_owned(), version, broken })
    }

    /// `None` where nothing was counted of both versions yet.
    fn evidence(&self, [stable, canary]: [&Arc<Version>; 2], limits: &GuardLimits, at: Duration) -> Option<Evidence> {
        let seen = |version| self.trials.seen_at(version, at, limits.window);
        let compared = self.trials.comparisons(&stable.manifest.model);
        Some(Evidence {
            canary: seen(canary)?,
            stable: seen(stable)?,
            cost_ratio: cost_ratio(&compared, stable, canary),
            divergence: divergence(&compared, stable, canary),
        })
    }
}

impl Streak {
    /// Counts a look at `at`; whether it was one.
    fn counts(&mut self, at: Duration) -> bool {
        let counts = self.looks == 0 || at.saturating_sub(self.last) >= LEAST_BETWEEN;
        if counts {
            self.looks += 1;
            self.last = at;
        }
        counts
    }
}

/// The stable version and the canary beside it.
fn canary(model: &Model) -> Option<(&Arc<Version>, &Arc<Version>)> {
    let traffic = model.traffic.as_ref()?;
    let (stable, canary) = (&traffic.arms().first()?.version, &traffic.arm(CANARY)?.version);
    (!Arc::ptr_eq(stable, canary)).then_some((stable, canary))
}

/// What a pass of the same rows costs, the canary's by the stable one's, as far as both
/// were timed side by side.
fn cost_ratio(compared: &[Compared], stable: &Version, canary: &Version) -> Option<f64> {
    let numbers = (stable.manifest.version, canary.manifest.version);
    compared.iter().find(|head| (head.live, head.other) == numbers)?.cost_ratio
}

/// The head that differs most. An embedding is left out: each training finds another
/// one, and what is near in it stays near.
fn divergence(compared: &[Compared], stable: &Version, canary: &Version) -> Option<Divergence> {
    let numbers = (stable.manifest.version, canary.manifest.version);
    let place = embedding(&stable.manifest).map(|group| group.name());
    let heads = compared.iter().filter(|head| (head.live, head.other) == numbers && Some(head.head.as_str()) != place);
    let relative = |head: &Compared| Divergence {
        head: head.head.clone(),
        relative: head.figures.relative.unwrap_or(f64::INFINITY),
        rows: head.figures.rows as u64,
    };
    heads.map(relative).max_by(|one, other| one.relative.total_cmp(&other.relative))
}

#[cfg(test)]
mod tests;
