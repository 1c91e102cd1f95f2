//! Models and versions by name, for those who ask about them rather than of them.

use std::sync::Arc;

use crate::{
    error::{ScoreError, shown},
    model::Version,
    registry::{Model, Registry, Route},
};

/// The model of this name.
///
/// # Errors
///
/// [`ScoreError::UnknownModel`] says which there are.
pub(super) fn known(registry: &Registry, name: &str) -> Result<Arc<Model>, ScoreError> {
    let models = registry.models();
    models.get(name).cloned().ok_or_else(|| {
        let all: Vec<&str> = models.keys().map(String::as_str).collect();
        let available = if all.is_empty() { "no model".into() } else { all.join(", ") };
        ScoreError::UnknownModel { model: shown(name), available }
    })
}

/// The version that answers, where the traffic is split the stable one.
///
/// # Errors
///
/// [`ScoreError`] where none does.
pub(super) fn version(registry: &Registry, model: &str, wanted: &str) -> Result<Arc<Version>, ScoreError> {
    known(registry, model)?;
    match registry.route(model, wanted)? {
        Route::One(by) => Ok(by.version),
        Route::Split(traffic) => {
            let stable = traffic.arms().first().map(|arm| Arc::clone(&arm.version));
            let (model, reason) = (model.to_owned(), "its traffic has no arm".into());
            stable.ok_or(ScoreError::NoLiveVersion { model, reason })
        }
    }
}
