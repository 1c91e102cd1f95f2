//! A request on its way to a version on trial. One that is given up tells more of the
//! version than any that was answered: how slow it is where nobody waits for it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{Trials, health::Request};
use crate::{error::ScoreError, model::Version};

/// Rows that a version was asked for. Dropped before [`Asked::ended`], their caller
/// has left: they count with the time that passed until then.
pub struct Asked<'t>(Option<Pending<'t>>);

/// Where anything is on trial.
struct Pending<'t> {
    trials: &'t Trials,
    version: &'t Arc<Version>,
    rows: u64,
    begun: Instant,
}

impl Trials {
    /// To be called before a version is asked for rows of a request, or for those of
    /// them that are its own.
    pub fn asked<'t>(&'t self, version: &'t Arc<Version>, rows: usize) -> Asked<'t> {
        let watching = self.0.shared.watching.load(Ordering::Relaxed);
        Asked(watching.then(|| Pending { trials: self, version, rows: rows as u64, begun: Instant::now() }))
    }
}

impl Asked<'_> {
    /// The version has answered, which [`Trials::scored`] is told of, or there was an
    /// error instead.
    pub fn ended(mut self, error: Option<&ScoreError>) {
        let Some(pending) = self.0.take() else { return };
        match error {
            Some(ScoreError::Model { .. }) => pending.failed(),
            Some(ScoreError::DeadlinePassed) => pending.given_up(),
            // Not the version's doing.
            None
            | Some(
                ScoreError::BadField { .. }
                | ScoreError::UnknownModel { .. }
                | ScoreError::NotFound { .. }
                | ScoreError::NoLiveVersion { .. }
                | ScoreError::Draining
                | ScoreError::NotIdentified { .. }
                | ScoreError::NotPermitted { .. }
                | ScoreError::Overloaded { .. },
            ) => {}
        }
    }
}

impl Pending<'_> {
    fn failed(&self) {
        self.count(&Request { rows: self.rows, failed: self.rows, without_number: 0, latency: None });
    }

    fn given_up(&self) {
        let latency = Some(self.begun.elapsed());
        self.count(&Request { rows: self.rows, failed: 0, without_number: 0, latency });
    }

    fn count(&self, request: &Request) {
        self.trials.count(self.version, request, self.trials.now());
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            pending.given_up();
        }
    }
}
