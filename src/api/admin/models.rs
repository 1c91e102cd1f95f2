//! What the registry knows of a model, as clients read it.

use jiff::Timestamp;

use super::{moments, policy};
use crate::{
    api::proto::v1::{Model, ModelVersion, VersionState},
    registry::{self, Resident, SHADOW, Standing},
};

/// A model as it is now.
pub(super) fn model(name: &str, found: &registry::Model) -> Model {
    let versions = found.versions.iter().rev().map(|(number, standing)| version(found, *number, standing));
    Model {
        name: name.to_owned(),
        versions: versions.collect(),
        policy: Some(policy::write(found)),
        revision: found.revision,
        problems: found.problems.clone(),
        starting: found.starting,
    }
}

/// A version as it is now.
pub(super) fn version(model: &registry::Model, number: u64, standing: &Standing) -> ModelVersion {
    let known = match standing {
        Standing::OnDisk => of_state(VersionState::OnDisk),
        Standing::Preparing => of_state(VersionState::Preparing),
        Standing::Resident(version) => resident(version),
        Standing::Rejected(problems) => ModelVersion { problems: problems.clone(), ..of_state(VersionState::Rejected) },
    };
    let arms = model.traffic.iter().flat_map(|traffic| traffic.arms());
    let arms: Vec<_> = arms.filter(|arm| arm.version.manifest.version == number).collect();
    ModelVersion {
        number,
        labels: arms.iter().map(|arm| arm.label.to_string()).collect(),
        percent: arms.iter().filter(|arm| &*arm.label != SHADOW).map(|arm| arm.percent).sum(),
        ..known
    }
}

fn of_state(state: VersionState) -> ModelVersion {
    ModelVersion { state: state.into(), ..ModelVersion::default() }
}

fn resident(Resident { version, since, took }: &Resident) -> ModelVersion {
    let manifest = &version.manifest;
    // A manifest holds a readable one, or its version would not be in memory.
    let created_at = manifest.created_at.parse::<Timestamp>().ok().map(moments::timestamp);
    ModelVersion {
        digest: version.digest.clone(),
        created_at,
        description: manifest.description.clone().unwrap_or_default(),
        torch_version: manifest.torch_version.clone(),
        loaded_at: Some((*since).into()),
        load_duration: moments::duration(*took),
        ..of_state(VersionState::Resident)
    }
}
