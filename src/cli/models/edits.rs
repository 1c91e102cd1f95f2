//! Changes of a policy, as people write them: `canary=4:10`, `canary:20`.

use std::str::FromStr;

use crate::{
    api::proto::v1::{TrafficLabel, TrafficPolicy},
    registry::{STABLE, Target},
};

/// A change of one label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edit {
    pub(super) label: String,
    /// Another version.
    version: Option<Target>,
    /// Another share.
    percent: Option<f64>,
}

impl FromStr for Edit {
    type Err = String;

    /// `LABEL=VERSION`, `LABEL=VERSION:PERCENT` or `LABEL:PERCENT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (named, percent) = match text.split_once(':') {
            Some((named, percent)) => (named, Some(share(percent)?)),
            None => (text, None),
        };
        let (label, version) = match named.split_once('=') {
            Some((label, version)) => (label, Some(version.parse()?)),
            None => (named, None),
        };
        if label.is_empty() || (version.is_none() && percent.is_none()) {
            return Err("wanted LABEL=VERSION, LABEL=VERSION:PERCENT or LABEL:PERCENT".into());
        }
        Ok(Self { label: label.to_owned(), version, percent })
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let percent = number.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| format!("{text:?} is no share: wanted 0 to 100 percent"))
}

/// What is wrong with edits whatever the policy is: two of one label, of which one
/// would be lost.
pub(super) fn contradiction(edits: &[Edit], removed: &[String]) -> Option<String> {
    let labels: Vec<&str> =
        edits.iter().map(|edit| edit.label.as_str()).chain(removed.iter().map(String::as_str)).collect();
    let twice =
        labels.iter().enumerate().find(|(index, label)| labels.iter().take(*index).any(|other| other == *label));
    let twice = twice.map(|(_, label)| format!("label {label:?} is there twice"));
    let stable = removed.iter().any(|label| label == STABLE);
    twice.or_else(|| stable.then(|| format!("--remove {STABLE}: it answers what no other label does")))
}

/// Changes the policy. `stable` has what the other labels leave, unless an edit
/// says how much.
///
/// # Errors
///
/// Everything that the policy has no label for.
pub(super) fn apply(policy: &mut TrafficPolicy, edits: &[Edit], removed: &[String]) -> Result<(), String> {
    let mut problems = Vec::new();
    for label in removed {
        if !policy.labels.iter().any(|found| found.label == *label) {
            problems.push(format!("--remove {label}: there is no such label"));
        }
    }
    policy.labels.retain(|found| !removed.contains(&found.label));
    let stable = policy.labels.iter_mut().filter(|found| found.label == STABLE);
    stable.for_each(|stable| stable.percent = None);
    for edit in edits {
        problems.extend(edit.apply(policy).err());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

impl Edit {
    fn apply(&self, policy: &mut TrafficPolicy) -> Result<(), String> {
        let label = &self.label;
        if let Some(found) = policy.labels.iter_mut().find(|found| found.label == *label) {
            if let Some(version) = self.version {
                found.version = version.to_string();
            }
            found.percent = self.percent.or(found.percent);
            return Ok(());
        }
        let version = self
            .version
            .ok_or_else(|| format!("there is no label {label:?} yet: wanted its version too, e.g. {label}=3:10"))?;
        let added = TrafficLabel {
            label: label.clone(),
            version: version.to_string(),
            percent: self.percent,
            ..TrafficLabel::default()
        };
        policy.labels.push(added);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `stable=3`, with the labels of `edits`.
    fn policy(edits: &[&str]) -> TrafficPolicy {
        let mut policy = TrafficPolicy::default();
        apply(&mut policy, &parsed(&["stable=3"]), &[]).unwrap();
        apply(&mut policy, &parsed(edits), &[]).unwrap();
        policy
    }

    fn parsed(edits: &[&str]) -> Vec<Edit> {
        edits.iter().map(|edit| edit.parse().unwrap()).collect()
    }

    fn labels(policy: &TrafficPolicy) -> Vec<(&str, &str, Option<f64>)> {
        policy.labels.iter().map(|label| (&*label.label, &*label.version, label.percent)).collect()
    }

    #[test]
    fn an_edit_names_a_version_a_share_or_both() {
        let edit = |label: &str, version, percent| Ok(Edit { label: label.into(), version, percent });
        assert_eq!("canary=4:10".parse(), edit("canary", Some(Target::Number(4)), Some(10.0)));
        assert_eq!("canary=4".parse(), edit("canary", Some(Target::Number(4)), None));
        assert_eq!("canary:2.5%".parse(), edit("canary", None, Some(2.5)));
        assert_eq!("stable=newest".parse(), edit("stable", Some(Target::Newest), None));
    }

    #[test]
    fn what_is_no_edit_is_answered_with_what_was_wanted() {
        let wrong = |text: &str| text.parse::<Edit>().unwrap_err();
        for text in ["", "canary", "=4", ":10"] {
            assert_eq!(wrong(text), "wanted LABEL=VERSION, LABEL=VERSION:PERCENT or LABEL:PERCENT");
        }
        assert_eq!(wrong("canary=latest"), "\"latest\" is no version: wanted a number or \"newest\"");
        for (text, share) in
            [("canary=4:ten", "ten"), ("canary:101", "101"), ("canary:NaN", "NaN"), ("canary:-1", "-1")]
        {
            assert_eq!(wrong(text), format!("{share:?} is no share: wanted 0 to 100 percent"));
        }
    }

    #[test]
    fn a_new_version_keeps_its_labels_share_and_a_new_share_its_version() {
        let mut policy = policy(&["canary=4:10", "shadow=5:50"]);
        apply(&mut policy, &parsed(&["canary=6", "shadow:100"]), &[]).unwrap();
        let wanted = [("stable", "3", None), ("canary", "6", Some(10.0)), ("shadow", "5", Some(100.0))];
        assert_eq!(labels(&policy), wanted);
    }

    #[test]
    fn stable_has_what_the_others_leave_unless_it_is_given() {
        let mut policy = policy(&["stable=3:90", "canary=4:10"]);
        assert_eq!(labels(&policy)[0], ("stable", "3", Some(90.0)));
        apply(&mut policy, &parsed(&["canary:20"]), &[]).unwrap();
        assert_eq!(labels(&policy)[0], ("stable", "3", None));
    }

    #[test]
    fn labels_are_removed_by_name() {
        let mut policy = policy(&["canary=4:10"]);
        apply(&mut policy, &[], &["canary".into()]).unwrap();
        assert_eq!(labels(&policy), [("stable", "3", None)]);
    }

    #[test]
    fn everything_that_the_policy_has_no_label_for_is_named() {
        let said = apply(&mut policy(&[]), &parsed(&["canary:10"]), &["shadow".into()]).unwrap_err();
        let wanted = "--remove shadow: there is no such label; \
                      there is no label \"canary\" yet: wanted its version too, e.g. canary=3:10";
        assert_eq!(said, wanted);
    }

    #[test]
    fn two_edits_of_one_label_contradict_each_other() {
        let said = |edits: &[&str], removed: &[&str]| {
            contradiction(&parsed(edits), &removed.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(said(&["canary=4", "stable=3"], &["shadow"]), None);
        assert_eq!(said(&["canary=4", "canary:10"], &[]).unwrap(), "label \"canary\" is there twice");
        assert_eq!(said(&["canary=4"], &["canary"]).unwrap(), "label \"canary\" is there twice");
        assert!(said(&[], &["stable"]).unwrap().starts_with("--remove stable: "));
    }
}
