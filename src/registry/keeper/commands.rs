//! What the keeper's thread is told.

use tokio::sync::oneshot;

use super::{NewTraffic, OrderError, prepare::Prepared};
use crate::registry::policy::history::Change;

/// Where the outcome of an order goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, OrderError>>;

/// Something to do.
pub(super) enum Command {
    /// Somebody wants something.
    Order(Order),
    /// A preparation ended.
    Prepared(Prepared),
    /// The system says that something below the root has changed.
    Changed,
}

/// What somebody wants.
pub(super) enum Order {
    Load { model: String, version: u64, answer: Answer<()> },
    Unload { model: String, version: u64, answer: Answer<()> },
    SetTraffic { traffic: NewTraffic, by: String, answer: Answer<Change> },
    RollBack { model: String, by: String, answer: Answer<Change> },
    TakeBack { model: String, version: u64, reason: String },
    History { model: String, answer: Answer<Vec<Change>> },
}
