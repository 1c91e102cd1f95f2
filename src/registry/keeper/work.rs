//! The keeper's thread: takes one thing after the other, looks at the disk now and
//! then, and starts what takes long on threads of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::{
    Keeping,
    commands::Command,
    fingerprint::Fingerprint,
    kept::{Found, Kept, Stage},
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

/// How long the folder must be quiet after the system told of a change: files are
/// copied one after the other.
const QUIET: Duration = Duration::from_millis(150);

/// How often it is looked at preparations that take too long, however long `poll` is.
const AT_LEAST: Duration = Duration::from_secs(1);

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
    /// How many preparations were begun.
    pub(super) attempts: u64,
    last_look: Instant,
    next_look: Instant,
    /// Kept for what it tells.
    watch: Option<Watch>,
    /// Until all models that were there at the start have somebody who answers, or nobody.
    starting: bool,
    /// When the thread began.
    begun: Instant,
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
            starting: true,
            begun: Instant::now(),
            root_problem: None,
        }
    }

    /// Runs for as long as the process.
    pub(super) fn run(mut self) {
        self.begin();
        loop {
            match self.commands.recv_timeout(self.pause()) {
                Ok(Command::Order(order)) => self.order(*order),
                Ok(Command::Prepared(prepared)) => self.prepared(*prepared),
                Ok(Command::Changed) => self.look_soon(),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.next_look {
                self.look();
            }
            self.hurry();
            self.give_up_late();
            self.free_retired();
            self.announce_start();
        }
    }

    fn announce_start(&mut self) {
        if self.starting && self.models.values().all(|kept| kept.started) {
            self.starting = false;
            info!(took_ms = self.begun.elapsed().as_millis(), "all models are prepared");
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
        until_look.min(if self.retired.is_empty() { AT_LEAST } else { RETIRING })
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
        let is_unreadable = found.is_empty() && !problems.is_empty();
        kept.folder_problems = problems;
        if is_unreadable {
            // What was there a moment ago is not gone because it can't be seen now.
            return Some(name);
        }
        // What was rejected is looked at again once it was changed, and forgotten once it is gone.
        kept.stages.retain(|number, stage| match stage {
            Stage::Rejected { print, .. } => found.get(number).is_some_and(|found| found.print == *print),
            Stage::Preparing(_) | Stage::Resident(_) => true,
        });
        kept.unloaded.retain(|number, answers| found.contains_key(number) || !answers.is_empty());
        kept.folders = found;
        Some(name)
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
        let why = message.as_str();
        match kind {
            // Each of its problems has a line of its own.
            EventKind::Rejected => {}
            EventKind::Preparing => info!(model, version, "version is being prepared"),
            EventKind::Ready => info!(model, version, why, "version can answer"),
            EventKind::Cancelled => info!(model, version, why, "preparation given up"),
            EventKind::Traffic => info!(model, why, "who answers has changed"),
            EventKind::Refused => warn!(model, why, "change of who answers refused"),
            EventKind::TakenBack => error!(model, version, why, "canary taken back"),
            EventKind::Retired => info!(model, version, "version left the memory"),
        }
        self.keeping.events.tell(model, version, kind, message);
    }
}
