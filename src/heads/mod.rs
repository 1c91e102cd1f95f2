//! From a model's output tensors to a forecast or a portrait.
//!
//! It knows neither the wire nor the engine: outputs are [`Rows`], answers are
//! plain numbers. No answer holds a NaN or an infinity.

mod gmv;
mod portrait;

use thiserror::Error;

use crate::manifest::{HeadSpec, Manifest, OutputSpec};
use crate::rows::Rows;

pub use gmv::{Forecast, GmvHead};
pub use portrait::{Group, Portrait, PortraitHead};

/// The part of a version that turns outputs into answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// Forecasts of GMV: `ziln` and `point`.
    Gmv(GmvHead),
    /// Portraits of users.
    Portrait(PortraitHead),
    /// The outputs are the answer.
    Tensors,
}

/// Why an output is no answer. The model's fault, for this row alone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeadError {
    /// A number that is NaN or infinite, or became so.
    #[error("{what} is not finite")]
    NotFinite {
        /// E.g. `the mean` or ``a logit of `age` ``.
        what: String,
    },
    /// A sigma that is 0 or less.
    #[error("sigma is {found}, wanted a number above 0")]
    Sigma {
        /// As the model gave it.
        found: String,
    },
    /// The output is not among the tensors, or holds other values than the head reads.
    #[error("output `{output}` holds {found} floats for this row, wanted {wanted}")]
    Shape {
        /// The output's name.
        output: String,
        /// Floats found.
        found: usize,
        /// Floats wanted.
        wanted: usize,
    },
}

impl Head {
    /// The head of a checked manifest.
    pub fn new(manifest: &Manifest) -> Self {
        match &manifest.head {
            HeadSpec::Ziln { output, currency, horizon_days, quantiles } => {
                Self::Gmv(GmvHead::ziln(Source::new(manifest, output, 3), currency, *horizon_days, quantiles))
            }
            HeadSpec::Point { output, currency, horizon_days } => {
                Self::Gmv(GmvHead::point(Source::new(manifest, output, 1), currency, *horizon_days))
            }
            HeadSpec::Portrait { groups } => Self::Portrait(PortraitHead::new(manifest, groups)),
            HeadSpec::Tensors {} => Self::Tensors,
        }
    }
}

/// The output that a head or a group reads.
#[derive(Debug, Clone, PartialEq)]
struct Source {
    output: String,
    index: usize,
    width: usize,
}

impl Source {
    fn new(manifest: &Manifest, output: &str, width: usize) -> Self {
        let position = manifest.outputs.iter().position(|spec| spec.name == output);
        // A checked manifest has it. Without the check no column is found later,
        // and each row fails with `HeadError::Shape`.
        let index = position.unwrap_or(manifest.outputs.len());
        Self { output: output.to_owned(), index, width }
    }

    /// All floats of the output, however many there are.
    fn whole(manifest: &Manifest, output: &str) -> Self {
        let spec = manifest.outputs.iter().find(|spec| spec.name == output);
        Self::new(manifest, output, spec.and_then(OutputSpec::width).unwrap_or_default())
    }

    /// The `width` floats of one row.
    fn read<'r>(&self, outputs: &'r Rows, row: usize) -> Result<&'r [f32], HeadError> {
        let values = outputs.columns().get(self.index).map(|column| column.f32_row(row)).unwrap_or_default();
        if values.len() == self.width {
            return Ok(values);
        }
        Err(self.misfit(values.len()))
    }

    fn misfit(&self, found: usize) -> HeadError {
        HeadError::Shape { output: self.output.clone(), found, wanted: self.width }
    }
}

/// `value`, where it is finite.
fn finite(value: f64, what: impl FnOnce() -> String) -> Result<f64, HeadError> {
    if value.is_finite() { Ok(value) } else { Err(HeadError::NotFinite { what: what() }) }
}

/// The logistic function, without overflow and with full precision in both tails.
fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + (-logit).exp())
    } else {
        let odds = logit.exp();
        odds / (1.0 + odds)
    }
}
