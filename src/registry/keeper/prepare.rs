//! Preparing a version: everything that can fail, on a thread of its own.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
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
    /// Which of the model's preparations of this version it was.
    pub(super) attempt: u64,
    pub(super) outcome: Result<Version, Vec<String>>,
    pub(super) took: Duration,
}
