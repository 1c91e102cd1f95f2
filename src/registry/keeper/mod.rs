//! Keeps versions and policies as they were asked for: finds versions on disk, has
//! them prepared, decides who answers, and retires who is not needed any more.
//!
//! One thread owns all that can change and takes one thing at a time, so there is
//! no lock and no order to get wrong. It does nothing that takes long itself:
//! preparing runs on threads of its own.

mod commands;
mod fingerprint;
mod kept;
mod orders;
mod policies;
mod preparations;
mod prepare;
mod settle;
mod watch;
mod work;

use std::{path::PathBuf, sync::Arc, time::Duration};

use std::sync::mpsc;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::telemetry::Metrics;

use super::{
    events::Events,
    live::Registry,
    policy::{Broken, Policy, history::Change},
};

pub use prepare::{Haste, Preparation, PreparationSetup, Prepare};

use commands::{Command, Order};
use work::Work;

/// How the models are kept.
pub struct Keeping {
    /// The folder of `<model>/<version>/`, of the policy and its history.
    pub root: PathBuf,
    /// How often the folder is looked at, beside what the system tells of changes.
    pub poll: Duration,
    /// How long a preparation may take before it is given up.
    pub prepare_timeout: Duration,
    /// How versions are prepared.
    pub preparation: Preparation,
    /// What is measured.
    pub metrics: Metrics,
    /// Where requests look.
    pub registry: Arc<Registry>,
    /// Where others look.
    pub events: Events,
}

/// Takes orders. Clones share it; the thread lives as long as the process.
#[derive(Clone)]
pub struct Keeper {
    commands: mpsc::Sender<Command>,
}

/// Why an order was not followed. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderError {
    /// There is no such model.
    #[error("no model {model}; there is: {available}")]
    UnknownModel {
        /// What was asked for.
        model: String,
        /// What there is.
        available: String,
    },
    /// There is no such version on disk or in memory.
    #[error("model {model} has no version {version}; there is: {available}")]
    UnknownVersion {
        /// The model.
        model: String,
        /// What was asked for.
        version: u64,
        /// What there is.
        available: String,
    },
    /// The version did not prove itself.
    #[error("model {model} version {version} was rejected: {}", problems.join("; "))]
    Rejected {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// All that is wrong with it.
        problems: Vec<String>,
    },
    /// The policy can't be followed.
    #[error("{}", problems.join("; "))]
    BadPolicy {
        /// All that is wrong with it.
        problems: Vec<String>,
    },
    /// The version answers by a label.
    #[error("model {model} version {version} is {label}: move the label first")]
    InUse {
        /// The model.
        model: String,
        /// The version.
        version: u64,
        /// By which label.
        label: String,
    },
    /// Another change came before.
    #[error("the policy of model {model} is at revision {found}, not {wanted}: look again")]
    Superseded {
        /// The model.
        model: String,
        /// What it is.
        found: u64,
        /// What the order said.
        wanted: u64,
    },
    /// Nothing is before the first policy.
    #[error("model {model} has nothing to go back to")]
    NoWayBack {
        /// The model.
        model: String,
    },
    /// The order was overtaken by another one.
    #[error("cancelled: {by}")]
    Cancelled {
        /// By what.
        by: String,
    },
    /// The policy can't be kept.
    #[error("{path}: can't be written: {reason}")]
    Unwritable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The server stops.
    #[error("the server is draining")]
    Draining,
}

/// A change of who answers.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTraffic {
    /// The model.
    pub model: String,
    /// All of the new policy.
    pub policy: Policy,
    /// The revision that it was made from; `None` changes whatever there is.
    pub from: Option<u64>,
    /// Why, for the history; may be empty.
    pub reason: String,
}

impl Keeper {
    /// Starts the thread. The models' folder is read, and all policies with it, before
    /// the first order is taken.
    ///
    /// # Errors
    ///
    /// [`std::io::Error`] where the system refuses the thread.
    pub fn start(keeping: Keeping) -> std::io::Result<Self> {
        let (commands, received) = mpsc::channel();
        let work = Work::new(keeping, commands.clone(), received);
        std::thread::Builder::new().name("keeper".into()).spawn(move || work.run())?;
        Ok(Self { commands })
    }

    /// Brings a version into memory, also one that was rejected before; done once it
    /// can answer. Twice the same is once.
    ///
    /// # Errors
    ///
    /// [`OrderError`] with all reasons of a version that stays out.
    pub async fn load(&self, model: &str, version: u64) -> Result<(), OrderError> {
        let (model, version) = (model.to_owned(), Some(version));
        self.order(|answer| Order::Load { model, version, answer }).await
    }

    /// The same for the newest version on disk.
    ///
    /// # Errors
    ///
    /// [`OrderError`] with all reasons of a version that stays out.
    pub async fn load_newest(&self, model: &str) -> Result<(), OrderError> {
        let (model, version) = (model.to_owned(), None);
        self.order(|answer| Order::Load { model, version, answer }).await
    }

    /// Takes a version out of memory, or gives its preparation up. It comes back only
    /// by an order.
    ///
    /// # Errors
    ///
    /// [`OrderError::InUse`] where a label names it.
    pub async fn unload(&self, model: &str, version: u64) -> Result<(), OrderError> {
        let (model, version) = (model.to_owned(), version);
        self.order(|answer| Order::Unload { model, version, answer }).await
    }

    /// Changes who answers, once all versions that the policy names are in memory.
    ///
    /// # Errors
    ///
    /// [`OrderError`] where it can't be followed; the old one stays.
    pub async fn set_traffic(&self, traffic: NewTraffic, by: &str) -> Result<Change, OrderError> {
        let by = by.to_owned();
        self.order(|answer| Order::SetTraffic { traffic, by, answer }).await
    }

    /// Goes back to who answered before the last change.
    ///
    /// # Errors
    ///
    /// [`OrderError::NoWayBack`] where there was none.
    pub async fn roll_back(&self, model: &str, by: &str) -> Result<Change, OrderError> {
        let (model, by) = (model.to_owned(), by.to_owned());
        self.order(|answer| Order::RollBack { model, by, answer }).await
    }

    /// Takes the canary back, since it broke a limit. Nothing happens where `version` isn't
    /// the canary any more.
    pub fn take_back(&self, model: &str, version: u64, broken: Broken) {
        // Where the thread has ended, so has the server.
        let order = Order::TakeBack { model: model.to_owned(), version, broken };
        let _ = self.commands.send(Command::Order(Box::new(order)));
    }

    /// The changes of who answered, newest first.
    ///
    /// # Errors
    ///
    /// [`OrderError::UnknownModel`].
    pub async fn history(&self, model: &str) -> Result<Vec<Change>, OrderError> {
        let model = model.to_owned();
        self.order(|answer| Order::History { model, answer }).await
    }

    async fn order<T>(&self, order: impl FnOnce(commands::Answer<T>) -> Order) -> Result<T, OrderError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Order(Box::new(order(answer)))).map_err(|_ended| OrderError::Draining)?;
        answered.await.map_err(|_ended| OrderError::Draining)?
    }
}

#[cfg(test)]
mod tests;
