//! Long work on an async thread, done in turns.

use std::time::{Duration, Instant};

/// After so much work other tasks of the thread get their turn: half of what a
/// request may hold a thread for, so that one row more does not exceed it.
const TURN: Duration = Duration::from_micros(250);

/// A stretch of work.
pub(super) struct Turn(Instant);

impl Turn {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whether the others should have theirs.
    pub(super) fn is_over(&self) -> bool {
        self.0.elapsed() > TURN
    }
}
