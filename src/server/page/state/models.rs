//! A model and its versions, as the page tells of them.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    millis,
    trials::{Comparison, Guard, comparison, guard},
};
use crate::{
    model::Version,
    registry::{Change, Labelled, Model, Policy, Resident, SHADOW, STABLE, Standing},
    trial::Trials,
};

/// Problems that are told of one version, of which a broken one may have hundreds; the
/// log and `souk models show` have all.
const PROBLEMS: usize = 12;

#[derive(Serialize)]
pub(super) struct ModelState {
    name: String,
    /// Of its stable version, or of any in memory.
    task: Option<&'static str>,
    starting: bool,
    revision: u64,
    problems: Problems,
    /// Newest first.
    versions: Vec<VersionState>,
    /// `stable` first.
    labels: Vec<Label>,
    /// Newest first.
    changes: Vec<ChangeState>,
    comparisons: Vec<Comparison>,
    guard: Guard,
}

#[derive(Serialize)]
struct Problems {
    told: Vec<String>,
    /// How many there are beside these.
    more: usize,
}

#[derive(Serialize)]
struct VersionState {
    number: u64,
    /// `on_disk`, `preparing`, `resident` or `rejected`.
    state: &'static str,
    labels: Vec<String>,
    /// Of the traffic; what `shadow` scores is not part of it.
    percent: f64,
    problems: Problems,
    resident: Option<ResidentState>,
}

#[derive(Serialize)]
struct ResidentState {
    digest: String,
    description: Option<String>,
    engine: &'static str,
    torch: String,
    /// When it was made, by its manifest.
    made: Option<u64>,
    /// Since when it can answer.
    since: u64,
    /// How long its preparation took.
    took: f64,
    /// How many golden rows agreed.
    proved_by: usize,
}

/// A label of a policy.
#[derive(Serialize)]
struct Label {
    label: String,
    /// What it was asked to be: a number, or `newest`.
    target: String,
    /// Which version that is; `null` where it is none in memory.
    version: Option<u64>,
    /// Of the traffic, or of the rows that `shadow` scores.
    percent: f64,
}

#[derive(Serialize)]
struct ChangeState {
    revision: u64,
    at: i64,
    by: String,
    reason: String,
    labels: Vec<Label>,
}

pub(super) fn model(name: &str, model: &Model, changes: &[Change], trials: &Trials) -> ModelState {
    let now = |label: &str| model.traffic.as_ref()?.arm(label).map(|arm| arm.version.manifest.version);
    let any = || model.residents().last().map(|resident| &resident.version);
    ModelState {
        name: name.to_owned(),
        task: model.stable().or_else(any).map(|version| version.manifest.task.as_str()),
        starting: model.starting,
        revision: model.revision,
        problems: problems(&model.problems),
        versions: model.versions.iter().rev().map(|(number, standing)| version(model, *number, standing)).collect(),
        labels: labels(&model.policy, now),
        changes: changes.iter().map(change).collect(),
        comparisons: trials.comparisons(name).iter().map(comparison).collect(),
        guard: guard(&model.policy.guard, trials.evidence(model).as_ref()),
    }
}

fn version(model: &Model, number: u64, standing: &Standing) -> VersionState {
    let (state, told, resident) = match standing {
        Standing::OnDisk => ("on_disk", [].as_slice(), None),
        Standing::Preparing => ("preparing", [].as_slice(), None),
        Standing::Resident(found) => ("resident", [].as_slice(), Some(resident(found))),
        Standing::Rejected(found) => ("rejected", found.as_slice(), None),
    };
    let arms = model.traffic.iter().flat_map(|traffic| traffic.arms());
    let arms: Vec<_> = arms.filter(|arm| arm.version.manifest.version == number).collect();
    VersionState {
        number,
        state,
        labels: arms.iter().map(|arm| arm.label.to_string()).collect(),
        percent: arms.iter().filter(|arm| &*arm.label != SHADOW).map(|arm| arm.percent).sum(),
        problems: problems(told),
        resident,
    }
}

fn resident(found: &Resident) -> ResidentState {
    let Resident { version, since, took } = found;
    let Version { manifest, digest, proved_by, .. } = &**version;
    let made = manifest.created_at.parse::<Timestamp>().ok();
    ResidentState {
        digest: digest.clone(),
        description: manifest.description.clone(),
        engine: manifest.engine.as_str(),
        torch: manifest.torch_version.clone(),
        made: made.and_then(|made| u64::try_from(made.as_millisecond()).ok()),
        since: millis(*since),
        took: took.as_secs_f64(),
        proved_by: *proved_by,
    }
}

fn labels(policy: &Policy, version: impl Fn(&str) -> Option<u64>) -> Vec<Label> {
    let (stable, others): (Vec<_>, Vec<_>) = policy.labels.iter().partition(|(label, _)| *label == STABLE);
    let label = |(label, labelled): (&String, &Labelled)| Label {
        label: label.clone(),
        target: labelled.version.to_string(),
        version: version(label),
        percent: policy.percent(label),
    };
    stable.into_iter().chain(others).map(label).collect()
}

fn change(found: &Change) -> ChangeState {
    ChangeState {
        revision: found.revision,
        at: found.at.as_millisecond(),
        by: found.by.clone(),
        reason: found.reason.clone(),
        labels: labels(&found.policy, |label| found.versions.get(label).copied()),
    }
}

fn problems(all: &[String]) -> Problems {
    Problems { told: all.iter().take(PROBLEMS).cloned().collect(), more: all.len().saturating_sub(PROBLEMS) }
}
