//! How outputs become an answer. Plain data; the formulas are in [`crate::heads`].

use schemars::JsonSchema;
use serde::Deserialize;

/// How a model's outputs become an answer. The kind fits the task: `ziln` and
/// `point` for `merchant_gmv`, `portrait` for `user_portrait`, `tensors` for `tensors`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadSpec {
    /// A zero-inflated lognormal: the output holds three numbers a row, the
    /// logit of P(GMV > 0), and mu and sigma of log GMV (sigma above 0).
    Ziln {
        /// The output's name; 3 values a row.
        output: String,
        /// ISO 4217 code of the forecasts, e.g. `EUR`.
        currency: String,
        /// Days in the horizon, which begins on the day after `as_of`; 1 to 366.
        horizon_days: u32,
        /// Probabilities at which a forecast is read unless a request names
        /// others; ascending, strictly between 0 and 1, at most 100.
        #[serde(default)]
        quantiles: Vec<f64>,
    },
    /// One number a row: the expected GMV.
    Point {
        /// The output's name; 1 value a row.
        output: String,
        /// ISO 4217 code of the forecasts, e.g. `EUR`.
        currency: String,
        /// Days in the horizon, which begins on the day after `as_of`; 1 to 366.
        horizon_days: u32,
    },
    /// Tags of a user.
    Portrait {
        /// Groups of tags, in the order of the answer.
        groups: Vec<GroupSpec>,
    },
    /// The outputs themselves.
    Tensors {},
}

/// One group of a portrait.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum GroupSpec {
    /// Exactly one tag holds.
    Softmax {
        /// The group's name, e.g. `age`.
        name: String,
        /// The output with the logits; one a label.
        output: String,
        /// The tags, in the output's order.
        labels: Vec<String>,
        /// Applied to the logits.
        #[serde(default)]
        calibration: Calibration,
    },
    /// Each tag holds or not for itself.
    Sigmoid {
        /// The group's name, e.g. `preferred_departments`.
        name: String,
        /// The output with the logits; one a label.
        output: String,
        /// The tags, in the output's order.
        labels: Vec<String>,
        /// Applied to the logits.
        #[serde(default)]
        calibration: Calibration,
    },
    /// The user's place in the model's space of behaviours. At most one group.
    Embedding {
        /// The group's name.
        name: String,
        /// The output with the coordinates.
        output: String,
    },
}

/// Calibrated logits: `logits * scale + bias`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Calibration {
    /// Above 0: the inverse of a temperature.
    pub scale: f64,
    /// One number a label, or none: all 0.
    pub bias: Vec<f64>,
}

impl GroupSpec {
    /// The group's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Softmax { name, .. } | Self::Sigmoid { name, .. } | Self::Embedding { name, .. } => name,
        }
    }

    /// The name of the output that it reads.
    pub fn output(&self) -> &str {
        match self {
            Self::Softmax { output, .. } | Self::Sigmoid { output, .. } | Self::Embedding { output, .. } => output,
        }
    }
}

impl Default for Calibration {
    fn default() -> Self {
        Self { scale: 1.0, bias: Vec::new() }
    }
}
