//! Preparing a version: everything that can fail, on a thread of its own, so that
//! neither requests nor other versions wait for it.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::commands::Command;
use crate::{
    error::ScoreError,
    model::{Engines, RowReader, Version, VersionFolder, examine},
};

/// Has every thread that will run a version run it before the first request does.
pub type WarmUp = Arc<dyn Fn(&Version) -> Result<(), ScoreError> + Send + Sync>;

/// Sets up a thread that prepares versions, as those that run them are set up. What it
/// returns lives as long as the thread.
pub type PreparationSetup = Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>;

/// What preparing needs, the same for all models.
#[derive(Clone)]
pub struct Preparation {
    /// Reads golden rows.
    pub rows: Arc<dyn RowReader>,
    /// Loads model files.
    pub engines: Arc<dyn Engines>,
    /// Warms up the threads that will run the model.
    pub warm_up: WarmUp,
    /// For each thread that prepares.
    pub setup: PreparationSetup,
}

/// How a preparation ended.
pub(super) struct Prepared {
    pub(super) model: String,
    pub(super) version: u64,
    /// Which one it was: it may have been given up meanwhile.
    pub(super) attempt: u64,
    pub(super) outcome: Result<Version, Vec<String>>,
    pub(super) took: Duration,
}

impl Preparation {
    /// Prepares the version in `folder`; the outcome is told.
    pub(super) fn start(&self, folder: VersionFolder, attempt: u64, told: mpsc::Sender<Command>) -> io::Result<()> {
        let preparation = self.clone();
        let run = move || {
            let _kept = (preparation.setup)();
            let begun = Instant::now();
            let outcome = preparation.caught(&folder);
            let VersionFolder { model, version, .. } = folder;
            // Where nobody listens the server has ended.
            let _ = told.send(Command::Prepared(Prepared { model, version, attempt, outcome, took: begun.elapsed() }));
        };
        thread::Builder::new().name("prepare".into()).spawn(run).map(drop)
    }

    /// A panic, such as one of a library on a file that nobody foresaw, is that
    /// version's problem and no other's.
    fn caught(&self, folder: &VersionFolder) -> Result<Version, Vec<String>> {
        // What a panic leaves half done is dropped with the version.
        let prepared = catch_unwind(AssertUnwindSafe(|| self.version(folder)));
        prepared.unwrap_or_else(|panic| Err(vec![format!("preparing panicked: {}", message(panic.as_ref()))]))
    }

    fn version(&self, folder: &VersionFolder) -> Result<Version, Vec<String>> {
        let examination = examine(folder, self.rows.as_ref(), self.engines.as_ref());
        let version = examination.version.ok_or(examination.problems)?;
        (self.warm_up)(&version).map_err(|error| vec![format!("warm-up: {error}")])?;
        Ok(version)
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
