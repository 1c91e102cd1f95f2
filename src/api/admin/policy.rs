//! Policies as clients read and write them.

use std::{collections::BTreeMap, time::Duration};

use super::moments;
use crate::{
    api::proto::v1::{GuardLimits as Limits, TrafficLabel, TrafficPolicy},
    error::shown,
    registry::{GuardLimits, Labelled, Model, OrderError, Policy, STABLE},
};

/// The policy of a model, with the versions that its labels are now.
pub(super) fn write(model: &Model) -> TrafficPolicy {
    let arm = |label: &str| model.traffic.as_ref()?.arm(label).map(|arm| arm.version.manifest.version);
    TrafficPolicy {
        labels: labels(&model.policy, arm),
        salt: model.policy.salt.clone().unwrap_or_default(),
        guard: Some(limits(&model.policy.guard)),
    }
}

/// The labels of a policy, `stable` first; `resolved` says which version each is.
pub(in crate::api) fn labels(policy: &Policy, resolved: impl Fn(&str) -> Option<u64>) -> Vec<TrafficLabel> {
    let (stable, others): (Vec<_>, Vec<_>) = policy.labels.iter().partition(|(label, _)| *label == STABLE);
    let label = |(label, labelled): (&String, &Labelled)| TrafficLabel {
        label: label.clone(),
        version: labelled.version.to_string(),
        resolved_version: resolved(label).unwrap_or_default(),
        percent: labelled.percent,
        resolved_percent: policy.percent(label),
    };
    stable.into_iter().chain(others).map(label).collect()
}

fn limits(guard: &GuardLimits) -> Limits {
    Limits {
        enabled: Some(guard.enabled),
        min_rows: Some(guard.min_rows),
        window: moments::duration(guard.window),
        max_error_rate: Some(guard.max_error_rate),
        max_non_finite_rate: Some(guard.max_non_finite_rate),
        max_p99_ratio: Some(guard.max_p99_ratio),
        max_cost_ratio: Some(guard.max_cost_ratio),
        max_divergence: guard.max_divergence,
        looks: Some(guard.looks),
    }
}

/// The policy that somebody asks for. Whether it can be followed is the keeper's
/// question.
///
/// # Errors
///
/// [`OrderError::BadPolicy`] with everything that can't be read.
pub(in crate::api) fn read(asked: TrafficPolicy) -> Result<Policy, OrderError> {
    let (mut labels, mut problems) = (BTreeMap::new(), Vec::new());
    for TrafficLabel { label, version, percent, .. } in asked.labels {
        match version.parse() {
            Ok(_) if labels.contains_key(&label) => {
                problems.push(format!("label {:?} is there twice", shown(&label)));
            }
            Ok(version) => drop(labels.insert(label, Labelled { version, percent })),
            Err(_) => problems.push(unreadable(&label, &version)),
        }
    }
    let guard = guard(asked.guard.unwrap_or_default()).map_err(|problem| problems.push(problem));
    match guard {
        Ok(guard) if problems.is_empty() => {
            Ok(Policy { labels, salt: Some(asked.salt).filter(|salt| !salt.is_empty()), guard })
        }
        _ => Err(OrderError::BadPolicy { problems }),
    }
}

fn unreadable(label: &str, version: &str) -> String {
    let (label, version) = (shown(label), shown(version));
    format!("label {label:?}: {version:?} is no version: wanted a number or \"newest\"")
}

/// The limits that somebody asks for; what is absent has its default.
fn guard(asked: Limits) -> Result<GuardLimits, String> {
    let usual = GuardLimits::default();
    let window = asked.window.map_or(Ok(usual.window), Duration::try_from);
    Ok(GuardLimits {
        enabled: asked.enabled.unwrap_or(usual.enabled),
        min_rows: asked.min_rows.unwrap_or(usual.min_rows),
        window: window.map_err(|error| format!("guard.window: {error}"))?,
        max_error_rate: asked.max_error_rate.unwrap_or(usual.max_error_rate),
        max_non_finite_rate: asked.max_non_finite_rate.unwrap_or(usual.max_non_finite_rate),
        max_p99_ratio: asked.max_p99_ratio.unwrap_or(usual.max_p99_ratio),
        max_cost_ratio: asked.max_cost_ratio.unwrap_or(usual.max_cost_ratio),
        max_divergence: asked.max_divergence,
        looks: asked.looks.unwrap_or(usual.looks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{CANARY, Target};

    fn label(label: &str, version: &str, percent: Option<f64>) -> TrafficLabel {
        TrafficLabel { label: label.into(), version: version.into(), percent, ..TrafficLabel::default() }
    }

    fn policy() -> Policy {
        let stable = Labelled { version: Target::Newest, percent: None };
        let canary = Labelled { version: Target::Number(4), percent: Some(10.0) };
        Policy {
            labels: [(STABLE.to_owned(), stable), (CANARY.to_owned(), canary)].into(),
            salt: Some("winter".into()),
            guard: GuardLimits { min_rows: 7, max_divergence: Some(0.2), ..GuardLimits::default() },
        }
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let written = write(&Model { policy: policy(), ..Model::default() });
        assert_eq!(read(written.clone()).unwrap(), policy());
        let labels: Vec<_> = written.labels.iter().map(|label| (&*label.label, label.resolved_percent)).collect();
        assert_eq!(labels, [("stable", 90.0), ("canary", 10.0)]);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let asked = TrafficPolicy { labels: vec![label("stable", "newest", None)], ..TrafficPolicy::default() };
        assert_eq!(read(asked).unwrap(), Policy::default());
    }

    #[test]
    fn everything_that_can_not_be_read_is_named() {
        let window = Some(prost_types::Duration { seconds: -1, nanos: 0 });
        let asked = TrafficPolicy {
            labels: vec![label("stable", "3", None), label("stable", "4", None), label("canary", "latest", None)],
            guard: Some(Limits { window, ..Limits::default() }),
            ..TrafficPolicy::default()
        };
        let Err(OrderError::BadPolicy { problems }) = read(asked) else { panic!("it was read") };
        let wanted = [
            "label \"stable\" is there twice",
            "label \"canary\": \"latest\" is no version: wanted a number or \"newest\"",
            "guard.window: ",
        ];
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().zip(wanted).all(|(found, wanted)| found.starts_with(wanted)), "{problems:?}");
    }
}
