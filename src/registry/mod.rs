//! Which versions there are, and which one answers.
//!
//! Scan → prepare → go live. Preparing is all that can fail and runs on a thread
//! of its own; going live is one atomic store. Requests read without a lock.

mod prepare;
mod scan;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    error::{ScoreError, shown},
    model::Version,
};

pub use prepare::{Preparation, WarmUp};
pub use scan::{ModelFolder, ScanError, scan};

/// The label of the version that answers where a request names none.
pub const STABLE: &str = "stable";

/// All models, as they are now.
pub struct Registry {
    models: ArcSwap<Models>,
    changes: watch::Sender<()>,
}

/// A snapshot of all models, by name.
pub type Models = BTreeMap<String, Model>;

/// One model.
#[derive(Clone, Default)]
pub struct Model {
    /// The version that answers.
    pub live: Option<Arc<Version>>,
    /// Versions that did not prove themselves, newest first.
    pub rejected: Vec<Rejected>,
    /// Whether its versions are still being prepared.
    pub preparing: bool,
}

/// What stays out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The version's number; `None` for what of the model's folder is no version.
    pub version: Option<u64>,
    /// All that is wrong with it.
    pub problems: Vec<String>,
}

/// The version that answers a request, and the label by which it was found.
#[derive(Clone)]
pub struct Resolved {
    /// The version.
    pub version: Arc<Version>,
    /// Empty where the request named a number without a label.
    pub label: &'static str,
}

impl Registry {
    /// A registry that knows no model yet.
    pub fn new() -> Self {
        Self { models: ArcSwap::default(), changes: watch::Sender::new(()) }
    }

    /// All models, as they are now.
    pub fn models(&self) -> Arc<Models> {
        self.models.load_full()
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Replaces what is known of one model.
    pub fn publish(&self, name: &str, model: Model) {
        self.models.rcu(|models| {
            let mut models = Models::clone(models);
            models.insert(name.to_owned(), model.clone());
            models
        });
        self.changes.send_replace(());
    }

    /// The version of `model` that `wanted` names: a number, a label, or nothing
    /// for the stable one.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NoLiveVersion`] where none is live, [`ScoreError::NotFound`]
    /// where another one is.
    pub fn resolve(&self, model: &str, wanted: &str) -> Result<Resolved, ScoreError> {
        let models = self.models.load();
        let known = models.get(model);
        let Some(live) = known.and_then(|known| known.live.as_ref()) else {
            return Err(ScoreError::NoLiveVersion { model: model.to_owned(), reason: why_none(known) });
        };
        let number = live.manifest.version;
        // As text: `01` and `+1` are no numbers of versions.
        if wanted.is_empty() || wanted == STABLE || wanted == number.to_string() {
            return Ok(Resolved { version: Arc::clone(live), label: STABLE });
        }
        let wanted = match wanted.parse::<u64>() {
            Ok(number) => format!("live version {number}"),
            Err(_) => format!("label \"{}\"", shown(wanted)),
        };
        let available = format!("version {number} (label {STABLE:?})");
        Err(ScoreError::NotFound { model: model.to_owned(), wanted, available })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

fn why_none(model: Option<&Model>) -> String {
    match model {
        None => "the server knows no such model".into(),
        Some(model) if model.preparing => "its versions are being prepared".into(),
        Some(model) => match model.rejected.first() {
            Some(Rejected { version: Some(newest), .. }) => {
                format!("version {newest} was rejected, see the server's log")
            }
            Some(Rejected { version: None, .. }) => "its folder can't be read as a whole, see the server's log".into(),
            None => "it has no version".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_version_is_found_by_number_by_label_and_by_default() {
        let registry = Registry::new();
        registry.publish("merchant_gmv", fixture::live("merchant_gmv", 7));
        for wanted in ["", "7", "stable"] {
            let found = registry.resolve("merchant_gmv", wanted).map(|found| found.version.manifest.version);
            assert_eq!(found, Ok(7), "{wanted:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is() {
        let registry = Registry::new();
        registry.publish("merchant_gmv", fixture::live("merchant_gmv", 7));
        for wanted in ["8", "canary", "-1", "+7", "07", "7.0"] {
            let Err(ScoreError::NotFound { available, .. }) = registry.resolve("merchant_gmv", wanted) else {
                unreachable!("{wanted:?} was found");
            };
            assert_eq!(available, "version 7 (label \"stable\")");
        }
    }

    #[test]
    fn a_model_without_a_live_version_says_why() {
        let registry = Registry::new();
        let reason = |registry: &Registry| match registry.resolve("merchant_gmv", "") {
            Err(ScoreError::NoLiveVersion { reason, .. }) => reason,
            _ => "found".into(),
        };
        assert_eq!(reason(&registry), "the server knows no such model");
        registry.publish("merchant_gmv", Model { preparing: true, ..Model::default() });
        assert_eq!(reason(&registry), "its versions are being prepared");
        let rejected = vec![Rejected { version: Some(3), problems: vec!["x".into()] }];
        registry.publish("merchant_gmv", Model { rejected, ..Model::default() });
        assert_eq!(reason(&registry), "version 3 was rejected, see the server's log");
        let rejected = vec![Rejected { version: None, problems: vec!["x".into()] }];
        registry.publish("merchant_gmv", Model { rejected, ..Model::default() });
        assert_eq!(reason(&registry), "its folder can't be read as a whole, see the server's log");
    }
}
