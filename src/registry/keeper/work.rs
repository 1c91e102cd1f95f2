//! The keeper's thread: takes one thing after the other, looks at the disk now and
//! then, and starts what takes long on threads of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::{
    Keeping, OrderError,
    commands::Command,
    fingerprint::Fingerprint,
    kept::{Found, Kept, Preparing, Stage},
    prepare::Prepared,
    watch::Watch,
};
use crate::{
    model::Version,
    registry::{
        events::EventKind,
        policy::{
            file::{Policies, PolicyFile},
            history::History,
        },
        scan::{ModelFolder, scan},
    },
};

/// Preparations at a time: each needs the version's memory twice, and a core.
const AT_ONCE: usize = 2;

/// How long the folder must be quiet after the system told of a change: files are
/// copied one after the other.
const QUIET: Duration = Duration::from_millis(150);

/// How often it is looked whether a retired version's last request is done.
const RETIRING: Duration = Duration::from_millis(20);

/// What the thread owns.
pub(super) struct Work {
    pub(super) keeping: Keeping,
    pub(super) told: mpsc::Sender<Command>,
    commands: mpsc::Receiver<Command>,
    pub(super) models: BTreeMap<String, Kept>,
    pub(super) file: PolicyFile,
    /// The policy file as it was read or written last.
    pub(super) seen: Option<Vec<u8>>,
    /// What the policy file says, or is to say.
    pub(super) policies: Policies,
    pub(super) history: History,
    /// Versions that nobody gets any more, until their last request is done.
    retired: VecDeque<(String, Arc<Version>)>,
    attempts: u64,
    last_look: Instant,
    next_look: Instant,
    /// Kept for what it tells.
    watch: Option<Watch>,
    /// Why the root could not be listed at the last look.
    root_problem: Option<String>,
}

impl Work {
    pub(super) fn new(keeping: Keeping, told: mpsc::Sender<Command>, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            file: PolicyFile::below(&keeping.root),
            history: History::read(&keeping.root),
            keeping,
            told,
            commands,
            models: BTreeMap::new(),
            seen: None,
            policies: Policies::new(),
            retired: VecDeque::new(),
            attempts: 0,
            last_look: Instant::now(),
            next_look: Instant::now(),
            watch: None,
            root_problem: None,
        }
    }

    /// Runs for as long as the process.
    pub(super) fn run(mut self) {
        self.begin();
        loop {
            match self.commands.recv_timeout(self.pause()) {
                Ok(Command::Order(order)) => self.order(order),
                Ok(Command::Prepared(prepared)) => self.prepared(prepared),
                Ok(Command::Changed) => self.look_soon(),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.next_look {
                self.look();
            }
            self.give_up_late();
            self.free_retired();
        }
    }

    /// Finds what is there, before the first order is taken.
    fn begin(&mut self) {
        self.watch = Watch::start(&self.keeping.root, self.told.clone())
            .inspect_err(|error| info!(%error, poll = ?self.keeping.poll, "the system does not tell of changes"))
            .ok();
        self.file.tidy();
        self.read_first_policies();
        self.look();
    }

    /// Once the folder is quiet, and no later than without being told.
    fn look_soon(&mut self) {
        self.next_look = (Instant::now() + QUIET).min(self.last_look + self.keeping.poll);
    }

    fn pause(&self) -> Duration {
        let until_look = self.next_look.saturating_duration_since(Instant::now());
        if self.retired.is_empty() { until_look } else { until_look.min(RETIRING) }
    }

    /// Looks at the disk.
    pub(super) fn look(&mut self) {
        self.last_look = Instant::now();
        self.next_look = self.last_look + self.keeping.poll;
        match scan(&self.keeping.root) {
            Ok(folders) => {
                self.root_problem = None;
                self.found(folders);
            }
            Err(error) => {
                let problem = error.to_string();
                if self.root_problem.as_ref() != Some(&problem) {
                    warn!(problem, "what is in memory serves on");
                }
                self.root_problem = Some(problem);
            }
        }
        self.read_policies();
    }

    fn found(&mut self, folders: Vec<ModelFolder>) {
        let mut folders: BTreeMap<String, ModelFolder> =
            folders.into_iter().map(|folder| (folder.name.clone(), folder)).collect();
        let known: Vec<String> = self.models.keys().filter(|name| !folders.contains_key(*name)).cloned().collect();
        let gone = |name: String| (name.clone(), ModelFolder { name, versions: Vec::new(), problems: Vec::new() });
        folders.extend(known.into_iter().map(gone));
        // All of them first, so that nobody is ready before the others are known.
        let changed: Vec<String> = folders.into_values().filter_map(|folder| self.found_model(folder)).collect();
        changed.iter().for_each(|name| self.publish(name));
        changed.iter().for_each(|name| self.settle(name));
    }

    /// Takes in what is on disk of one model; its name, where that is news.
    fn found_model(&mut self, folder: ModelFolder) -> Option<String> {
        let ModelFolder { name, versions, problems } = folder;
        let is_new = !self.models.contains_key(&name);
        if is_new {
            self.know(&name);
        }
        let kept = self.models.get_mut(&name)?;
        let found: BTreeMap<u64, Found> = versions
            .into_iter()
            .filter(|folder| !folder.is_unfinished())
            .map(|folder| (folder.version, Found { print: Fingerprint::of(&folder), folder }))
            .collect();
        let same = |one: &BTreeMap<u64, Found>, other: &BTreeMap<u64, Found>| {
            one.iter()
                .map(|(number, found)| (number, &found.print))
                .eq(other.iter().map(|(number, found)| (number, &found.print)))
        };
        if !is_new && same(&found, &kept.folders) && problems == kept.folder_problems {
            return None;
        }
        if problems != kept.folder_problems {
            problems
                .iter()
                .for_each(|problem| warn!(model = name, problem, "the model's folder was not read as a whole"));
        }
        // What was rejected is looked at again once it was changed, and forgotten once it is gone.
        kept.stages.retain(|number, stage| match stage {
            Stage::Rejected { print: Some(print), .. } => found.get(number).is_some_and(|found| found.print == *print),
            Stage::Rejected { print: None, .. } | Stage::Preparing(_) | Stage::Resident(_) => true,
        });
        kept.unloaded.retain(|number, answers| found.contains_key(number) || !answers.is_empty());
        kept.folders = found;
        kept.folder_problems = problems;
        Some(name)
    }

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
        let (Some(found), Some(Stage::Preparing(preparing))) =
            (kept.folders.get(&number), kept.stages.get_mut(&number))
        else {
            return self.rejected(name, number, vec!["the version's folder is gone".into()]);
        };
        preparing.attempt = attempt;
        preparing.since = Some(Instant::now());
        let started = self.keeping.preparation.start(found.folder.clone(), attempt, self.told.clone());
        self.tell(name, Some(number), EventKind::Preparing, "being prepared".into());
        if let Err(error) = started {
            self.rejected(name, number, vec![format!("the system refused a thread to prepare it: {error}")]);
        }
    }

    fn prepared(&mut self, prepared: Prepared) {
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
        let (golden, digest) = (version.golden.len(), version.digest.get(..12).unwrap_or_default().to_owned());
        let waiters = match kept.stages.remove(&number) {
            Some(Stage::Preparing(preparing)) => preparing.waiters,
            Some(Stage::Resident(_) | Stage::Rejected { .. }) | None => Vec::new(),
        };
        kept.has_proved(number, version, took);
        self.keeping.metrics.loaded(name, took);
        let message = format!("proved itself by {golden} golden rows in {took:.1?}, digest {digest}");
        self.tell(name, Some(number), EventKind::Ready, message);
        self.settle(name);
        for waiter in waiters {
            let _ = waiter.send(Ok(()));
        }
    }

    /// A version stays out, for these reasons.
    fn rejected(&mut self, name: &str, number: u64, problems: Vec<String>) {
        let Some(kept) = self.models.get_mut(name) else { return };
        let waiters = match kept.stages.remove(&number) {
            Some(Stage::Preparing(preparing)) => preparing.waiters,
            Some(Stage::Resident(_) | Stage::Rejected { .. }) | None => Vec::new(),
        };
        // As it was found, not as it is now: what changed meanwhile is looked at again.
        let print = kept.folders.get(&number).map(|found| found.print.clone());
        kept.stages.insert(number, Stage::Rejected { problems: problems.clone(), print });
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
    fn give_up_late(&mut self) {
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

    /// Lets a version go once its last request is done.
    pub(super) fn retire(&mut self, name: &str, version: Arc<Version>) {
        self.retired.push_back((name.to_owned(), version));
    }

    /// Dropped here, since freeing weights takes longer than a request may be held up.
    fn free_retired(&mut self) {
        // Nobody can get it any more: who holds one of the two is a request under way.
        let is_free =
            |version: &Arc<Version>| Arc::strong_count(version) == 1 && Arc::strong_count(&version.engine) == 1;
        let (free, busy): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.retired).into_iter().partition(|(_, version)| is_free(version));
        self.retired = busy;
        for (name, version) in free {
            let number = version.manifest.version;
            drop(version);
            self.tell(&name, Some(number), EventKind::Retired, "left the memory".into());
        }
    }

    /// Tells the log and who listens.
    pub(super) fn tell(&self, model: &str, version: Option<u64>, kind: EventKind, message: String) {
        match kind {
            EventKind::Rejected => {}
            EventKind::Refused => warn!(model, message, "policy refused"),
            EventKind::TakenBack => error!(model, version, message, "canary taken back"),
            EventKind::Preparing | EventKind::Retired | EventKind::Cancelled => {
                info!(model, version, message, "version")
            }
            EventKind::Ready | EventKind::Traffic => info!(model, version, message, "model"),
        }
        self.keeping.events.tell(model, version, kind, message);
    }
}

/// How the problem of a preparation that was given up begins.
const TIMEOUT: &str = "timeout";

/// The file or the step at fault, of a bounded set.
fn reason(problems: &[String]) -> &'static str {
    let first = problems.first().map(String::as_str).unwrap_or_default();
    let known = ["manifest.json", "model.pt", "golden.jsonl", "warm-up", TIMEOUT];
    known.into_iter().find(|known| first.starts_with(known)).unwrap_or("other")
}
