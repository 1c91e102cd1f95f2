//! Brings a model to what is wanted of it, as far as that is possible now.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::{error, warn};

use super::{
    OrderError,
    commands::{Answer, Source, WayBack, Wish},
    kept::{Assignment, Kept, Preparing, Stage},
    work::Work,
};
use crate::registry::{
    events::EventKind,
    policy::{Policy, STABLE, history::Change},
};

/// Who makes the changes that nobody asked for.
const BY_ITSELF: &str = "souk";

impl Work {
    /// Follows what was wished, has the right versions answer, brings into memory what
    /// is needed and retires what is not. To be called after every change.
    pub(super) fn settle(&mut self, name: &str) {
        self.settle_wish(name);
        self.assign(name, None);
        self.queue_preparations(name);
        let told = self.settle_unloaded(name);
        self.retire_unneeded(name);
        self.finish_start(name);
        self.publish(name);
        // Whoever looks once he was told sees it.
        for (waiter, outcome) in told {
            let _ = waiter.send(outcome);
        }
        self.start_preparations();
    }

    /// Follows a wish whose versions are in memory; refuses one whose versions can't be.
    fn settle_wish(&mut self, name: &str) {
        let Some(kept) = self.models.get_mut(name) else { return };
        let Some(wish) = kept.wish.take() else { return };
        if matches!(wish.source, Source::Guard) {
            // It wants one version less, and nobody else.
            return self.follow(name, wish);
        }
        match fate(name, kept, &wish) {
            Fate::Waits => kept.wish = Some(wish),
            Fate::Refused(refusal) => self.refuse(name, wish, refusal),
            Fate::Followed => self.follow(name, wish),
        }
    }

    fn follow(&mut self, name: &str, wish: Wish) {
        let Wish { policy, by, reason, way_back, source } = wish;
        let before = self.policies.insert(name.to_owned(), policy.clone());
        if !matches!(source, Source::File)
            && let Err(refusal) = self.write_policies()
        {
            match source {
                Source::Guard => error!(model = name, %refusal, "what follows holds until a restart only"),
                source => {
                    let _ = match before {
                        Some(before) => self.policies.insert(name.to_owned(), before),
                        None => self.policies.remove(name),
                    };
                    return self.refuse(name, Wish { policy, by, reason, way_back, source }, refusal);
                }
            }
        }
        let Some(kept) = self.models.get_mut(name) else { return };
        kept.policy = policy;
        kept.refused.clear();
        // Whoever names a version wants it, also where it was unloaded before.
        let numbers: Vec<u64> = kept.policy.numbers().collect();
        for waiter in numbers.iter().filter_map(|number| kept.unloaded.remove(number)).flatten() {
            let _ = waiter.send(Err(OrderError::Cancelled { by: "a change of who answers".into() }));
        }
        let change = self.assign(name, Some(Made { by, reason, way_back }));
        if let (Source::Order(answer), Some(change)) = (source, change) {
            self.publish(name);
            let _ = answer.send(Ok(change));
        }
    }

    /// The old policy stays.
    pub(super) fn refuse(&mut self, name: &str, wish: Wish, refusal: OrderError) {
        self.tell(name, None, EventKind::Refused, format!("a change by {} was refused: {refusal}", wish.by));
        match wish.source {
            Source::Order(answer) => drop(answer.send(Err(refusal))),
            Source::File | Source::Guard => {
                let Some(kept) = self.models.get_mut(name) else { return };
                kept.refused = vec![refusal.to_string()];
            }
        }
    }

    /// Has those answer who are to answer. Without `made` it is recorded only where that
    /// is somebody else.
    fn assign(&mut self, name: &str, made: Option<Made>) -> Option<Change> {
        let kept = self.models.get_mut(name)?;
        let assignment = kept.assignment();
        let is_other = assignment != kept.now;
        if !is_other && made.is_none() {
            return None;
        }
        if is_other && kept.recorded {
            kept.before = std::mem::take(&mut kept.now);
        }
        kept.now = assignment;
        if made.is_none() && !kept.recorded {
            // Labels come one by one at the start.
            return None;
        }
        kept.recorded = true;
        let by_itself = made.is_none();
        let made = made.unwrap_or_else(|| Made::by_itself("the newest version answers"));
        Some(self.record(name, made, by_itself))
    }

    fn record(&mut self, name: &str, made: Made, by_itself: bool) -> Change {
        let Made { by, reason, way_back } = made;
        let (policy, versions, last) = self.models.get(name).map_or_else(
            || (Policy::default(), BTreeMap::new(), 0),
            |kept| (kept.policy.clone(), kept.now.clone(), kept.revision),
        );
        let before = way_back.map_or((last > 0).then_some(last), |WayBack(before)| before);
        let change = Change {
            model: name.to_owned(),
            revision: last + 1,
            before,
            at: Timestamp::now(),
            by,
            reason,
            policy,
            versions,
        };
        if let Some(kept) = self.models.get_mut(name) {
            kept.revision = change.revision;
        }
        // What happens by itself is kept with the next change that somebody makes: serving
        // alone must not write into the models' folder.
        let kept = if by_itself { self.history.note(change.clone()) } else { self.history.append(change.clone()) };
        if let Err(error) = kept {
            warn!(model = name, %error, "the history of policies can't be written; it holds until a restart only");
        }
        self.tell(name, change.versions.get(STABLE).copied(), EventKind::Traffic, change.to_string());
        change
    }

    fn queue_preparations(&mut self, name: &str) {
        let Some(kept) = self.models.get_mut(name) else { return };
        for number in kept.to_prepare() {
            kept.stages.insert(number, Stage::Preparing(Preparing::default()));
        }
    }

    /// Those who wait for a version to go, once it answers nobody any more or there is
    /// nobody else, with what they are to be told.
    fn settle_unloaded(&mut self, name: &str) -> Vec<(Answer<()>, Result<(), OrderError>)> {
        let Some(kept) = self.models.get_mut(name) else { return Vec::new() };
        let someone_comes = kept.stages.values().any(|stage| matches!(stage, Stage::Preparing(_)));
        let answering: Vec<(u64, String)> = kept.now.iter().map(|(label, number)| (*number, label.clone())).collect();
        let (mut stays, mut told) = (Vec::new(), Vec::new());
        for (number, waiters) in &mut kept.unloaded {
            let outcome = match answering.iter().find(|(answering, _)| answering == number) {
                None => Ok(()),
                Some(_) if someone_comes => continue,
                Some((_, label)) => {
                    stays.push(*number);
                    Err(OrderError::InUse { model: name.to_owned(), version: *number, label: label.clone() })
                }
            };
            told.extend(waiters.drain(..).map(|waiter| (waiter, outcome.clone())));
        }
        stays.iter().for_each(|number| drop(kept.unloaded.remove(number)));
        told
    }

    fn retire_unneeded(&mut self, name: &str) {
        let Some(kept) = self.models.get_mut(name) else { return };
        let mut versions = Vec::new();
        for number in kept.to_retire() {
            if let Some(Stage::Resident(resident)) = kept.stages.remove(&number) {
                versions.push(resident.version);
            }
        }
        versions.into_iter().for_each(|version| self.retire(name, version));
    }

    /// Once it is clear who answers at the start, that is compared with the history.
    fn finish_start(&mut self, name: &str) {
        let Some(kept) = self.models.get_mut(name) else { return };
        if !kept.started && kept.is_settled() {
            kept.started = true;
            if !kept.now.contains_key(STABLE) {
                error!(model = name, "no version answers: the model's service is NOT_SERVING");
            }
        }
        let under_way = kept.stages.values().any(|stage| matches!(stage, Stage::Preparing(_)));
        if kept.recorded || under_way || kept.now.is_empty() {
            return;
        }
        kept.recorded = true;
        let last = self.history.of(name).last();
        let is_last = last.is_some_and(|last| last.policy == kept.policy && last.versions == kept.now);
        if let Some(before) = last.and_then(|last| self.history.revision(name, last.before?)).filter(|_| is_last) {
            kept.before = before.versions.clone();
            self.queue_preparations(name);
        }
        if !is_last {
            self.record(name, Made::by_itself("the server started"), true);
        }
    }

    /// Has requests and operators see the model as it is now.
    pub(super) fn publish(&mut self, name: &str) {
        let Some(kept) = self.models.get(name) else { return };
        if kept.is_gone() {
            self.models.remove(name);
            return self.keeping.registry.forget(name);
        }
        self.keeping.registry.publish(name, kept.snapshot(name));
    }
}

/// Who made a change, and why.
struct Made {
    by: String,
    reason: String,
    way_back: Option<WayBack>,
}

impl Made {
    fn by_itself(reason: &str) -> Self {
        Self { by: BY_ITSELF.into(), reason: reason.into(), way_back: None }
    }
}

/// What becomes of a wish now.
enum Fate {
    Followed,
    Waits,
    Refused(OrderError),
}

fn fate(name: &str, kept: &Kept, wish: &Wish) -> Fate {
    let mut fate = Fate::Followed;
    for number in wish.policy.numbers() {
        match kept.stages.get(&number) {
            Some(Stage::Resident(_)) => {}
            Some(Stage::Preparing(_)) => fate = Fate::Waits,
            Some(Stage::Rejected { problems, .. }) => {
                let problems = problems.clone();
                return Fate::Refused(OrderError::Rejected { model: name.to_owned(), version: number, problems });
            }
            None if kept.folders.contains_key(&number) => fate = Fate::Waits,
            None => {
                let available = kept.available();
                return Fate::Refused(OrderError::UnknownVersion {
                    model: name.to_owned(),
                    version: number,
                    available,
                });
            }
        }
    }
    fate
}

impl Kept {
    /// Drops a wish that somebody else overtook.
    pub(super) fn overtaken(&mut self, by: &str) {
        if let Some(Wish { source: Source::Order(answer), .. }) = self.wish.take() {
            let _ = answer.send(Err(OrderError::Cancelled { by: by.to_owned() }));
        }
    }

    /// The policy that asks for just those who answer in `versions`.
    pub(super) fn fixed(policy: &Policy, versions: &Assignment) -> Policy {
        let mut fixed = policy.clone();
        for (label, labelled) in &mut fixed.labels {
            if let Some(number) = versions.get(label) {
                labelled.version = crate::registry::policy::Target::Number(*number);
            }
        }
        fixed
    }
}
