//! What operators and the guard want.

use super::{
    NewTraffic, OrderError,
    commands::{Answer, Order, Source, WayBack, Wish},
    kept::{Kept, Preparing, Stage},
    work::Work,
};
use crate::registry::{
    events::EventKind,
    policy::{Broken, CANARY, Policy, STABLE, history::Change},
};

impl Work {
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Load { model, version, answer } => self.load(&model, version, answer),
            Order::Unload { model, version, answer } => self.unload(&model, version, answer),
            Order::SetTraffic { traffic, by, answer } => self.set_traffic(traffic, by, answer),
            Order::RollBack { model, by, answer } => self.roll_back(&model, by, answer),
            Order::TakeBack { model, version, broken } => self.take_back(&model, version, broken),
            Order::History { model, answer } => drop(answer.send(self.changes(&model))),
        }
    }

    fn load(&mut self, name: &str, wanted: Option<u64>, answer: Answer<()>) {
        // What was copied a moment ago is there.
        self.look();
        let kept = match self.known(name) {
            Ok(kept) => kept,
            Err(unknown) => return drop(answer.send(Err(unknown))),
        };
        // No version has the number 0.
        let number = wanted.or_else(|| kept.folders.keys().next_back().copied()).unwrap_or_default();
        if kept.resident(number).is_none() && !kept.folders.contains_key(&number) {
            let unknown =
                OrderError::UnknownVersion { model: name.to_owned(), version: number, available: kept.available() };
            return drop(answer.send(Err(unknown)));
        }
        kept.loaded.insert(number);
        for waiter in kept.unloaded.remove(&number).unwrap_or_default() {
            let _ = waiter.send(Err(OrderError::Cancelled { by: "a load".into() }));
        }
        match kept.stages.get_mut(&number) {
            Some(Stage::Resident(_)) => drop(answer.send(Ok(()))),
            Some(Stage::Preparing(preparing)) => preparing.waiters.push(answer),
            Some(Stage::Rejected { .. }) | None => {
                let waiters = vec![answer];
                kept.stages.insert(number, Stage::Preparing(Preparing { waiters, ..Preparing::default() }));
            }
        }
        self.settle(name);
    }

    fn unload(&mut self, name: &str, number: u64, answer: Answer<()>) {
        let kept = match self.known(name) {
            Ok(kept) => kept,
            Err(unknown) => return drop(answer.send(Err(unknown))),
        };
        let in_use = |label: String| OrderError::InUse { model: name.to_owned(), version: number, label };
        if let Some(label) = kept.label_of(number) {
            return drop(answer.send(Err(in_use(label))));
        }
        if kept.now.get(STABLE) == Some(&number) && !kept.has_another_than(number) {
            return drop(answer.send(Err(in_use(STABLE.into()))));
        }
        kept.loaded.remove(&number);
        if kept.wish.as_ref().is_some_and(|wish| wish.policy.numbers().any(|wished| wished == number)) {
            kept.overtaken("an unload");
        }
        match kept.stages.remove(&number) {
            Some(Stage::Preparing(preparing)) => {
                for waiter in preparing.waiters {
                    let _ = waiter.send(Err(OrderError::Cancelled { by: "an unload".into() }));
                }
                self.tell(name, Some(number), EventKind::Cancelled, "its preparation was given up: an unload".into());
            }
            Some(stage @ Stage::Resident(_)) => drop(kept.stages.insert(number, stage)),
            Some(Stage::Rejected { .. }) => {}
            None if kept.folders.contains_key(&number) => {}
            None => {
                let unknown =
                    OrderError::UnknownVersion { model: name.to_owned(), version: number, available: kept.available() };
                return drop(answer.send(Err(unknown)));
            }
        }
        if let Some(kept) = self.models.get_mut(name) {
            kept.unloaded.entry(number).or_default().push(answer);
        }
        self.settle(name);
    }

    fn set_traffic(&mut self, traffic: NewTraffic, by: String, answer: Answer<Change>) {
        self.look();
        let NewTraffic { model, policy, from, reason } = traffic;
        let kept = match self.known(&model) {
            Ok(kept) => kept,
            Err(unknown) => return drop(answer.send(Err(unknown))),
        };
        if let Some(wanted) = from.filter(|from| *from != kept.revision) {
            let found = kept.revision;
            return drop(answer.send(Err(OrderError::Superseded { model, found, wanted })));
        }
        let wish = Wish { policy, by, reason, way_back: None, source: Source::Order(answer) };
        self.wish(&model, wish);
    }

    fn roll_back(&mut self, name: &str, by: String, answer: Answer<Change>) {
        // What was edited by hand a moment ago is part of the history.
        self.look();
        if let Err(unknown) = self.known(name) {
            return drop(answer.send(Err(unknown)));
        }
        let target = self.history.of(name).last().and_then(|last| self.history.revision(name, last.before?));
        let Some(target) = target else {
            return drop(answer.send(Err(OrderError::NoWayBack { model: name.to_owned() })));
        };
        let policy = Kept::fixed(&target.policy, &target.versions);
        let reason = format!("back to revision {}", target.revision);
        let way_back = Some(WayBack(target.before));
        self.wish(name, Wish { policy, by, reason, way_back, source: Source::Order(answer) });
    }

    fn take_back(&mut self, name: &str, number: u64, broken: Broken) {
        self.look();
        let Ok(kept) = self.known(name) else { return };
        if kept.now.get(CANARY) != Some(&number) {
            return;
        }
        let policy = without_canary(&kept.policy);
        let Broken { limit, reason } = broken;
        self.keeping.metrics.canary_taken_back(name, limit.key());
        self.tell(name, Some(number), EventKind::TakenBack, reason.clone());
        self.wish(name, Wish { policy, by: "guard".into(), reason, way_back: None, source: Source::Guard });
    }

    /// Takes a wish over; what was wished before is overtaken.
    pub(super) fn wish(&mut self, name: &str, wish: Wish) {
        let problems = wish.policy.problems();
        if !problems.is_empty() {
            return self.refuse(name, wish, OrderError::BadPolicy { problems });
        }
        let Some(kept) = self.models.get_mut(name) else { return };
        kept.overtaken("a later change");
        // Whoever names a version has it examined again; the guard only takes names away.
        for number in wish.policy.numbers().filter(|_| !matches!(wish.source, Source::Guard)) {
            if matches!(kept.stages.get(&number), Some(Stage::Rejected { .. })) {
                kept.stages.remove(&number);
            }
        }
        kept.wish = Some(wish);
        self.settle(name);
    }

    fn changes(&mut self, name: &str) -> Result<Vec<Change>, OrderError> {
        self.known(name)?;
        Ok(self.history.of(name).iter().rev().cloned().collect())
    }

    fn known(&mut self, name: &str) -> Result<&mut Kept, OrderError> {
        if !self.models.contains_key(name) {
            let all: Vec<&str> = self.models.keys().map(String::as_str).collect();
            let available = if all.is_empty() { "no model".into() } else { all.join(", ") };
            return Err(OrderError::UnknownModel { model: crate::error::shown(name), available });
        }
        Ok(self.models.entry(name.to_owned()).or_default())
    }
}

/// The policy without its canary, whose share the others leave to `stable`.
fn without_canary(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.labels.remove(CANARY);
    if let Some(stable) = policy.labels.get_mut(STABLE) {
        stable.percent = None;
    }
    policy
}
