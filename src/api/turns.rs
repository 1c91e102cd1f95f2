//! Long work on an async thread, done in turns.

use std::{
    pin::pin,
    task::Context,
    time::{Duration, Instant},
};

use tokio::task::yield_now;

/// After so much work other tasks of the thread get their turn. A request may hold
/// a thread for 0.5 ms at most; the end of one turn, what comes between, and all of
/// the next can follow each other without a break.
const TURN: Duration = Duration::from_micros(150);

/// Looking at the clock costs as much as encoding some dozen features, so it is
/// looked at after so many bytes only: some microseconds' worth.
const LOOK_BYTES: usize = 8 * 1024;

/// Has the task of `context` polled again once the others had their turn, sockets included: who wakes
/// itself comes before these, up to sixty times in a row (tokio's `event_interval`).
pub fn others_first(context: &mut Context<'_>) {
    // Is pending the first time, and remembers whom to wake.
    let _pending = pin!(yield_now()).poll(context);
}

/// A stretch of work.
pub(super) struct Turn {
    begun: Instant,
    /// What was done since the clock was looked at.
    done_bytes: usize,
}

impl Turn {
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), done_bytes: 0 }
    }

    /// Whether the others should have theirs, after these bytes more were read or
    /// written.
    pub(super) fn is_over_after(&mut self, bytes: usize) -> bool {
        self.done_bytes += bytes;
        if self.done_bytes < LOOK_BYTES {
            return false;
        }
        self.done_bytes = 0;
        self.begun.elapsed() > TURN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_over_after_its_time_as_soon_as_something_was_done() {
        let long_ago = Instant::now().checked_sub(2 * TURN).unwrap();
        let mut turn = Turn { begun: long_ago, done_bytes: 0 };
        assert!(!turn.is_over_after(LOOK_BYTES - 1));
        assert!(turn.is_over_after(1));
        assert!(!turn.is_over_after(1));
        assert!(!Turn { begun: Instant::now() + TURN, done_bytes: 0 }.is_over_after(LOOK_BYTES));
    }
}
