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
use crate::model::{Version, VersionFolder};

/// Makes something that can answer of a version's folder, or says all that is wrong with
/// it. Blocking, slow, and the only thing here that can fail.
pub type Prepare = Arc<dyn Fn(&VersionFolder) -> Result<Version, Vec<String>> + Send + Sync>;

/// How much a preparation may take of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// As much as any thread: nobody answers for the model yet.
    Great,
    /// What nobody else wants: requests are answered meanwhile.
    None,
    /// The smallest share: what nobody else wanted was not enough.
    Little,
}

/// Sets up a thread that prepares versions. What it returns lives as long as the thread.
pub type PreparationSetup = Arc<dyn Fn(Haste) -> Box<dyn Any> + Send + Sync>;

/// How versions are prepared.
#[derive(Clone)]
pub struct Preparation {
    /// Does it.
    pub prepare: Prepare,
    /// For each thread that does it.
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
    pub(super) fn start(
        &self,
        folder: VersionFolder,
        attempt: u64,
        haste: Haste,
        told: mpsc::Sender<Command>,
    ) -> io::Result<()> {
        let preparation = self.clone();
        let run = move || {
            let _kept = (preparation.setup)(haste);
            let begun = Instant::now();
            let outcome = preparation.caught(&folder);
            let VersionFolder { model, version, .. } = folder;
            let prepared = Prepared { model, version, attempt, outcome, took: begun.elapsed() };
            // Where nobody listens the server has ended.
            let _ = told.send(Command::Prepared(Box::new(prepared)));
        };
        thread::Builder::new().name("prepare".into()).spawn(run).map(drop)
    }

    /// A panic, such as one of a library on a file that nobody foresaw, is that
    /// version's problem and no other's.
    fn caught(&self, folder: &VersionFolder) -> Result<Version, Vec<String>> {
        // What a panic leaves half done is dropped with the version.
        let prepared = catch_unwind(AssertUnwindSafe(|| (self.prepare)(folder)));
        prepared.unwrap_or_else(|panic| Err(vec![format!("preparing panicked: {}", message(panic.as_ref()))]))
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
