//! Who queued the first rows of a small batch runs it, right where its requests
//! arrived.

use std::time::Instant;

use super::{Batches, LineKey, pending::Answer, queue::Taken};

/// How often the tasks of a thread have their turn at most before a batch runs: twice
/// gives batches of a third more rows than once, more often gives no more.
const ROUNDS: usize = 3;

/// Most batches that one request leads: its caller waits meanwhile, although its own rows
/// are in the first.
const BATCHES: usize = 4;

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
    /// more rows: what was read from the sockets together runs together. Rows that can't
    /// run with the first ones have their batches after it, and each its own moment.
    pub(super) async fn gather_and_run(mut self) {
        for _ in 0..BATCHES {
            self.gather().await;
            if !self.run() {
                return;
            }
        }
        // The runners are told of what is left.
    }

    async fn gather(&self) {
        let mut before = self.waiting();
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
            let waiting = self.waiting();
            if waiting <= before {
                break;
            }
            before = waiting;
        }
    }

    fn waiting(&self) -> usize {
        self.batches.lock().queue.waiting(self.line)
    }

    /// Runs a batch of what waits now, where that is still little; else tells the
    /// runners. Whether there is more to lead.
    fn run(&mut self) -> bool {
        let mut state = self.batches.lock();
        let rows = state.queue.waiting(self.line);
        let model = state.queue.model(self.line);
        let here = model.as_ref().is_some_and(|model| self.batches.runs_here(model.as_ref(), rows));
        let taken = if here { state.queue.take_from(self.line, Instant::now()) } else { Taken::default() };
        // Rows of other sizes stay behind.
        self.done = !here || state.queue.waiting(self.line) == 0;
        if self.done {
            state.queue.unlead(self.line);
        }
        if let Some(model) = model.filter(|_| !here) {
            self.batches.tell(&mut state, rows.div_ceil(model.max_batch_rows().get()));
        }
        drop(state);
        taken.late.into_iter().for_each(Answer::give);
        if let Some(batch) = taken.batch {
            self.batches.run(&batch).into_iter().for_each(Answer::give);
        }
        !self.done
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
