//! Natural batching: a free runner takes at once whatever waits for one version.
//!
//! Rows wait only while all runners are busy; there is no timer. Requests larger
//! than a batch are split into parts and joined again; a caller who leaves takes
//! its parts out of the queue. Nothing here bounds the queue: [`super::Admit`]
//! does, above.

mod pending;
mod queue;
mod run;

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use self::{
    pending::Pending,
    queue::{Batch, Place, Queue},
};
use super::{Job, Scored};
use crate::error::ScoreError;

pub(super) use run::{pass, run};

/// Something that one particular runner does between batches, such as a warm-up.
pub(super) type Errand = Box<dyn FnOnce() + Send>;

/// What waits, and the runners that wait for it. Clones share it.
#[derive(Clone)]
pub(super) struct Batches {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Told when there is something to do, or when the pool is to end.
    work: Condvar,
}

struct State {
    queue: Queue,
    /// One list for each runner.
    errands: Vec<VecDeque<Errand>>,
    closed: bool,
}

/// What a runner does next.
enum Turn {
    Batch(Batch),
    Errand(Errand),
    End,
}

/// The parts of one request in the queue; they leave it when this is dropped.
struct Waiting {
    batches: Batches,
    places: Vec<Place>,
}

impl Batches {
    /// Nothing waits yet, for this many runners.
    pub(super) fn new(runners: usize) -> Self {
        let errands = (0..runners).map(|_| VecDeque::new()).collect();
        let state = State { queue: Queue::default(), errands, closed: false };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), work: Condvar::new() }) }
    }

    /// Queues the rows of a job and waits for their outputs.
    ///
    /// # Errors
    ///
    /// [`ScoreError::DeadlinePassed`] where not all rows began in time,
    /// [`ScoreError::Draining`] where the pool has ended.
    pub(super) async fn score(self, job: Job) -> Result<Scored, ScoreError> {
        let (reply, scored) = oneshot::channel();
        let mut waiting = self.push(job, reply)?;
        let scored = scored.await.map_err(|_gone| ScoreError::Draining)?;
        waiting.places.clear();
        scored
    }

    fn push(self, job: Job, reply: oneshot::Sender<Result<Scored, ScoreError>>) -> Result<Waiting, ScoreError> {
        let parts = Pending::split(job, reply);
        let places: Vec<Place> = {
            let mut state = self.lock();
            if state.closed {
                return Err(ScoreError::Draining);
            }
            parts.into_iter().map(|part| state.queue.push(part)).collect()
        };
        for _ in &places {
            self.shared.work.notify_one();
        }
        Ok(Waiting { batches: self, places })
    }

    /// Has one runner do something between two batches.
    pub(super) fn send(&self, runner: usize, errand: Errand) {
        if let Some(errands) = self.lock().errands.get_mut(runner) {
            errands.push_back(errand);
        }
        // All, since nobody can choose whom a condition variable wakes.
        self.shared.work.notify_all();
    }

    /// Lets the runners end once nothing is left to do.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.shared.work.notify_all();
    }

    /// Waits for something that this runner can do. Errands first: they are rare and
    /// short, and must come to an end under full load too.
    fn turn(&self, runner: usize) -> Turn {
        let mut state = self.lock();
        loop {
            if let Some(errand) = state.errands.get_mut(runner).and_then(VecDeque::pop_front) {
                return Turn::Errand(errand);
            }
            if let Some(batch) = state.queue.take(Instant::now()) {
                return Turn::Batch(batch);
            }
            if state.closed {
                return Turn::End;
            }
            state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves the queue as it was between two steps.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.places.is_empty() {
            return;
        }
        let mut state = self.batches.lock();
        for place in &self.places {
            state.queue.remove(place);
        }
    }
}
