//! The head, and the outputs that it reads.

use super::feature::LONGEST_HORIZON;
use super::{Problems, quoted};
use crate::{
    manifest::{Calibration, GroupSpec, HeadSpec, Manifest, Task},
    rows::Dtype,
};

/// Most probabilities at which a forecast is read.
const MOST_QUANTILES: usize = 100;

pub(super) fn check(manifest: &Manifest, problems: &mut Problems) {
    match (&manifest.head, manifest.task) {
        (HeadSpec::Ziln { output, currency, horizon_days, quantiles }, Task::MerchantGmv) => {
            check_output(manifest, "head.output", output, Some(3), problems);
            check_money(currency, *horizon_days, problems);
            check_quantiles(quantiles, problems);
        }
        (HeadSpec::Point { output, currency, horizon_days }, Task::MerchantGmv) => {
            check_output(manifest, "head.output", output, Some(1), problems);
            check_money(currency, *horizon_days, problems);
        }
        (HeadSpec::Portrait { groups }, Task::UserPortrait) => check_groups(manifest, groups, problems),
        (HeadSpec::Tensors {}, Task::Tensors) => {}
        (head, task) => problems.add("head.kind", format!("{} for task {task}", kind(head)), kinds(task)),
    }
}

fn kind(head: &HeadSpec) -> &'static str {
    match head {
        HeadSpec::Ziln { .. } => "ziln",
        HeadSpec::Point { .. } => "point",
        HeadSpec::Portrait { .. } => "portrait",
        HeadSpec::Tensors {} => "tensors",
    }
}

fn kinds(task: Task) -> &'static str {
    match task {
        Task::MerchantGmv => "ziln or point",
        Task::UserPortrait => "portrait",
        Task::Tensors => "tensors",
    }
}

/// `width`: values per row, where the head wants a certain number.
fn check_output(manifest: &Manifest, path: &str, name: &str, width: Option<usize>, problems: &mut Problems) {
    let Some(output) = manifest.outputs.iter().find(|output| output.name == name) else {
        return problems.add(path, quoted(name), "one of the manifest's outputs");
    };
    if output.dtype != Dtype::Float32 {
        problems.add(path, format!("{} of {}", quoted(name), output.dtype), Dtype::Float32);
    }
    if width.is_some() && output.width() != width {
        let wanted = format!("{} values", width.unwrap_or_default());
        problems.add(path, format!("{} of shape {:?}", quoted(name), output.shape), wanted);
    }
}

fn check_money(currency: &str, horizon_days: u32, problems: &mut Problems) {
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        problems.add("head.currency", quoted(currency), "a code of ISO 4217, 3 capital letters");
    }
    if !(1..=LONGEST_HORIZON).contains(&horizon_days) {
        problems.add("head.horizon_days", horizon_days, format!("1 to {LONGEST_HORIZON}"));
    }
}

fn check_quantiles(quantiles: &[f64], problems: &mut Problems) {
    if quantiles.len() > MOST_QUANTILES {
        problems.add("head.quantiles", quantiles.len(), format!("at most {MOST_QUANTILES}"));
    }
    for (index, quantile) in quantiles.iter().enumerate().filter(|(_, q)| !(**q > 0.0 && **q < 1.0)) {
        problems.add(format!("head.quantiles[{index}]"), quantile, "a number strictly between 0 and 1");
    }
    problems.ascending("head.quantiles", quantiles);
}

fn check_groups(manifest: &Manifest, groups: &[GroupSpec], problems: &mut Problems) {
    if groups.is_empty() {
        problems.add("head.groups", "none", "at least one");
    }
    problems.names(groups.iter().map(GroupSpec::name), |i| format!("head.groups[{i}].name"));
    for (index, group) in groups.iter().enumerate() {
        let path = format!("head.groups[{index}]");
        let width = match group {
            GroupSpec::Softmax { labels, calibration, .. } | GroupSpec::Sigmoid { labels, calibration, .. } => {
                check_tags(&path, labels, calibration, problems);
                Some(labels.len())
            }
            GroupSpec::Embedding { .. } => None,
        };
        check_output(manifest, &format!("{path}.output"), group.output(), width, problems);
    }
    let embeddings = groups.iter().filter(|group| matches!(group, GroupSpec::Embedding { .. })).count();
    if embeddings > 1 {
        problems.add("head.groups", format!("{embeddings} embeddings"), "at most one");
    }
}

fn check_tags(path: &str, labels: &[String], calibration: &Calibration, problems: &mut Problems) {
    if labels.is_empty() {
        problems.add(format!("{path}.labels"), "none", "at least one");
    }
    problems.names(labels.iter().map(String::as_str), |i| format!("{path}.labels[{i}]"));
    let Calibration { scale, bias } = calibration;
    if *scale <= 0.0 {
        problems.add(format!("{path}.calibration.scale"), scale, "a number above 0");
    }
    if !bias.is_empty() && bias.len() != labels.len() {
        let wanted = format!("one for each of {} labels, or none", labels.len());
        problems.add(format!("{path}.calibration.bias"), format!("{} numbers", bias.len()), wanted);
    }
}
