//! The architecture, and the inputs and the output that it needs.

use super::{Problems, tensor::WIDEST};
use crate::{
    manifest::{Architecture, Arguments, Dim, Engine, Manifest, Transformed},
    rows::Dtype,
};

/// Longest latent vector.
const LONGEST_VECTOR: usize = 1024;

/// Most hidden layers.
const DEEPEST: usize = 16;

/// Most values of a hidden layer.
const WIDEST_LAYER: usize = 65_536;

/// Most ids of one field: those of the hash encoding.
const MOST_IDS: usize = 1 << 31;

pub(super) fn check(manifest: &Manifest, problems: &mut Problems) {
    match (manifest.engine, &manifest.architecture) {
        (Engine::Deepfm, Some(architecture)) => {
            check_sizes(architecture, problems);
            check_tensors(manifest, architecture, problems);
        }
        (Engine::Deepfm, None) => problems.add("architecture", "none", "one for the engine deepfm"),
        (Engine::Torchscript, Some(_)) => {
            problems.add("architecture", "one", "none for the engine torchscript, whose file holds its code");
        }
        (Engine::Torchscript, None) => {}
    }
}

fn check_sizes(architecture: &Architecture, problems: &mut Problems) {
    let mut size = |path: String, found: usize, most: usize| {
        if !(1..=most).contains(&found) {
            problems.add(format!("architecture.{path}"), found, format!("1 to {most}"));
        }
    };
    size("embedding_dim".into(), architecture.embedding_dim, LONGEST_VECTOR);
    size("outputs".into(), architecture.outputs, WIDEST_LAYER);
    size("cardinalities".into(), architecture.cardinalities.len(), WIDEST);
    for (index, ids) in architecture.cardinalities.iter().enumerate() {
        size(format!("cardinalities[{index}]"), *ids, MOST_IDS);
    }
    for (index, width) in architecture.hidden.iter().enumerate() {
        size(format!("hidden[{index}]"), *width, WIDEST_LAYER);
    }
    if architecture.hidden.len() > DEEPEST {
        problems.add("architecture.hidden", architecture.hidden.len(), format!("at most {DEEPEST} layers"));
    }
    if architecture.deep_width().is_none_or(|width| width > WIDEST) {
        let wanted = format!("cardinalities × embedding_dim + dense of at most {WIDEST}");
        problems.add("architecture", "a first layer of more values", wanted);
    }
    match architecture.output {
        Transformed::Ziln { .. } if architecture.outputs != 3 => {
            problems.add("architecture.output", format!("ziln of {} outputs", architecture.outputs), "3 outputs");
        }
        Transformed::Ziln { log_level } if !(-100.0..=100.0).contains(&log_level) => {
            problems.add("architecture.output.ziln.log_level", log_level, "-100 to 100");
        }
        Transformed::Ziln { .. } | Transformed::Linear => {}
    }
}

/// What the engine takes and gives: ids, then numbers; one output.
fn check_tensors(manifest: &Manifest, architecture: &Architecture, problems: &mut Problems) {
    let mut wanted = vec![(Dtype::Int64, architecture.cardinalities.len())];
    wanted.extend(Some((Dtype::Float32, architecture.dense)).filter(|(_, numbers)| *numbers > 0));
    if manifest.inputs.len() != wanted.len() {
        problems.add("inputs", manifest.inputs.len(), format!("{} for the architecture", wanted.len()));
    }
    for (index, (input, (dtype, width))) in manifest.inputs.iter().zip(&wanted).enumerate() {
        check_tensor(&format!("inputs[{index}]"), (input.dtype, &input.shape), (*dtype, *width), problems);
    }
    if manifest.outputs.len() != 1 {
        problems.add("outputs", manifest.outputs.len(), "1 for the architecture");
    }
    for output in manifest.outputs.iter().take(1) {
        check_tensor("outputs[0]", (output.dtype, &output.shape), (Dtype::Float32, architecture.outputs), problems);
    }
    if manifest.arguments != Arguments::Tensors {
        problems.add("arguments", "some", "none for the engine deepfm");
    }
    if manifest.serving.max_batch_rows == 0 {
        problems.add("serving.max_batch_rows", 0, "1 or more for the engine deepfm");
    }
}

fn check_tensor(path: &str, found: (Dtype, &[Dim]), wanted: (Dtype, usize), problems: &mut Problems) {
    if (found.0, found.1) != (wanted.0, &[Dim::from(wanted.1)]) {
        let found = format!("{} {:?}", found.0, found.1);
        problems.add(path, found, format!("{} [{}] for the architecture", wanted.0, wanted.1));
    }
}
