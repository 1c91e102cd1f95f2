//! The tensors that go into a model and come out of it.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::rows::Dtype;

/// One argument of the model.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The tensor's name.
    pub name: String,
    /// The type of its elements; `float32` or `int64` where features fill it.
    pub dtype: Dtype,
    /// Its shape per row: as many values as `features`, or the `max_len` of the
    /// one list that fills it. For the task `tensors` a size may be -1: each request
    /// has its own.
    pub shape: Vec<Dim>,
    /// The features that fill it, in order: one list, or any number of others. None
    /// for the task `tensors`.
    #[serde(default)]
    pub features: Vec<String>,
    /// Lets rows of different sizes share a batch: the shorter ones are filled up with
    /// this value, behind their own. Without it only rows of equal sizes do. Only
    /// where the shape holds a -1, and no output's does.
    #[serde(default)]
    pub padding: Option<f64>,
    /// Least and greatest value that a request may send, both included; by default
    /// any. Only for the task `tensors`.
    #[serde(default)]
    pub range: Option<[f64; 2]>,
}

/// One tensor that the model returns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The tensor's name; the key where the model returns a dictionary.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape per row. For the task `tensors` a size may be -1: it follows the
    /// request's.
    pub shape: Vec<Dim>,
    /// Whether NaN and infinities are answers. By default a row with one is an error.
    #[serde(default)]
    pub non_finite: bool,
}

/// A size of a shape, or -1: each request has its own.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Dim(i64);

/// How a model takes its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// One argument each.
    #[default]
    Tensors,
    /// One list of all.
    List,
    /// One dictionary of all, by their names.
    Dict,
}

impl Dim {
    /// A size that requests choose.
    pub const OPEN: Self = Self(-1);

    /// The size, where it is fixed.
    pub fn size(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }

    /// Whether it is a size or -1.
    pub(super) fn is_valid(self) -> bool {
        self == Self::OPEN || self.size().is_some()
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Self(i64::try_from(size).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl InputSpec {
    /// Values of one row: the product of the shape; `None` where it overflows or holds
    /// a -1.
    pub fn width(&self) -> Option<usize> {
        product(&self.shape)
    }

    /// Whether requests choose a size.
    pub fn is_open(&self) -> bool {
        self.shape.contains(&Dim::OPEN)
    }
}

impl OutputSpec {
    /// Values of one row: the product of the shape; `None` where it overflows or holds
    /// a -1.
    pub fn width(&self) -> Option<usize> {
        product(&self.shape)
    }

    /// Whether it has another size with each request.
    pub fn is_open(&self) -> bool {
        self.shape.contains(&Dim::OPEN)
    }
}

fn product(shape: &[Dim]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |width, dim| width.checked_mul(dim.size()?))
}
