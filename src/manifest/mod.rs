//! The manifest of a version: what a model reads, what it answers, and how its
//! numbers become a forecast or a portrait.
//!
//! Plain data, checked as a whole: whoever holds a parsed [`Manifest`] need not
//! check it again. It opens no file, and does not know the fields of the wire
//! (see [`crate::features::Encoder`], which resolves names against them).
//!
//! The JSON Schema in `models/manifest.schema.json` is made from these types.

mod architecture;
mod explain;
mod feature;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fixture;
mod head;
mod parse;
mod tensor;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

pub use architecture::{Architecture, Transformed};
pub(crate) use feature::LONGEST_LIST;
pub use feature::{Calendar, DefaultValue, Encoding, Feature, Kind, Transform};
pub use head::{Calibration, GroupSpec, HeadSpec};
pub use parse::{ManifestError, json_schema};
pub use tensor::{Arguments, Dim, InputSpec, OutputSpec};
pub use validate::check_name;
pub(crate) use validate::is_plain_name;

/// The only `format_version` that this program reads.
pub const FORMAT_VERSION: u32 = 1;

/// `manifest.json` of one version. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of this file: 1.
    pub format_version: u32,
    /// The model's name: the folder above the version's. Letters, digits, `_`, `-` and `.`.
    pub model: String,
    /// The version's number, from 1: the folder's name.
    pub version: u64,
    /// Which question the model answers.
    pub task: Task,
    /// One sentence for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The release of PyTorch that wrote the model.
    pub torch_version: String,
    /// When the version was made, RFC 3339, e.g. `2026-01-31T00:00:00Z`.
    pub created_at: String,
    /// The version's files and the sha256 of each, 64 lower-case hexadecimal
    /// digits. `golden.jsonl` and the engine's file must be among them: `model.pt` for
    /// `torchscript`, `model.safetensors` for `deepfm`.
    pub files: BTreeMap<String, String>,
    /// What runs the model.
    pub engine: Engine,
    /// What the weights are those of. For the engine `deepfm`, and no other.
    #[serde(default)]
    pub architecture: Option<Architecture>,
    /// The features that the model reads, each listed once. None for the task `tensors`.
    #[serde(default)]
    pub features: Vec<Feature>,
    /// The model's arguments, in the order of `forward`. The first dimension,
    /// rows, is not part of a shape.
    pub inputs: Vec<InputSpec>,
    /// How the model takes them.
    #[serde(default)]
    pub arguments: Arguments,
    /// What `forward` returns: a tensor, a tuple or list of tensors in this order, or a
    /// dictionary with these names.
    pub outputs: Vec<OutputSpec>,
    /// How the outputs become an answer.
    pub head: HeadSpec,
    /// How far served outputs may be from the golden ones.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// How the version wants to be run.
    pub serving: Serving,
}

impl Manifest {
    /// Whether the model's tensors have a dimension of rows.
    pub fn has_rows(&self) -> bool {
        self.serving.max_batch_rows > 0
    }
}

/// Which question a model answers, and so which rows it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// What will this merchant's GMV be?
    MerchantGmv,
    /// Who is this user?
    UserPortrait,
    /// Tensors in, tensors out.
    Tensors,
}

/// What runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// A TorchScript archive, `model.pt`, run by libtorch. Loading it runs its code.
    #[default]
    Torchscript,
    /// Weights of a DeepFM, `model.safetensors`, run by Souk's own code. The file holds
    /// none: one that comes from anybody can be loaded.
    Deepfm,
}

/// How far a served output may be from the golden one:
/// `|served - golden| <= absolute + relative * |golden|`.
///
/// With the defaults a change in the third digit of any golden value from 0.003
/// on is found. In smaller values it may not be: the absolute part, which float32
/// sums of larger terms need, exceeds it there. A version that differs from the
/// trained one in nothing else passes.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerance {
    /// From 0 to 0.001, in the output's own unit.
    pub absolute: f64,
    /// From 0 to 0.001, a share of the golden value.
    pub relative: f64,
}

/// How a version wants to be run.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Serving {
    /// Most rows in one forward pass, 1 to 65536. 0 for the task `tensors`: the model's
    /// tensors have no dimension of rows, and each request has a pass of its own.
    pub max_batch_rows: usize,
    /// Sizes of the batches that are run before the version goes live, each 1
    /// to `max_batch_rows`.
    #[serde(default)]
    pub warmup_rows: Vec<usize>,
}

impl Engine {
    /// The name in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Torchscript => "torchscript",
            Self::Deepfm => "deepfm",
        }
    }

    /// The file that holds the model.
    pub fn model_file(self) -> &'static str {
        match self {
            Self::Torchscript => "model.pt",
            Self::Deepfm => "model.safetensors",
        }
    }

    /// Files without which no version can be proved.
    pub(crate) fn needed_files(self) -> [&'static str; 2] {
        [self.model_file(), "golden.jsonl"]
    }
}

impl Task {
    /// The name in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MerchantGmv => "merchant_gmv",
            Self::UserPortrait => "user_portrait",
            Self::Tensors => "tensors",
        }
    }

    /// The task whose service asks for the model of this name. A model of
    /// [`Task::Tensors`] may have any other name.
    pub fn of_model(name: &str) -> Option<Self> {
        [Self::MerchantGmv, Self::UserPortrait].into_iter().find(|task| task.as_str() == name)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Tolerance {
    /// Whether `found` is as near to `wanted` as it says and `more`. What is no
    /// number is near to itself alone.
    pub fn allows(self, found: f64, wanted: f64, more: f64) -> bool {
        let allowed = self.absolute + self.relative * wanted.abs() + more;
        let alike = found == wanted || (found.is_nan() && wanted.is_nan());
        // Everything is within an infinite distance.
        alike || (wanted.is_finite() && (found - wanted).abs() <= allowed)
    }
}

impl Default for Tolerance {
    /// Above what float32 kernels of one release of libtorch differ by: at most
    /// 1.7e-6 between batch sizes, measured with both shipped models.
    fn default() -> Self {
        Self { absolute: 2e-6, relative: 1e-5 }
    }
}
