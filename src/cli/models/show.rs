//! `souk models show`: all that is known of one model.

use super::{
    figures::{figure, known, moment, or_nothing, plain, share, took},
    guard,
    tables::{arm, arms, digest, labels_and_share, state, table},
};
use crate::api::proto::v1::{Comparison, GetModelResponse, Model, ModelVersion, TrafficChange, TrafficLabel};

/// A model in paragraphs, each with a heading; those without anything to say are
/// left out.
pub(super) fn model(reply: &GetModelResponse) -> String {
    let unknown = Model::default();
    let model = reply.model.as_ref().unwrap_or(&unknown);
    let paragraphs = [
        Some(head(model)),
        problems(&format!("Problems of {}", plain(&model.name)), &model.problems),
        Some(versions(&model.versions)),
        problems_of_versions(&model.versions),
        policy(model),
        comparisons(&reply.comparisons),
        history(&reply.history),
    ];
    paragraphs.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

fn head(model: &Model) -> String {
    let starting = if model.starting { ", starting" } else { "" };
    format!("{}, revision {}{starting}", plain(&model.name), model.revision)
}

fn problems(heading: &str, problems: &[String]) -> Option<String> {
    let lines: String = problems.iter().map(|problem| format!("\n  {}", plain(problem))).collect();
    (!lines.is_empty()).then(|| format!("{heading}:{lines}"))
}

fn versions(versions: &[ModelVersion]) -> String {
    let row = |version: &ModelVersion| {
        let [labels, share] = labels_and_share(version);
        [
            version.number.to_string(),
            state(version).into(),
            labels,
            share,
            moment(version.loaded_at),
            took(version.load_duration),
            moment(version.created_at),
            or_nothing(&version.torch_version),
            digest(version),
            plain(&version.description),
        ]
    };
    let header = [
        "VERSION",
        "STATE",
        "LABELS",
        "SHARE",
        "IN MEMORY SINCE",
        "PREPARED IN",
        "MADE",
        "TORCH",
        "DIGEST",
        "DESCRIPTION",
    ];
    table(header, versions.iter().map(row))
}

fn problems_of_versions(versions: &[ModelVersion]) -> Option<String> {
    let of = |version: &ModelVersion| problems(&format!("Problems of version {}", version.number), &version.problems);
    let paragraphs: Vec<_> = versions.iter().filter_map(of).collect();
    (!paragraphs.is_empty()).then(|| paragraphs.join("\n\n"))
}

fn policy(model: &Model) -> Option<String> {
    let policy = model.policy.as_ref()?;
    let salt = if policy.salt.is_empty() { &model.name } else { &policy.salt };
    let guard = guard::words(&policy.guard.unwrap_or_default());
    Some(format!("Policy, salt {:?}:\n{}\nGuard: {guard}", plain(salt), arms(&policy.labels)))
}

fn comparisons(comparisons: &[Comparison]) -> Option<String> {
    let row = |of: &Comparison| {
        [
            of.live_version.to_string(),
            of.other_version.to_string(),
            plain(&of.head),
            of.rows.to_string(),
            figure(of.mean_difference),
            figure(of.mean_absolute_difference),
            figure(of.standard_deviation),
            figure(of.p50_absolute_difference),
            figure(of.p90_absolute_difference),
            figure(of.p99_absolute_difference),
            figure(of.max_absolute_difference),
            figure(of.relative_difference),
            known(of.rank_correlation),
            known(of.top_decile_overlap),
            known(of.latency_ratio),
            known(of.cost_ratio),
            moment(of.window_since),
        ]
    };
    let header = [
        "LIVE",
        "OTHER",
        "HEAD",
        "ROWS",
        "MEAN",
        "MEAN ABS",
        "DEVIATION",
        "P50",
        "P90",
        "P99",
        "MAX",
        "RELATIVE",
        "RANK",
        "TOP 10%",
        "LATENCY",
        "COST",
        "SINCE",
    ];
    let told = || format!("Differences to the live version:\n{}", table(header, comparisons.iter().map(row)));
    (!comparisons.is_empty()).then(told)
}

fn history(history: &[TrafficChange]) -> Option<String> {
    let row = |change: &TrafficChange| {
        let labels = change.labels.iter().map(label).collect::<Vec<_>>().join(", ");
        [change.revision.to_string(), moment(change.at), plain(&change.by), labels, plain(&change.reason)]
    };
    let header = ["REVISION", "AT", "BY", "LABELS", "REASON"];
    (!history.is_empty()).then(|| format!("History:\n{}", table(header, history.iter().map(row))))
}

fn label(label: &TrafficLabel) -> String {
    format!("{}={} {}", plain(&label.label), arm(label), share(label.resolved_percent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::proto::v1::{TrafficPolicy, VersionState};

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn labels() -> Vec<TrafficLabel> {
        let stable = TrafficLabel {
            label: "stable".into(),
            version: "newest".into(),
            resolved_version: 3,
            resolved_percent: 90.0,
            percent: None,
        };
        let canary = TrafficLabel {
            label: "canary".into(),
            version: "4".into(),
            resolved_version: 4,
            resolved_percent: 10.0,
            percent: Some(10.0),
        };
        vec![stable, canary]
    }

    fn shown() -> GetModelResponse {
        let live = ModelVersion {
            number: 3,
            state: VersionState::Resident.into(),
            labels: vec!["stable".into()],
            percent: 90.0,
            digest: "0123456789abcdef".repeat(4),
            created_at: at(0),
            torch_version: "2.11.0".into(),
            loaded_at: at(86_400),
            load_duration: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            description: "DeepFM.".into(),
            problems: Vec::new(),
        };
        let rejected = ModelVersion {
            number: 5,
            state: VersionState::Rejected.into(),
            problems: vec!["the digest".into(), "golden row 3".into()],
            ..ModelVersion::default()
        };
        let model = Model {
            name: "merchant_gmv".into(),
            versions: vec![rejected, live],
            policy: Some(TrafficPolicy { labels: labels(), salt: String::new(), guard: None }),
            revision: 2,
            problems: vec!["policy.json: expected `,`".into()],
            starting: false,
        };
        let change = TrafficChange {
            revision: 2,
            at: at(172_800),
            by: "anna (127.0.0.1)".into(),
            reason: String::new(),
            labels: labels(),
        };
        GetModelResponse { model: Some(model), history: vec![change], comparisons: Vec::new() }
    }

    #[test]
    fn a_model_is_shown_with_all_its_problems_its_policy_and_its_history() {
        let wanted = "\
merchant_gmv, revision 2

Problems of merchant_gmv:
  policy.json: expected `,`

VERSION  STATE      LABELS  SHARE  IN MEMORY SINCE       PREPARED IN  MADE                  TORCH   DIGEST        DESCRIPTION
5        rejected   -       -      -                     -            -                     -       -
3        in memory  stable  90%    1970-01-02T00:00:00Z  1.5s         1970-01-01T00:00:00Z  2.11.0  0123456789ab  DeepFM.

Problems of version 5:
  the digest
  golden row 3

Policy, salt \"merchant_gmv\":
LABEL   VERSION     SHARE
stable  newest (3)  90%
canary  4           10%
Guard: by its defaults

History:
REVISION  AT                    BY                LABELS                               REASON
2         1970-01-03T00:00:00Z  anna (127.0.0.1)  stable=newest (3) 90%, canary=4 10%";
        assert_eq!(model(&shown()), wanted);
    }

    #[test]
    fn comparisons_are_a_table_and_what_is_not_known_is_a_dash() {
        let comparison = Comparison {
            live_version: 3,
            other_version: 4,
            head: "expected_gmv".into(),
            rows: 5000,
            mean_difference: -1.5,
            mean_absolute_difference: 20.25,
            max_absolute_difference: 12_345.6,
            rank_correlation: Some(0.987_65),
            latency_ratio: Some(1.1),
            window_since: at(0),
            ..Comparison::default()
        };
        let wanted = "\
Differences to the live version:
LIVE  OTHER  HEAD          ROWS  MEAN    MEAN ABS  DEVIATION  P50  P90  P99  MAX    RELATIVE  RANK    TOP 10%  LATENCY  COST  SINCE
3     4      expected_gmv  5000  -1.500  20.25     0          0    0    0    12346  0         0.9877  -        1.100    -     1970-01-01T00:00:00Z";
        assert_eq!(comparisons(&[comparison]).unwrap(), wanted);
    }
}
