//! A DeepFM by code of our own: weights out of a file without code, the architecture out
//! of the manifest.
//!
//! A row's ids and numbers are read where they lie, once: each lookup writes into the one
//! buffer that the deep part reads, and is summed up on its way for first and second order.
//! Buffers are kept, one set for each thread that is within a pass.

mod layers;
mod lookup;
#[cfg(test)]
mod tests;

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use self::{
    layers::Layers,
    lookup::{Row, Sums, UnknownId},
};
use super::{
    super::{batch_limit, weights::Weights},
    named_error, raised,
};
use crate::{
    cost::Cost,
    manifest::{Architecture, Manifest, Task, Transformed},
    rows::{Column, Forward, ForwardError, Ragged, Rows, Values},
};

/// Most rows that go through the layers at once: what is between them stays in the
/// processor's cache, and buffers stay small whatever a batch is.
const MOST_ROWS: usize = 256;

/// The same in values that the deep part reads.
const MOST_VALUES: usize = 1 << 22;

/// A model, and what its manifest says of it.
pub(super) struct DeepFm {
    weights: Weights,
    output: Transformed,
    model: String,
    version: u64,
    max_batch_rows: NonZeroUsize,
    /// Whether outputs stay as they lie in memory, for who sends them on.
    raw: bool,
    /// Whether NaN and infinities are answers.
    non_finite: bool,
    inputs: Vec<String>,
    /// Values of a row: ids and numbers.
    widths: (usize, usize),
    /// Rows that go through the layers at once.
    chunk: usize,
    /// Tensors are not for several threads at a time.
    spaces: Mutex<Spaces>,
    cost: Cost,
}

/// Where passes are computed.
struct Spaces {
    /// Whose weights new ones share.
    layers: Layers,
    idle: Vec<Space>,
}

/// The buffers of one pass.
struct Space {
    layers: Layers,
    sums: Sums,
    /// `[rows, fields · k + dense]`.
    deep: Vec<f32>,
    /// `[rows, o]`.
    direct: Vec<f32>,
    rows: usize,
}

impl DeepFm {
    /// The model in the bytes of `model.safetensors`; what is wrong with them, for people.
    pub(super) fn new(file: Vec<u8>, manifest: &Manifest, max_rows: NonZeroUsize) -> Result<Self, String> {
        let architecture: &Architecture = manifest.architecture.as_ref().ok_or("the manifest has no architecture")?;
        let weights = Weights::read(file, architecture)?;
        let layers = Layers::new(&weights).map_err(|error| named_error(&error))?;
        let deep_width = architecture.deep_width().unwrap_or(usize::MAX).max(1);
        Ok(Self {
            weights,
            output: architecture.output,
            model: manifest.model.clone(),
            version: manifest.version,
            max_batch_rows: batch_limit(manifest, max_rows),
            raw: manifest.task == Task::Tensors,
            non_finite: manifest.outputs.iter().all(|output| output.non_finite),
            inputs: manifest.inputs.iter().map(|input| input.name.clone()).collect(),
            widths: (architecture.cardinalities.len(), architecture.dense),
            chunk: (MOST_VALUES / deep_width).clamp(1, MOST_ROWS),
            spaces: Mutex::new(Spaces { layers, idle: Vec::new() }),
            cost: Cost::default(),
        })
    }

    fn space(&self) -> Space {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        spaces.idle.pop().unwrap_or_else(|| Space {
            layers: spaces.layers.shared(),
            sums: Sums::new(self.weights.factor_weights.len() / self.weights.bias.len().max(1)),
            deep: Vec::new(),
            direct: Vec::new(),
            rows: 0,
        })
    }

    fn give_back(&self, mut space: Space) {
        // Of a pass that failed something is left.
        space.clear();
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner).idle.push(space);
    }

    /// The outputs of all rows, `[rows, o]`.
    fn run(&self, parts: &[&Rows], space: &mut Space) -> Result<Vec<f32>, ForwardError> {
        let rows: usize = parts.iter().map(|part| part.len()).sum();
        let mut outputs = Vec::with_capacity(rows * self.weights.bias.len());
        for part in parts {
            for row in self.rows(part)? {
                self.push(space, row)?;
                if space.rows == self.chunk {
                    self.flush(space, &mut outputs)?;
                }
            }
        }
        self.flush(space, &mut outputs)?;
        Ok(outputs)
    }

    /// The rows of a part, where they lie.
    fn rows<'p>(&self, part: &'p Rows) -> Result<impl Iterator<Item = Row<'p>>, ForwardError> {
        let (fields, numbers) = self.widths;
        let ids = elements::<8>(part, 0, fields)?;
        let dense = if numbers > 0 { elements::<4>(part, 1, numbers)? } else { &[] };
        let row = move |index: usize| Row {
            ids: ids.get(index * fields..(index + 1) * fields).unwrap_or_default(),
            dense: dense.get(index * numbers..(index + 1) * numbers).unwrap_or_default(),
        };
        Ok((0..part.len()).map(row))
    }

    fn push(&self, space: &mut Space, row: Row<'_>) -> Result<(), ForwardError> {
        let Space { sums, deep, direct, .. } = space;
        sums.push(&self.weights, row, deep, direct).map_err(|unknown| self.unknown(&unknown))?;
        space.rows += 1;
        Ok(())
    }

    fn unknown(&self, UnknownId { field, id }: &UnknownId) -> ForwardError {
        let input = self.inputs.first().map(String::as_str).unwrap_or_default();
        let most = self.weights.table.ids(*field).saturating_sub(1);
        ForwardError::Raised(format!("{input}[{field}] is {id}, wanted an id of 0 to {most}"))
    }

    /// Takes the rows so far through the layers.
    fn flush(&self, space: &mut Space, outputs: &mut Vec<f32>) -> Result<(), ForwardError> {
        if space.rows > 0 {
            space.layers.add(&self.weights, space.rows, &space.deep, &mut space.direct).map_err(raised)?;
            self.output.apply(&mut space.direct);
            outputs.extend_from_slice(&space.direct);
            space.clear();
        }
        Ok(())
    }
}

impl Space {
    fn clear(&mut self) {
        self.deep.clear();
        self.direct.clear();
        self.rows = 0;
    }
}

impl Transformed {
    /// Rows of as many values as there are outputs.
    fn apply(self, values: &mut [f32]) {
        match self {
            Self::Linear => {}
            Self::Ziln { log_level } => {
                for [_, mu, sigma] in values.as_chunks_mut().0 {
                    *mu += log_level as f32;
                    *sigma = softplus(*sigma);
                }
            }
        }
    }
}

/// As libtorch: linear beyond 20, where 32 bits hold no difference.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// The elements of one input of all rows, `SIZE` bytes each.
fn elements<const SIZE: usize>(part: &Rows, index: usize, width: usize) -> Result<&[[u8; SIZE]], ForwardError> {
    let bytes = part.columns().get(index).map(|column| column.values.as_bytes()).unwrap_or_default();
    if bytes.len() != part.len() * width * SIZE {
        return Err(Ragged { column: index, found: bytes.len() / SIZE, rows: part.len(), width }.into());
    }
    Ok(bytes.as_chunks().0)
}

impl Forward for DeepFm {
    fn identity(&self) -> (&str, u64) {
        (&self.model, self.version)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        self.max_batch_rows
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn is_answer(&self, outputs: &Rows, row: usize) -> bool {
        self.non_finite || outputs.is_finite(row)
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        let mut space = self.space();
        let outputs = self.run(parts, &mut space);
        self.give_back(space);
        let mut values = Values::F32(outputs?);
        if self.raw {
            values = Values::Raw { dtype: values.dtype(), bytes: values.into_bytes() };
        }
        let rows = parts.iter().map(|part| part.len()).sum();
        Ok(Rows::new(rows, vec![Column::new(self.weights.bias.len(), values)])?)
    }
}
