//! The models' folder, as Triton's clients see a repository: what there is, and orders to
//! the keeper.

use std::collections::{BTreeMap, BTreeSet};

use tonic::Status;

use super::lookup::known;
use crate::{
    api::{
        Drain,
        proto::inference::{
            ModelRepositoryParameter, RepositoryIndexRequest, model_repository_parameter::ParameterChoice,
            repository_index_response::ModelIndex,
        },
    },
    error::{ScoreError, cut},
    identity::Caller,
    registry::{Keeper, Model, OrderError, Registry, Standing},
};

/// Longest reason in an index, in bytes: `GetModel` of the admin port has all of it.
const LONGEST: usize = 1024;

const READY: &str = "READY";

/// All versions, newest first.
pub(super) fn index(registry: &Registry, asked: &RepositoryIndexRequest, caller: &Caller) -> Vec<ModelIndex> {
    let models = registry.models();
    let all = models.iter().filter(|(name, _)| caller.sees(name)).flat_map(|(name, model)| of_model(name, model));
    all.filter(|version| !asked.ready || version.state == READY).collect()
}

fn of_model(name: &str, model: &Model) -> Vec<ModelIndex> {
    if model.versions.is_empty() {
        let reason = if model.problems.is_empty() { "it has no version".into() } else { model.problems.join("; ") };
        let (version, state) = (String::new(), "UNAVAILABLE".to_owned());
        return vec![ModelIndex { name: name.to_owned(), version, state, reason: cut(reason, LONGEST) }];
    }
    let version = |(number, standing): (&u64, &Standing)| {
        let (state, reason) = match standing {
            Standing::Resident(_) => (READY, String::new()),
            Standing::Preparing => ("LOADING", String::new()),
            Standing::OnDisk => ("UNAVAILABLE", "on disk, not in memory".to_owned()),
            Standing::Rejected(problems) => ("UNAVAILABLE", cut(problems.join("; "), LONGEST)),
        };
        ModelIndex { name: name.to_owned(), version: number.to_string(), state: state.to_owned(), reason }
    };
    model.versions.iter().rev().map(version).collect()
}

/// The parameters of an order.
type Parameters = BTreeMap<String, ModelRepositoryParameter>;

/// Gives orders.
pub(super) struct Orders<'o> {
    pub(super) registry: &'o Registry,
    pub(super) keeper: &'o Keeper,
    pub(super) drain: &'o Drain,
    pub(super) caller: &'o Caller,
}

impl Orders<'_> {
    /// Brings a version into memory, without a number the newest on disk.
    pub(super) async fn load(&self, model: &str, parameters: &Parameters) -> Result<(), Status> {
        if let Some(name) = parameters.keys().find(|name| *name == "config" || name.starts_with("file:")) {
            return Err(fault(name, "is there, wanted none: a version's manifest says how it is served").into());
        }
        let keeper = self.keeper;
        let order = async {
            self.caller.may_use(model)?;
            match number(parameters)? {
                Some(version) => Ok(keeper.load(model, version).await),
                None => Ok(keeper.load_newest(model).await),
            }
        };
        self.done(order).await
    }

    /// Takes a version out of memory, without a number all that no label names.
    pub(super) async fn unload(&self, model: &str, parameters: &Parameters) -> Result<(), Status> {
        let order = async {
            self.caller.may_use(model)?;
            match number(parameters)? {
                Some(version) => Ok(self.keeper.unload(model, version).await),
                None => Ok(self.unload_unlabelled(&*known(self.registry, model, self.caller)?, model).await),
            }
        };
        self.done(order).await
    }

    async fn unload_unlabelled(&self, found: &Model, model: &str) -> Result<(), OrderError> {
        let arms = || found.traffic.iter().flat_map(|traffic| traffic.arms());
        let labelled: BTreeSet<u64> = arms().map(|arm| arm.version.manifest.version).collect();
        let residents: Vec<u64> = found.residents().map(|resident| resident.version.manifest.version).collect();
        let (kept, others): (Vec<u64>, Vec<u64>) = residents.into_iter().partition(|number| labelled.contains(number));
        // Where all have a label, the keeper says so of one.
        let asked = if others.is_empty() { kept.into_iter().take(1).collect() } else { others };
        for version in asked {
            self.keeper.unload(model, version).await?;
        }
        Ok(())
    }

    /// What becomes of an order, which the drain doesn't wait for.
    async fn done(
        &self,
        order: impl Future<Output = Result<Result<(), OrderError>, ScoreError>>,
    ) -> Result<(), Status> {
        let mut wrong = None;
        let order = async {
            order.await.unwrap_or_else(|error| {
                wrong = Some(error);
                Ok(())
            })
        };
        let done = self.drain.unless_begun(order).await;
        match wrong {
            Some(error) => Err(error.into()),
            None => Ok(done?),
        }
    }
}

/// The version that an order names.
fn number(parameters: &Parameters) -> Result<Option<u64>, ScoreError> {
    let Some(parameter) = parameters.get("version") else { return Ok(None) };
    let number = match &parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(number)) => u64::try_from(*number).ok(),
        Some(ParameterChoice::StringParam(text)) => text.parse().ok(),
        _ => None,
    };
    number.map(Some).ok_or_else(|| fault("version", "is no number of a version, wanted an integer from 1"))
}

fn fault(name: &str, description: &str) -> ScoreError {
    super::faults::fault(&format!("parameters[{:?}]", crate::error::shown(name)), description)
}
