//! The architecture of a model whose file holds weights and nothing else.

use schemars::JsonSchema;
use serde::Deserialize;

/// A DeepFM (Guo et al. 2017, arXiv:1703.04247) with several outputs and numbers beside
/// the categories. `k` is `embedding_dim`, `o` is `outputs`.
///
/// Each id has a latent vector of `k` and a weight for each output, its first order, and
/// so has each number, by whose value they are multiplied. The second order of an output
/// is `1/2 ((Σ v)² - Σ v²)`, summed over all latent vectors `v` of the row, times that
/// output's `k` factor weights. The deep part reads the ids' latent vectors, one after the
/// other, then the numbers; its hidden layers are rectified, its last is linear.
///
/// The file's tensors, all float32: `table [sum of cardinalities, k + o]` (one row for
/// each id, field after field: latent vector, then first order), `dense_factors [dense, k + o]`
/// (the same of the numbers; absent where there are none), `factor_weights [k, o]`,
/// `bias [o]`, `hidden.I.weight [in, out]` and `hidden.I.bias [out]` for each hidden layer,
/// `last.weight [in, o]`, `last.bias [o]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// How many ids each field has, id 0 (missing or unknown) included. As many as the
    /// first input, int64, has values.
    pub cardinalities: Vec<usize>,
    /// How many numbers the second input, float32, has; 0 where there is none.
    #[serde(default)]
    pub dense: usize,
    /// Length of the latent vectors, 1 to 1024.
    pub embedding_dim: usize,
    /// Sizes of the hidden layers, at most 16 of 1 to 65536. None: the deep part is linear.
    pub hidden: Vec<usize>,
    /// Values of the only output.
    pub outputs: usize,
    /// What becomes of them.
    #[serde(default)]
    pub output: Transformed,
}

/// What becomes of a network's last values before they are the model's output.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transformed {
    /// Nothing.
    #[default]
    Linear,
    /// Three values become logit, mu and sigma of a zero-inflated lognormal:
    /// `x0`, `x1 + log_level`, `softplus(x2)`.
    Ziln {
        /// Mean of log GMV.
        log_level: f64,
    },
}

impl Architecture {
    /// Values that the deep part reads: all latent vectors of the ids, and the numbers.
    pub fn deep_width(&self) -> Option<usize> {
        self.cardinalities.len().checked_mul(self.embedding_dim)?.checked_add(self.dense)
    }

    /// Rows of the table.
    pub fn ids(&self) -> Option<usize> {
        self.cardinalities.iter().try_fold(0_usize, |sum, ids| sum.checked_add(*ids))
    }

    /// Values of one row of the table.
    pub fn table_width(&self) -> usize {
        self.embedding_dim.saturating_add(self.outputs)
    }
}
