//! Versions on trial, beside the one that answers: how a canary does, what a shadow
//! version would have answered, and when a canary has to go.
//!
//! Requests hand over what they have once their reply is made: the rows as they came
//! and the outputs. Everything that takes longer than to count is done by one thread
//! that has what the others leave of a core. Where nothing is on trial a request pays
//! for a look at one flag and one count.
//!
//! Architecture invariant: nothing here holds a version but while it works on it, and
//! nothing here knows protobuf: rows are read through [`RowFrames`].

mod answers;
mod asked;
mod chance;
mod comparison;
mod guard;
mod health;
mod isolating;
mod queue;
mod recent;
mod rescore;
mod scored;
mod shadow;
mod watch;

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::civil::Date;

use self::{queue::Queue, recent::Recent, shadow::Shadow, watch::Watches};
use crate::{manifest::Task, model::Version, registry::Registry, rows::Rows, telemetry::Metrics};

pub use asked::Asked;
pub use comparison::{Compared, Figures};
pub use guard::{Breach, Divergence, Evidence, Guard, broken};
pub use health::Seen;
pub use scored::{Made, Scored};

/// Reads and writes rows as they came. Implemented where protobuf is known.
pub trait RowFrames: Send + Sync {
    /// Encodes a row by a version and appends it; whether it could be encoded.
    /// `today` is the date of a row that names none.
    fn encode(&self, frame: &[u8], today: Date, version: &Version, into: &mut Rows) -> bool;

    /// A copy of the row without the id of its entity, with its date; `None` where it
    /// is no row.
    fn without_id(&self, frame: &[u8], today: Date) -> Option<Bytes>;

    /// The row as one line of JSON.
    fn to_json(&self, task: Task, frame: &[u8]) -> Option<String>;

    /// The row that [`RowFrames::to_json`] wrote.
    fn of_json(&self, task: Task, json: &str) -> Option<Bytes>;
}

/// What the trials need.
pub struct TrialSetup {
    /// Where it is said which versions are on trial.
    pub registry: Arc<Registry>,
    /// Reads rows.
    pub frames: Arc<dyn RowFrames>,
    /// Where rows are counted that were scored for nobody.
    pub metrics: Metrics,
    /// Sets the thread up, as those that run models are. What it returns lives as long
    /// as the thread.
    pub setup: Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>,
    /// The date of rows that name none.
    pub today: fn() -> Date,
    /// The models' folder, where recent rows are stored beside the versions.
    pub keep_recent_below: Option<PathBuf>,
}

/// All trials. Clones share them; their thread ends when the last clone is gone.
#[derive(Clone)]
pub struct Trials(Arc<Requests>);

/// What requests use.
struct Requests {
    shared: Arc<Shared>,
    queue: Queue,
}

/// What requests and the thread share.
struct Shared {
    begun: Instant,
    registry: Arc<Registry>,
    frames: Arc<dyn RowFrames>,
    metrics: Metrics,
    today: fn() -> Date,
    keep_recent_below: Option<PathBuf>,
    /// Whether there is any watch: all that most requests look at.
    watching: AtomicBool,
    watches: ArcSwap<Watches>,
    /// The figures as the thread worked them out last, by the model's name.
    compared: ArcSwap<BTreeMap<String, Vec<Compared>>>,
    recent: Recent,
}

impl Trials {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`io::Error`] where the system refuses it.
    pub fn start(setup: TrialSetup) -> io::Result<Self> {
        let of_thread = Arc::clone(&setup.setup);
        let (trials, shadow) = Self::new(setup);
        thread::Builder::new().name("shadow".into()).spawn(move || {
            let _kept = of_thread();
            shadow.run();
        })?;
        Ok(trials)
    }

    /// The trials, and what their thread is to run.
    fn new(setup: TrialSetup) -> (Self, Shadow) {
        let TrialSetup { registry, frames, metrics, today, keep_recent_below, setup: _ } = setup;
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            registry,
            frames,
            metrics,
            today,
            keep_recent_below,
            watching: AtomicBool::new(false),
            watches: ArcSwap::default(),
            compared: ArcSwap::default(),
            recent: Recent::default(),
        });
        if let Some(root) = &shared.keep_recent_below {
            shared.recent.restore(root, shared.frames.as_ref());
        }
        let (queue, entries) = Queue::new();
        let shadow = Shadow::new(Arc::clone(&shared), entries);
        (Self(Arc::new(Requests { shared, queue })), shadow)
    }

    /// How the versions of a model that were compared lately differ, head by head, as
    /// of some seconds ago at most.
    pub fn comparisons(&self, model: &str) -> Vec<Compared> {
        self.0.shared.compared.load().get(model).cloned().unwrap_or_default()
    }

    /// The same of all models, by their names.
    pub fn all_comparisons(&self) -> Arc<BTreeMap<String, Vec<Compared>>> {
        self.0.shared.compared.load_full()
    }

    /// What a version did in the last `window`, ten minutes at most; `None` where it is
    /// neither a canary nor the stable version beside one.
    pub fn seen(&self, version: &Arc<Version>, window: Duration) -> Option<Seen> {
        self.seen_at(version, self.now(), window)
    }

    fn seen_at(&self, version: &Arc<Version>, at: Duration, window: Duration) -> Option<Seen> {
        let watches = self.0.shared.watches.load();
        Some(watches.get(&version.manifest.model)?.health(version)?.read(at, window))
    }

    /// Rows that were asked for lately, encoded by this version, for its warm-up; those
    /// that it refuses are left out.
    pub fn warm_rows(&self, version: &Version) -> Rows {
        let frames = self.recent(&version.manifest.model);
        let mut rows = version.encoder.empty_rows(frames.len());
        let today = (self.0.shared.today)();
        for frame in &frames {
            self.0.shared.frames.encode(frame, today, version, &mut rows);
        }
        rows
    }

    /// Rows of a model that were asked for lately, without their ids, oldest first.
    pub fn recent(&self, model: &str) -> Vec<Bytes> {
        self.0.shared.recent.of(model)
    }

    /// Stores the recent rows beside the models, where that is wanted. Blocks, so it is
    /// for a stop.
    pub fn store_recent(&self) {
        self.0.shared.store_recent();
    }

    /// The time that all of its counts go by.
    fn now(&self) -> Duration {
        self.0.shared.now()
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// From now on these are on trial.
    fn watch(&self, watches: Watches) {
        self.watching.store(!watches.is_empty(), Ordering::Relaxed);
        self.watches.store(Arc::new(watches));
    }

    fn keep_recent(&self, version: &Version, frames: &[Bytes], turn: u64) {
        let without_id = |frame: &Bytes| self.frames.without_id(frame, (self.today)());
        self.recent.add(&version.manifest.model, version.manifest.task, frames, without_id, turn);
    }

    fn store_recent(&self) {
        if let Some(root) = &self.keep_recent_below {
            self.recent.store(root, self.frames.as_ref());
        }
    }
}

#[cfg(test)]
mod tests;
