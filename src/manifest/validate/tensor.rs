//! Inputs and outputs, and the features that fill the inputs.

use std::collections::{HashMap, HashSet};

use super::{Problems, quoted};
use crate::manifest::{Calendar, Dim, Feature, InputSpec, Manifest, OutputSpec, Task};
use crate::rows::Dtype;

/// Most values per row of one tensor.
pub(super) const WIDEST: usize = 1 << 20;

pub(super) fn check(manifest: &Manifest, problems: &mut Problems) {
    let Manifest { inputs, outputs, .. } = manifest;
    for (key, len) in [("inputs", inputs.len()), ("outputs", outputs.len())] {
        if len == 0 {
            problems.add(key, "none", "at least one");
        }
    }
    problems.names(inputs.iter().map(|input| input.name.as_str()), |i| format!("inputs[{i}].name"));
    problems.names(outputs.iter().map(|output| output.name.as_str()), |i| format!("outputs[{i}].name"));
    let open = manifest.task == Task::Tensors;
    for (index, output) in outputs.iter().enumerate() {
        check_shape(&format!("outputs[{index}]"), &output.shape, open, problems);
    }
    let features: HashMap<_, _> = manifest.features.iter().map(|feature| (feature.name.as_str(), feature)).collect();
    for (index, input) in inputs.iter().enumerate() {
        let path = format!("inputs[{index}]");
        check_shape(&path, &input.shape, open, problems);
        match manifest.task {
            Task::MerchantGmv | Task::UserPortrait => check_filling(&path, input, &features, problems),
            Task::Tensors => check_sent(&path, input, outputs, problems),
        }
    }
    check_all_used(manifest, problems);
}

/// A size that is open counts as 1: what a request makes of it is checked with the request.
fn check_shape(path: &str, shape: &[Dim], open: bool, problems: &mut Problems) {
    let allowed = |dim: &Dim| dim.is_valid() && (open || *dim != Dim::OPEN);
    let width = shape.iter().try_fold(1_usize, |width, dim| width.checked_mul(dim.size().unwrap_or(1)));
    if !shape.iter().all(allowed) || !width.is_some_and(|width| (1..=WIDEST).contains(&width)) {
        problems.add(format!("{path}.shape"), format!("{shape:?}"), format!("a product of 1 to {WIDEST}"));
    }
}

/// An input of the task `tensors`, whose values requests send.
fn check_sent(path: &str, input: &InputSpec, outputs: &[OutputSpec], problems: &mut Problems) {
    if !input.features.is_empty() {
        problems.add(format!("{path}.features"), "some", "none for the task tensors");
    }
    if let Some(padding) = input.padding {
        let at = format!("{path}.padding");
        if !input.is_open() {
            problems.add(at, padding, "none where no size of the shape is -1");
        } else if outputs.iter().any(OutputSpec::is_open) {
            // Nobody could tell which part of such an output a shorter row's is.
            problems.add(at, padding, "none where the shape of an output has a -1");
        } else if !input.dtype.holds(padding) {
            problems.add(at, padding, format!("a value of {}", input.dtype));
        }
    }
    if let Some([least, greatest]) = input.range.filter(|[least, greatest]| least > greatest) {
        problems.add(format!("{path}.range"), format!("[{least}, {greatest}]"), "the least value, then the greatest");
    }
}

fn check_filling(path: &str, input: &InputSpec, features: &HashMap<&str, &Feature>, problems: &mut Problems) {
    let at = |index: usize| format!("{path}.features[{index}]");
    problems.names(input.features.iter().map(String::as_str), at);
    for (index, name) in input.features.iter().enumerate() {
        match features.get(name.as_str()) {
            None => problems.add(at(index), quoted(name), "one of the manifest's features"),
            Some(feature) if feature.kind.is_list() && input.features.len() > 1 => {
                problems.add(at(index), format!("the list {} among others", quoted(name)), "a list alone");
            }
            Some(feature) if !can_fill(feature, input.dtype) => {
                let found = format!("{} of kind {} for {}", quoted(name), feature.kind.as_str(), input.dtype);
                problems.add(at(index), found, "numbers for float32, a feature with an encoding for int64");
            }
            Some(_) => {}
        }
    }
    if input.padding.is_some() || input.range.is_some() {
        problems.add(path, "padding or range", "none but for the task tensors");
    }
    let wanted = match input.features.as_slice() {
        [] => return problems.add(format!("{path}.features"), "none", "at least one"),
        [only] => features.get(only.as_str()).and_then(|feature| feature.max_len).unwrap_or(1),
        many => many.len(),
    };
    if input.width() != Some(wanted) {
        problems.add(format!("{path}.shape"), format!("{:?}", input.shape), format!("{wanted} values by its features"));
    }
}

fn can_fill(feature: &Feature, dtype: Dtype) -> bool {
    let is_id = matches!(feature.calendar, Some(Calendar::DayOfWeek | Calendar::Month));
    match dtype {
        Dtype::Float32 => feature.kind.is_numeric(),
        Dtype::Int64 => feature.encoding.is_some() || is_id,
        _ => false,
    }
}

/// A feature that fills no input would be asked of callers for nothing.
fn check_all_used(manifest: &Manifest, problems: &mut Problems) {
    let used: HashSet<_> = manifest.inputs.iter().flat_map(|input| &input.features).collect();
    for (index, feature) in manifest.features.iter().enumerate().filter(|(_, feature)| !used.contains(&feature.name)) {
        problems.add(
            format!("features[{index}]"),
            format!("{} in no input", quoted(&feature.name)),
            "it in at least one",
        );
    }
}
