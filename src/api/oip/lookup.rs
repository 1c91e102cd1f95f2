//! Models and versions by name, for those who ask about them rather than of them.

use std::sync::Arc;

use crate::{
    error::{ScoreError, shown},
    identity::Caller,
    model::Version,
    registry::{Model, Registry, Route},
};

/// The model of this name.
///
/// # Errors
///
/// [`ScoreError::UnknownModel`] says which there are, of those that the caller may use.
pub(super) fn known(registry: &Registry, name: &str, caller: &Caller) -> Result<Arc<Model>, ScoreError> {
    caller.may_use(name)?;
    let models = registry.models();
    models.get(name).cloned().ok_or_else(|| {
        let all: Vec<&str> = models.keys().map(String::as_str).filter(|model| caller.sees(model)).collect();
        let available = if all.is_empty() { "no model".into() } else { all.join(", ") };
        ScoreError::UnknownModel { model: shown(name), available }
    })
}

/// The version that answers, where the traffic is split the stable one.
///
/// # Errors
///
/// [`ScoreError`] where none does.
pub(super) fn version(
    registry: &Registry,
    (model, wanted): (&str, &str),
    caller: &Caller,
) -> Result<Arc<Version>, ScoreError> {
    known(registry, model, caller)?;
    match registry.route(model, wanted)? {
        Route::One(by) => Ok(by.version),
        Route::Split(traffic) => {
            let stable = traffic.arms().first().map(|arm| Arc::clone(&arm.version));
            let (model, reason) = (model.to_owned(), "its traffic has no arm".into());
            stable.ok_or(ScoreError::NoLiveVersion { model, reason })
        }
    }
}
