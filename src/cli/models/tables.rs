//! Tables for people: aligned columns, no lines, no colours.

use std::time::SystemTime;

use comfy_table::{Table, presets};

use super::figures::{NOTHING, age, cut, or_nothing, plain, share};
use crate::api::proto::v1::{Model, ModelVersion, TrafficLabel, VersionState};

/// Longest reason in the list, in characters; `show` has all of it.
const REASON: usize = 80;

/// Digits of a digest that tell it from others.
const DIGEST: usize = 12;

/// A table with this header and these rows.
pub(super) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Every version of every model.
pub(super) fn list(models: &[Model], now: SystemTime) -> String {
    if models.is_empty() {
        return "the server knows no model".into();
    }
    let header = ["MODEL", "VERSION", "STATE", "LABELS", "SHARE", "AGE", "DIGEST", "REASON"];
    table(header, models.iter().flat_map(|model| rows(model, now)))
}

fn rows(model: &Model, now: SystemTime) -> Vec<[String; 8]> {
    let versions = model.versions.iter().map(|version| {
        let [labels, share] = labels_and_share(version);
        [
            plain(&model.name),
            version.number.to_string(),
            state(version).into(),
            labels,
            share,
            age(version.loaded_at, now),
            digest(version),
            reason(&version.problems),
        ]
    });
    let mut rows: Vec<_> = versions.collect();
    if rows.is_empty() || !model.problems.is_empty() {
        let nothing = || NOTHING.to_owned();
        let state = if model.starting { "starting".into() } else { nothing() };
        let reason = reason(&model.problems);
        rows.push([plain(&model.name), nothing(), state, nothing(), nothing(), nothing(), nothing(), reason]);
    }
    rows
}

/// The first of these problems, and how many there are beside it.
fn reason(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        [problem] => cut(problem, REASON),
        [first, others @ ..] => format!("{} (+{} more)", cut(first, REASON), others.len()),
    }
}

/// A version's labels and its share; it has none where it answers by its number only.
pub(super) fn labels_and_share(version: &ModelVersion) -> [String; 2] {
    if version.labels.is_empty() {
        return [NOTHING.into(), NOTHING.into()];
    }
    [plain(&version.labels.join(", ")), share(version.percent)]
}

/// The first digits of a version's digest.
pub(super) fn digest(version: &ModelVersion) -> String {
    or_nothing(version.digest.get(..DIGEST).unwrap_or(&version.digest))
}

/// How far a version is.
pub(super) fn state(version: &ModelVersion) -> &'static str {
    match version.state() {
        VersionState::Unspecified => "unknown",
        VersionState::OnDisk => "on disk",
        VersionState::Preparing => "preparing",
        VersionState::Resident => "in memory",
        VersionState::Rejected => "rejected",
    }
}

/// Who answers.
pub(super) fn arms(labels: &[TrafficLabel]) -> String {
    let row = |label: &TrafficLabel| [plain(&label.label), arm(label), share(label.resolved_percent)];
    table(["LABEL", "VERSION", "SHARE"], labels.iter().map(row))
}

/// The version of a label: `4`, or `newest (4)`.
pub(super) fn arm(label: &TrafficLabel) -> String {
    match label.resolved_version {
        0 => format!("{} (not in memory)", plain(&label.version)),
        now if now.to_string() == label.version => plain(&label.version),
        now => format!("{} ({now})", plain(&label.version)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn version(number: u64, state: VersionState) -> ModelVersion {
        ModelVersion { number, state: state.into(), ..ModelVersion::default() }
    }

    fn resident(number: u64, labels: &[&str], percent: f64) -> ModelVersion {
        ModelVersion {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            percent,
            digest: "0123456789abcdef".repeat(4),
            loaded_at: Some(prost_types::Timestamp { seconds: 1_000, nanos: 0 }),
            ..version(number, VersionState::Resident)
        }
    }

    #[test]
    fn the_list_has_a_line_for_each_version_and_names_the_first_reason() {
        let problems = ["golden row 3: ziln[0] is 1.5, wanted 1.25", "the digest", "warm-up"].map(ToOwned::to_owned);
        let rejected = ModelVersion { problems: problems.into(), ..version(11, VersionState::Rejected) };
        let versions = vec![
            rejected,
            resident(10, &["canary", "blue"], 10.0),
            resident(9, &["stable"], 90.0),
            version(2, VersionState::OnDisk),
        ];
        let gmv = Model { name: "merchant_gmv".into(), versions, ..Model::default() };
        let unread = Model { name: "杭州".into(), problems: vec!["can't be listed".into()], ..Model::default() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + 300);
        let wanted = "\
MODEL         VERSION  STATE      LABELS        SHARE  AGE  DIGEST        REASON
merchant_gmv  11       rejected   -             -      -    -             golden row 3: ziln[0] is 1.5, wanted 1.25 (+2 more)
merchant_gmv  10       in memory  canary, blue  10%    5m   0123456789ab
merchant_gmv  9        in memory  stable        90%    5m   0123456789ab
merchant_gmv  2        on disk    -             -      -    -
杭州          -        -          -             -      -    -             can't be listed";
        assert_eq!(list(&[gmv, unread], now), wanted);
    }

    #[test]
    fn no_model_is_said_in_words() {
        assert_eq!(list(&[], SystemTime::UNIX_EPOCH), "the server knows no model");
    }

    #[test]
    fn the_arms_say_which_version_answers_how_much() {
        let label = |label: &str, version: &str, resolved_version, resolved_percent| TrafficLabel {
            label: label.into(),
            version: version.into(),
            resolved_version,
            resolved_percent,
            percent: None,
        };
        let labels =
            [label("stable", "newest", 4, 87.5), label("canary", "5", 5, 12.5), label("shadow", "6", 0, 100.0)];
        let wanted = "\
LABEL   VERSION            SHARE
stable  newest (4)         87.5%
canary  5                  12.5%
shadow  6 (not in memory)  100%";
        assert_eq!(arms(&labels), wanted);
    }
}
