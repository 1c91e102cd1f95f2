//! The thread that scores rows for nobody: it has what the others leave of a core.
//!
//! The thread's rounds: see who is on trial, score what waits, work the figures out
//! anew, and sleep. Nobody wakes it, so that nothing on the way of a request is a
//! system call.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing::error;

use super::{
    Shared,
    comparison::{Compared, Comparison, Pair},
    queue::{Entry, Why},
    rescore::{Reading, Rescored, rescore},
    watch::watches,
};
use crate::{
    cost::Took,
    model::{Version, only_when_idle},
    telemetry::ShadowOutcome,
};

/// How many times as long as it ran the thread rests: a twentieth of a core scores some
/// ten thousand rows a second, and more would cost a busy server's requests the copies
/// of their rows, and its caches.
const REST: u32 = 19;

/// Between rounds with work, and at most between those without: as long as a change
/// of who is on trial may go unnoticed.
const NAP: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// How often the figures are worked out anew, and how much longer than they took the
/// thread does other things.
const FRESH: Duration = Duration::from_secs(1);
const FIGURES_SHARE: u32 = 10;

/// How often recent rows are stored.
const STORE: Duration = Duration::from_secs(300);

/// Most pairs of versions that are remembered, those that were compared last.
const MOST_PAIRS: usize = 8;

/// Most entries of one round, so that figures are worked out under load too.
const MOST_ENTRIES: usize = 512;

/// What the thread owns.
pub(super) struct Shadow {
    shared: Arc<Shared>,
    entries: mpsc::Receiver<Entry>,
    comparisons: BTreeMap<Pair, Comparison>,
    /// Pairs with rows that are not in the figures yet.
    changed: BTreeSet<Pair>,
    figures_due: Duration,
    store_due: Duration,
}

/// What a round found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Work,
    Nothing,
    /// Nobody can bring more.
    End,
}

impl Shadow {
    pub(super) fn new(shared: Arc<Shared>, entries: mpsc::Receiver<Entry>) -> Self {
        let (comparisons, changed) = (BTreeMap::new(), BTreeSet::new());
        Self { shared, entries, comparisons, changed, figures_due: Duration::ZERO, store_due: STORE }
    }

    /// Rounds until nobody can bring more. To be run on a thread of its own.
    pub(super) fn run(mut self) {
        only_when_idle();
        let mut nap = NAP.0;
        loop {
            let (found, took) = Took::by(|| catch_unwind(AssertUnwindSafe(|| self.round(self.shared.now()))));
            nap = match found {
                Ok(Found::Work) => NAP.0,
                Ok(Found::Nothing) => (nap * 2).min(NAP.1),
                Ok(Found::End) => return,
                Err(_panic) => {
                    error!("the thread that compares versions panicked; it goes on");
                    NAP.1
                }
            };
            thread::sleep(nap.max(took.running * REST));
        }
    }

    /// One round at `at`.
    pub(super) fn round(&mut self, at: Duration) -> Found {
        self.count_dropped();
        self.follow();
        let (entries, found) = self.waiting();
        groups(entries).iter().for_each(|group| self.compare(group, at));
        self.work_out(at);
        if at >= self.store_due {
            self.store_due = at + STORE;
            self.shared.store_recent();
        }
        found
    }

    /// Counted here and not by requests, which would spend more on counting what is
    /// dropped than on dropping it.
    fn count_dropped(&self) {
        for (model, watch) in self.shared.watches.load().iter() {
            if let Some((version, rows)) = watch.take_dropped() {
                self.shared.metrics.shadow(model, version, ShadowOutcome::Dropped, rows);
            }
        }
    }

    /// Sees who is on trial.
    fn follow(&self) {
        let before = self.shared.watches.load();
        let now = watches(&self.shared.registry.models(), &before);
        let same = now.len() == before.len()
            && now.iter().zip(before.iter()).all(|(now, before)| now.0 == before.0 && Arc::ptr_eq(now.1, before.1));
        if !same {
            self.shared.watch(now);
        }
    }

    fn waiting(&self) -> (Vec<Entry>, Found) {
        let mut entries = Vec::new();
        while entries.len() < MOST_ENTRIES {
            match self.entries.try_recv() {
                Ok(entry) => entries.push(entry),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) if entries.is_empty() => return (entries, Found::End),
                Err(mpsc::TryRecvError::Disconnected) => break,
            }
        }
        let found = if entries.is_empty() { Found::Nothing } else { Found::Work };
        (entries, found)
    }

    /// Scores entries of one pair again and compares the answers. The versions are
    /// held no longer than that.
    fn compare(&mut self, group: &Group, at: Duration) {
        let Group { live, other, why, entries } = group;
        let pair =
            Pair { model: live.manifest.model.clone(), live: live.manifest.version, other: other.manifest.version };
        let comparison = self.comparisons.entry(pair.clone()).or_insert_with(|| Comparison::new(live, other));
        if !comparison.is_of(live, other) {
            *comparison = Comparison::new(live, other);
        }
        // A request of before midnight may be of the day before; nobody is told of it.
        let reading = Reading { frames: self.shared.frames.as_ref(), today: (self.shared.today)() };
        let counted = rescore(live, other, entries, &reading, |rescored| match rescored {
            Rescored::Row { live, other } => comparison.add(at, live, other),
            Rescored::Pass { live, other } => comparison.passed(live, other),
        });
        let scorer = match why {
            Why::Canary => live,
            Why::Shadow => other,
        };
        for (outcome, rows) in [(ShadowOutcome::Scored, counted.scored), (ShadowOutcome::Failed, counted.failed)] {
            self.shared.metrics.shadow(&pair.model, scorer.manifest.version, outcome, rows);
        }
        self.changed.insert(pair);
    }

    /// Works the figures out, where there is something new and it is time.
    fn work_out(&mut self, at: Duration) {
        if at < self.figures_due {
            return;
        }
        let began = Instant::now();
        self.forget(at);
        let mut all = BTreeMap::<String, Vec<Compared>>::new();
        let before = self.shared.compared.load();
        for (pair, comparison) in &self.comparisons {
            let known = before.get(&pair.model).into_iter().flatten();
            let known = known.filter(|known| (known.live, known.other) == (pair.live, pair.other));
            let found: Vec<Compared> = if self.changed.contains(pair) {
                comparison.compared(pair, at, SystemTime::now())
            } else {
                known.cloned().collect()
            };
            all.entry(pair.model.clone()).or_default().extend(found);
        }
        self.changed.clear();
        self.shared.compared.store(Arc::new(all));
        self.figures_due = at + FRESH.max(began.elapsed() * FIGURES_SHARE);
    }

    /// Forgets pairs that were not compared for long, and rows that are too old.
    fn forget(&mut self, at: Duration) {
        let changed = &mut self.changed;
        self.comparisons.retain(|pair, comparison| {
            if comparison.forget(at) {
                changed.insert(pair.clone());
            }
            comparison.last().is_some()
        });
        while self.comparisons.len() > MOST_PAIRS {
            let oldest = self.comparisons.iter().min_by_key(|(_, comparison)| comparison.last());
            let Some(pair) = oldest.map(|(pair, _)| pair.clone()) else { return };
            self.comparisons.remove(&pair);
        }
    }
}

/// Entries of one kind, with the versions that are compared.
struct Group {
    live: Arc<Version>,
    other: Arc<Version>,
    why: Why,
    entries: Vec<Entry>,
}

/// The entries by what is compared. Those whose versions were retired meanwhile are
/// dropped.
fn groups(entries: Vec<Entry>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for entry in entries {
        let (Some(answered), Some(scorer)) = (entry.answered.upgrade(), entry.scorer.upgrade()) else { continue };
        let why = entry.why;
        let (live, other) = match why {
            Why::Shadow => (answered, scorer),
            Why::Canary => (scorer, answered),
        };
        let same = |group: &&mut Group| {
            Arc::ptr_eq(&group.live, &live) && Arc::ptr_eq(&group.other, &other) && group.why == why
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.entries.push(entry),
            None => groups.push(Group { live, other, why, entries: vec![entry] }),
        }
    }
    groups
}
