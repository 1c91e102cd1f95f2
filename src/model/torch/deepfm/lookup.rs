//! Lookups, the first and the second order: one pass over a row's ids and numbers.

use crate::model::weights::Weights;

/// A row of ids and numbers, as they lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Row<'r> {
    pub(super) ids: &'r [[u8; 8]],
    pub(super) dense: &'r [[u8; 4]],
}

/// An id that its field does not have.
pub(super) struct UnknownId {
    pub(super) field: usize,
    pub(super) id: i64,
}

/// What a row is summed up in.
pub(super) struct Sums {
    /// `[k]` of the latent vectors.
    vectors: Vec<f32>,
    /// `[k]` of their squares.
    squares: Vec<f32>,
}

impl Sums {
    pub(super) fn new(embedding_dim: usize) -> Self {
        Self { vectors: vec![0.0; embedding_dim], squares: vec![0.0; embedding_dim] }
    }

    /// Appends to `deep` what the deep part reads of the row, and to `direct` what
    /// reaches the outputs without it: biases, first and second order.
    pub(super) fn push(
        &mut self,
        weights: &Weights,
        row: Row<'_>,
        deep: &mut Vec<f32>,
        direct: &mut Vec<f32>,
    ) -> Result<(), UnknownId> {
        self.vectors.fill(0.0);
        self.squares.fill(0.0);
        let begin = direct.len();
        direct.extend_from_slice(&weights.bias);
        let direct = direct.get_mut(begin..).unwrap_or_default();
        for (field, id) in row.ids.iter().enumerate() {
            let id = i64::from_le_bytes(*id);
            let found = weights.table.row(field, id).ok_or(UnknownId { field, id })?;
            self.look_up(found, deep, direct);
        }
        self.numbers(weights, row.dense, deep, direct);
        self.second_order(&weights.factor_weights, direct);
        Ok(())
    }

    fn look_up(&mut self, found: &[[u8; 4]], deep: &mut Vec<f32>, direct: &mut [f32]) {
        let (vector, first_order) = found.split_at_checked(self.vectors.len()).unwrap_or_default();
        let begin = deep.len();
        deep.extend(vector.iter().map(|value| f32::from_le_bytes(*value)));
        let vector = deep.get(begin..).unwrap_or_default();
        for ((value, sum), squares) in vector.iter().zip(&mut self.vectors).zip(&mut self.squares) {
            *sum += value;
            *squares += value * value;
        }
        for (value, direct) in first_order.iter().zip(direct) {
            *direct += f32::from_le_bytes(*value);
        }
    }

    fn numbers(&mut self, weights: &Weights, dense: &[[u8; 4]], deep: &mut Vec<f32>, direct: &mut [f32]) {
        let width = self.vectors.len() + direct.len();
        for (number, factors) in dense.iter().zip(weights.dense_factors.chunks_exact(width)) {
            let number = f32::from_le_bytes(*number);
            deep.push(number);
            let (vector, first_order) = factors.split_at_checked(self.vectors.len()).unwrap_or_default();
            for ((factor, sum), squares) in vector.iter().zip(&mut self.vectors).zip(&mut self.squares) {
                let value = number * factor;
                *sum += value;
                *squares += value * value;
            }
            for (factor, direct) in first_order.iter().zip(&mut *direct) {
                *direct += number * factor;
            }
        }
    }

    /// Rendle (2010), "Factorization Machines", lemma 3.1, weighed by factor for each output.
    fn second_order(&self, factor_weights: &[f32], direct: &mut [f32]) {
        let factors = self.vectors.iter().zip(&self.squares);
        for ((sum, squares), weights) in factors.zip(factor_weights.chunks_exact(direct.len().max(1))) {
            let second_order = 0.5 * (sum * sum - squares);
            for (weight, direct) in weights.iter().zip(&mut *direct) {
                *direct += second_order * weight;
            }
        }
    }
}
