//! Who queued the first rows of a small batch runs it, right where its requests
//! arrived.

use std::time::Instant;

use super::{Batches, LineKey, pending::Answer};

/// How often the tasks of a thread have their turn at most before a batch runs: twice
/// gives batches of a third more rows than once, more often gives no more.
const ROUNDS: usize = 3;

/// The duty to see to a line: to run it here, or to tell the runners. Whoever leaves
/// without doing it tells them when this is dropped.
pub(super) struct Lead {
    batches: Batches,
    line: LineKey,
    done: bool,
}

impl Lead {
    /// For who found that nobody leads `line` yet.
    pub(super) fn new(batches: Batches, line: LineKey) -> Self {
        Self { batches, line, done: false }
    }

    /// Lets whatever else is ready on this thread come first, as long as it brings
    /// more rows: what was read from the sockets together runs together.
    pub(super) async fn gather_and_run(self) {
        let mut before = self.waiting();
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
            let waiting = self.waiting();
            if waiting <= before {
                break;
            }
            before = waiting;
        }
        self.run();
    }

    fn waiting(&self) -> usize {
        self.batches.lock().queue.waiting(self.line)
    }

    /// Runs what waits now, where that is still little; else tells the runners.
    fn run(mut self) {
        self.done = true;
        let mut state = self.batches.lock();
        state.queue.unlead(self.line);
        let rows = state.queue.waiting(self.line);
        let taken = match state.queue.model(self.line) {
            Some(model) if self.batches.runs_here(model.as_ref(), rows) => {
                state.queue.take_from(self.line, Instant::now())
            }
            Some(model) => return self.batches.tell(&mut state, rows.div_ceil(model.max_batch_rows().get())),
            None => return,
        };
        drop(state);
        taken.late.into_iter().for_each(Answer::give);
        if let Some(batch) = taken.batch {
            self.batches.run(&batch).into_iter().for_each(Answer::give);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.done {
            let mut state = self.batches.lock();
            state.queue.unlead(self.line);
            self.batches.tell(&mut state, 1);
        }
    }
}
