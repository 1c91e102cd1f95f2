//! Versions on their way into memory: as many at a time as there may be, each on a
//! thread of its own, and what becomes of each.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{
    OrderError,
    kept::{Preparing, Stage},
    prepare::{Haste, Prepared},
    work::Work,
};
use crate::{
    model::{SIGNATURE, Version},
    registry::events::EventKind,
};

/// Preparations at a time: each needs the version's memory twice, and a core.
const AT_ONCE: usize = 2;

/// How long a preparation may run on what nobody else wants, before it is begun once
/// more with a share of its own: on cores that are never idle it gets nowhere.
const UNHURRIED: Duration = Duration::from_secs(10);

impl Work {
    /// Starts preparations, as many as there may be.
    pub(super) fn start_preparations(&mut self) {
        let running = |stage: &Stage| matches!(stage, Stage::Preparing(Preparing { since: Some(_), .. }));
        let mut free = AT_ONCE.saturating_sub(
            self.models.values().flat_map(|kept| kept.stages.values()).filter(|stage| running(stage)).count(),
        );
        let waiting: Vec<(String, u64)> = self
            .models
            .iter()
            .flat_map(|(name, kept)| kept.stages.iter().rev().map(move |(number, stage)| (name, number, stage)))
            .filter(|(.., stage)| matches!(stage, Stage::Preparing(Preparing { since: None, .. })))
            .map(|(name, number, _)| (name.clone(), *number))
            .collect();
        for (name, number) in waiting {
            if free == 0 {
                return;
            }
            free -= 1;
            self.start_preparation(&name, number);
        }
    }

    fn start_preparation(&mut self, name: &str, number: u64) {
        self.attempts += 1;
        let attempt = self.attempts;
        let Some(kept) = self.models.get_mut(name) else { return };
        // One that was rejected just now may have had this one begun.
        let Some(Stage::Preparing(preparing @ Preparing { since: None, .. })) = kept.stages.get_mut(&number) else {
            return;
        };
        let Some(found) = kept.folders.get(&number) else {
            return self.rejected(name, number, vec!["the version's folder is gone".into()]);
        };
        let haste = if kept.now.is_empty() { Haste::Great } else { Haste::None };
        preparing.attempt = attempt;
        preparing.since = Some(Instant::now());
        preparing.print = found.print.clone();
        preparing.hurried = haste == Haste::Great;
        let started = self.keeping.preparation.start(found.folder.clone(), attempt, haste, self.told.clone());
        self.tell(name, Some(number), EventKind::Preparing, "being prepared".into());
        if let Err(error) = started {
            self.rejected(name, number, vec![format!("the system refused a thread to prepare it: {error}")]);
        }
    }

    /// Begins those once more that don't get on. A thread that lets all others go first
    /// can't be told otherwise; whichever comes first counts.
    pub(super) fn hurry(&mut self) {
        for (name, kept) in &mut self.models {
            for (number, stage) in &mut kept.stages {
                let Stage::Preparing(Preparing { attempt, since: Some(since), hurried, .. }) = stage else { continue };
                let Some(found) = kept.folders.get(number).filter(|_| !*hurried && since.elapsed() > UNHURRIED) else {
                    continue;
                };
                *hurried = true;
                let started =
                    self.keeping.preparation.start(found.folder.clone(), *attempt, Haste::Little, self.told.clone());
                info!(model = name, version = number, ?started, "the cores are busy: the preparation gets a share");
            }
        }
    }

    pub(super) fn prepared(&mut self, prepared: Prepared) {
        let Prepared { model, version, attempt, outcome, took } = prepared;
        let Some(kept) = self.models.get_mut(&model) else { return };
        let is_awaited =
            matches!(kept.stages.get(&version), Some(Stage::Preparing(preparing)) if preparing.attempt == attempt);
        if !is_awaited {
            return;
        }
        match outcome {
            Ok(ready) => self.proved(&model, version, ready, took),
            Err(problems) => self.rejected(&model, version, problems),
        }
    }

    fn proved(&mut self, name: &str, number: u64, version: Version, took: Duration) {
        let Some(kept) = self.models.get_mut(name) else { return };
        let (golden, digest) = (version.proved_by, version.digest.get(..12).unwrap_or_default().to_owned());
        let signed = version.signed.as_ref().map(|signed| format!(", signed by {}", signed.key)).unwrap_or_default();
        let waiters = match kept.stages.remove(&number) {
            Some(Stage::Preparing(preparing)) => preparing.waiters,
            Some(Stage::Resident(_) | Stage::Rejected { .. }) | None => Vec::new(),
        };
        kept.has_proved(number, version, took);
        self.keeping.metrics.loaded(name, took);
        let message = format!("proved itself by {golden} golden rows in {took:.1?}, digest {digest}{signed}");
        self.tell(name, Some(number), EventKind::Ready, message);
        self.settle(name);
        for waiter in waiters {
            let _ = waiter.send(Ok(()));
        }
    }

    /// A version stays out, for these reasons.
    pub(super) fn rejected(&mut self, name: &str, number: u64, problems: Vec<String>) {
        let Some(kept) = self.models.get_mut(name) else { return };
        let Preparing { waiters, print, .. } = match kept.stages.remove(&number) {
            Some(Stage::Preparing(preparing)) => preparing,
            Some(Stage::Resident(_) | Stage::Rejected { .. }) | None => Preparing::default(),
        };
        match kept.folders.get(&number) {
            // It was changed meanwhile: what was wrong may be right now.
            Some(found) if found.print != print => {
                kept.stages.insert(number, Stage::Preparing(Preparing { waiters, ..Preparing::default() }));
                return self.settle(name);
            }
            Some(_) => drop(kept.stages.insert(number, Stage::Rejected { problems: problems.clone(), print })),
            // What is gone leaves nothing behind.
            None => {}
        }
        kept.loaded.remove(&number);
        for problem in &problems {
            warn!(model = name, version = number, problem, "version rejected");
        }
        self.keeping.metrics.load_failed(name, reason(&problems));
        self.tell(name, Some(number), EventKind::Rejected, problems.join("; "));
        self.settle(name);
        for waiter in waiters {
            let problems = problems.clone();
            let _ = waiter.send(Err(OrderError::Rejected { model: name.to_owned(), version: number, problems }));
        }
    }

    /// Preparations that take too long. Their threads can't be stopped; what they bring
    /// is dropped.
    pub(super) fn give_up_late(&mut self) {
        let most = self.keeping.prepare_timeout;
        let is_late = |stage: &Stage| matches!(stage, Stage::Preparing(Preparing { since: Some(since), .. }) if since.elapsed() > most);
        let late: Vec<(String, u64)> = self
            .models
            .iter()
            .flat_map(|(name, kept)| kept.stages.iter().map(move |(number, stage)| (name, number, stage)))
            .filter(|(.., stage)| is_late(stage))
            .map(|(name, number, _)| (name.clone(), *number))
            .collect();
        for (name, number) in late {
            self.rejected(
                &name,
                number,
                vec![format!("{TIMEOUT}: preparing it took longer than {most:?} and was given up")],
            );
        }
    }
}

/// How the problem of a preparation that was given up begins.
const TIMEOUT: &str = "timeout";

/// What is at fault where nothing that is known is.
const OTHER: &str = "other";

/// The files and steps that may be at fault.
pub(super) const REASONS: [&str; 8] =
    [SIGNATURE, "manifest.json", "model.pt", "model.safetensors", "golden.jsonl", "warm-up", TIMEOUT, OTHER];

/// The file or the step at fault.
fn reason(problems: &[String]) -> &'static str {
    let first = problems.first().map(String::as_str).unwrap_or_default();
    REASONS.into_iter().find(|known| first.starts_with(known)).unwrap_or(OTHER)
}
