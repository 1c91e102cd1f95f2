//! Knows what was accepted and whether the server still accepts.

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::{error::ScoreError, registry::OrderError};

/// Shared by all endpoints of a server.
#[derive(Clone, Default)]
pub struct Drain {
    accepted: TaskTracker,
    begun: CancellationToken,
}

impl Drain {
    /// Counts one request or stream until the token is dropped.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Draining`] where the server no longer accepts any.
    pub fn accept(&self) -> Result<TaskTrackerToken, ScoreError> {
        // Counted before looking, so that none slips in between look and count.
        let token = self.accepted.token();
        if self.begun.is_cancelled() { Err(ScoreError::Draining) } else { Ok(token) }
    }

    /// Refuses what comes from now on.
    pub fn begin(&self) {
        self.begun.cancel();
        self.accepted.close();
    }

    /// Cancelled when [`Drain::begin`] is called.
    pub(super) fn token(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Waits until [`Drain::begin`] was called.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// What becomes of an order, which the drain doesn't wait for: a preparation may
    /// take minutes.
    pub(super) async fn unless_begun<T>(
        &self,
        order: impl Future<Output = Result<T, OrderError>>,
    ) -> Result<T, OrderError> {
        tokio::select! {
            // First, so that none is begun by a server that stops.
            biased;
            () = self.begun() => Err(OrderError::Draining),
            done = order => done,
        }
    }

    /// Whether [`Drain::begin`] was called.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until everything that was accepted was answered.
    pub async fn answered(&self) {
        self.accepted.wait().await;
    }

    /// Requests and streams that were accepted and not yet answered.
    pub fn open(&self) -> usize {
        self.accepted.len()
    }
}
