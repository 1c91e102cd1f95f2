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
mod latencies;
mod queue;
mod recent;
mod scoring;
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

use self::{
    health::Request,
    queue::{Entry, Queue, Why},
    recent::Recent,
    shadow::Shadow,
    watch::{Watch, Watches},
};
use crate::{
    manifest::Task,
    model::Version,
    registry::Registry,
    rows::Rows,
    telemetry::{Metrics, ShadowOutcome},
};

pub use asked::Asked;
pub use comparison::{Compared, Figures};
pub use guard::{Breach, Divergence, Evidence, Guard, broken};
pub use health::Seen;
pub use latencies::Latencies;

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

/// What a version made of rows, once their reply is made.
pub struct Scored {
    /// The rows that could be encoded, as they came.
    pub frames: Vec<Bytes>,
    /// The outputs for those that did not fail, in their order.
    pub outputs: Rows,
    /// Those that the version failed on, ascending, with what it said.
    pub failed: Vec<(usize, String)>,
    /// How many it answered with something that is no number.
    pub without_number: usize,
    /// From admission to outputs.
    pub latency: Duration,
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

    /// Takes in what a version made of rows of one request, or of those of them that
    /// are its own. To be called once their reply is made: it takes some nanoseconds
    /// where nothing is on trial, and copies the rows that are to be scored again.
    pub fn scored(&self, version: &Arc<Version>, scored: Scored) {
        if let Some(turn) = self.0.shared.recent.turn() {
            self.0.shared.keep_recent(version, &scored.frames, turn);
        }
        if self.0.shared.watching.load(Ordering::Relaxed) {
            self.on_trial(version, scored, self.0.shared.now());
        }
    }

    fn count(&self, version: &Arc<Version>, request: &Request, at: Duration) {
        let watches = self.0.shared.watches.load();
        let watch = watches.get(&version.manifest.model);
        if let Some(health) = watch.and_then(|watch| watch.health(version)) {
            health.count(at, request);
        }
    }

    fn on_trial(&self, version: &Arc<Version>, scored: Scored, at: Duration) {
        let watches = self.0.shared.watches.load();
        let Some(watch) = watches.get(&version.manifest.model) else { return };
        if let Some(health) = watch.health(version) {
            health.count(at, &scored.request());
        }
        self.compare(watch, version, scored, at);
    }

    /// Has another version score the rows, where one is to.
    fn compare(&self, watch: &Watch, version: &Arc<Version>, mut scored: Scored, at: Duration) {
        let wanted = scored.frames.len();
        if let Some(shadow) = watch.shadow(version) {
            let put = self.put(version, shadow, Why::Shadow, scored);
            if put < wanted
                && let Some(shadow) = shadow.upgrade()
            {
                let (model, number) = (&shadow.manifest.model, shadow.manifest.version);
                self.0.shared.metrics.shadow(model, number, ShadowOutcome::Dropped, wanted - put);
            }
            return;
        }
        scored.frames.truncate(watch.compared(version, wanted, at));
        self.put(version, &watch.stable.version, Why::Canary, scored);
    }

    /// Puts the rows into the queue, as many as there is room for; how many.
    fn put(&self, answered: &Arc<Version>, scorer: &std::sync::Weak<Version>, why: Why, scored: Scored) -> usize {
        let Some((frames, place_there)) = self.0.queue.take(&scored.frames) else { return 0 };
        let rows = frames.len();
        let failed: Vec<usize> = scored.failed.iter().map(|(row, _)| *row).filter(|row| *row < rows).collect();
        let good = rows - failed.len();
        // Without the outputs of rows that stay behind, which keep their memory.
        let outputs = if good < scored.outputs.len() { scored.outputs.slice(0..good) } else { scored.outputs };
        self.0.queue.put(Entry {
            answered: Arc::downgrade(answered),
            scorer: scorer.clone(),
            why,
            frames,
            outputs,
            failed,
            today: (self.0.shared.today)(),
            _place: place_there,
        });
        rows
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

impl Scored {
    fn request(&self) -> Request {
        Request {
            rows: self.frames.len() as u64,
            failed: self.failed.len() as u64,
            without_number: self.without_number as u64,
            latency: (!self.frames.is_empty()).then_some(self.latency),
        }
    }
}

#[cfg(test)]
mod tests;
