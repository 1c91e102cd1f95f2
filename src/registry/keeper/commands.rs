//! What the keeper's thread is told.

use tokio::sync::oneshot;

use super::{NewTraffic, OrderError, prepare::Prepared};
use crate::registry::policy::{Broken, Policy, history::Change};

/// Where the outcome of an order goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, OrderError>>;

/// Something to do.
pub(super) enum Command {
    /// Somebody wants something.
    Order(Box<Order>),
    /// A preparation ended.
    Prepared(Box<Prepared>),
    /// The system says that something below the root has changed.
    Changed,
}

/// What somebody wants.
pub(super) enum Order {
    /// The newest on disk where it names none.
    Load {
        model: String,
        version: Option<u64>,
        answer: Answer<()>,
    },
    Unload {
        model: String,
        version: u64,
        answer: Answer<()>,
    },
    SetTraffic {
        traffic: NewTraffic,
        by: String,
        answer: Answer<Change>,
    },
    RollBack {
        model: String,
        by: String,
        answer: Answer<Change>,
    },
    TakeBack {
        model: String,
        version: u64,
        broken: Broken,
    },
    History {
        model: String,
        answer: Answer<Vec<Change>>,
    },
}

/// A policy that is to be followed once its versions are in memory.
pub(super) struct Wish {
    pub(super) policy: Policy,
    pub(super) by: String,
    pub(super) reason: String,
    /// What a roll-back of this change leads to; `None`: what was before it.
    pub(super) way_back: Option<WayBack>,
    pub(super) source: Source,
}

/// Where a roll-back leads.
#[derive(Clone, Copy)]
pub(super) struct WayBack(pub(super) Option<u64>);

/// Who wishes, which is who is told.
pub(super) enum Source {
    /// Somebody who waits.
    Order(Answer<Change>),
    /// The policy file, which says so already.
    File,
    /// The guard: followed also where it can't be written.
    Guard,
}
