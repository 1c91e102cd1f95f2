//! The tensors that go into a model and come out of it.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// One argument of the model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The tensor's name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape per row: as many values as `features`, or the `max_len` of the
    /// one list that fills it.
    pub shape: Vec<usize>,
    /// The features that fill it, in order: one list, or any number of others.
    #[serde(default)]
    pub features: Vec<String>,
}

/// One tensor that the model returns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The tensor's name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape per row.
    pub shape: Vec<usize>,
}

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    Float32,
    /// 64-bit integers.
    Int64,
}

impl InputSpec {
    /// Values of one row: the product of the shape; `None` where it overflows.
    pub fn width(&self) -> Option<usize> {
        product(&self.shape)
    }
}

impl OutputSpec {
    /// Values of one row: the product of the shape; `None` where it overflows.
    pub fn width(&self) -> Option<usize> {
        product(&self.shape)
    }
}

impl Dtype {
    /// The name in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Int64 => "int64",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |width, &size| width.checked_mul(size))
}
