//! Long work on an async thread, done in turns.

use std::time::{Duration, Instant};

/// After so much work other tasks of the thread get their turn: half of what a
/// request may hold a thread for, so that one row more does not exceed it.
const TURN: Duration = Duration::from_micros(250);

/// When the work under way began its turn.
pub(super) struct Turns {
    begun: Instant,
}

impl Turns {
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now() }
    }

    /// Lets the others have theirs where this one is over.
    pub(super) async fn pass(&mut self) {
        if self.begun.elapsed() > TURN {
            tokio::task::yield_now().await;
            self.begun = Instant::now();
        }
    }
}
