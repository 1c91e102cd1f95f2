//! The deep part: of few rows by a loop of our own, of many by libtorch.
//!
//! One row times a matrix is as fast as the matrix comes from the cache, and half of what
//! a rectified layer gives is zero: its rows of the next matrix need not come at all,
//! which libtorch can't know.

use tch::{Kind, TchError, Tensor};

use super::weights::{Layer, Weights};

/// Most rows of the loop: of more, libtorch is faster. Measured with 429-400-400-400 on
/// two cores of an AMD EPYC: 3 rows 1.4 times as fast, 5 rows equal.
const FEW: usize = 4;

/// The layers, and what each of them leaves behind for the next.
pub(super) struct Layers {
    /// Weight and bias of each hidden layer, then the weight of the last.
    hidden: Vec<(Tensor, Tensor)>,
    last: Tensor,
    entering: Vec<f32>,
    leaving: Vec<f32>,
}

impl Layers {
    pub(super) fn new(weights: &Weights) -> Result<Self, TchError> {
        let matrix = |values: &[f32], columns: usize| {
            Tensor::f_from_slice(values)?.f_view([-1, i64::try_from(columns).unwrap_or(i64::MAX)])
        };
        let layer = |layer: &Layer| Ok((matrix(&layer.weight, layer.bias.len())?, Tensor::f_from_slice(&layer.bias)?));
        let hidden = weights.hidden.iter().map(layer).collect::<Result<_, TchError>>()?;
        let last = matrix(&weights.last, weights.bias.len())?;
        Ok(Self { hidden, last, entering: Vec::new(), leaving: Vec::new() })
    }

    /// The same weights, not copied, with a place of its own for what is between layers.
    pub(super) fn shared(&self) -> Self {
        let hidden = self.hidden.iter().map(|(weight, bias)| (weight.shallow_clone(), bias.shallow_clone()));
        let last = self.last.shallow_clone();
        Self { hidden: hidden.collect(), last, entering: Vec::new(), leaving: Vec::new() }
    }

    /// Adds the deep part of `rows` rows, which read `deep`, to `direct`, `[rows, o]`.
    pub(super) fn add(
        &mut self,
        weights: &Weights,
        rows: usize,
        deep: &[f32],
        direct: &mut [f32],
    ) -> Result<(), TchError> {
        if rows > FEW {
            return self.add_by_libtorch(rows, deep, direct);
        }
        let width = (deep.len() / rows.max(1)).max(1);
        for (deep, direct) in deep.chunks_exact(width).zip(direct.chunks_exact_mut(weights.bias.len().max(1))) {
            self.add_row(weights, deep, direct);
        }
        Ok(())
    }

    fn add_row(&mut self, weights: &Weights, deep: &[f32], direct: &mut [f32]) {
        self.entering.clear();
        self.entering.extend_from_slice(deep);
        for layer in &weights.hidden {
            self.leaving.clear();
            self.leaving.extend_from_slice(&layer.bias);
            add_product(&self.entering, &layer.weight, &mut self.leaving);
            self.leaving.iter_mut().for_each(rectify);
            std::mem::swap(&mut self.entering, &mut self.leaving);
        }
        add_product(&self.entering, &weights.last, direct);
    }

    fn add_by_libtorch(&self, rows: usize, deep: &[f32], direct: &mut [f32]) -> Result<(), TchError> {
        let sizes = [i64::try_from(rows).unwrap_or(i64::MAX), -1];
        let mut entering = Tensor::f_from_slice(deep)?.f_view(sizes)?;
        for (weight, bias) in &self.hidden {
            entering = bias.f_addmm(&entering, weight)?;
            // The tensor that it returns is the same one.
            let _: Tensor = entering.f_relu_()?;
        }
        let leaving = entering.f_mm(&self.last)?.f_to_kind(Kind::Float)?;
        let mut added = vec![0.0; direct.len()];
        leaving.f_copy_data(&mut added, direct.len())?;
        for (direct, added) in direct.iter_mut().zip(&added) {
            *direct += added;
        }
        Ok(())
    }
}

/// As libtorch: what is no number stays none.
fn rectify(value: &mut f32) {
    if *value < 0.0 {
        *value = 0.0;
    }
}

/// Adds `entering · weight` to `leaving`, four rows of the matrix at a time: so a value of
/// `leaving` is read and written once for four products.
fn add_product(entering: &[f32], weight: &[f32], leaving: &mut [f32]) {
    let rows = weight.chunks_exact(leaving.len().max(1));
    // A zero adds nothing, since all weights are numbers.
    let mut products = entering.iter().zip(rows).filter(|(value, _)| **value != 0.0);
    while let Some((a, of_a)) = products.next() {
        let (b, of_b) = products.next().unwrap_or((&0.0, of_a));
        let (c, of_c) = products.next().unwrap_or((&0.0, of_a));
        let (d, of_d) = products.next().unwrap_or((&0.0, of_a));
        let weights = of_a.iter().zip(of_b).zip(of_c).zip(of_d);
        for (sum, (((of_a, of_b), of_c), of_d)) in leaving.iter_mut().zip(weights) {
            *sum += (a * of_a + b * of_b) + (c * of_c + d * of_d);
        }
    }
}
