//! The deep part: of few rows by a loop of our own, of more by libtorch, of many by the
//! oneDNN within libtorch.
//!
//! One row times a matrix is as fast as the matrix comes from the cache, and half of what
//! a rectified layer gives is zero: its rows of the next matrix need not come at all,
//! which libtorch can't know. Its usual products are MKL's, which has no 512-bit code for
//! processors that are not Intel's; oneDNN has, but brings a matrix into its own layout
//! anew for each product.

use tch::{Kind, TchError, Tensor};

use crate::model::weights::{Layer, Weights};

/// Most rows of the loop. Measured, as the next one, with 429-400-400-400 on a core of an
/// AMD EPYC (Zen 5): of 2 rows it takes two thirds of libtorch's time, of 4 rows longer.
const FEW: usize = 2;

/// Fewest rows of oneDNN: of 8 it takes twice MKL's time, of 64 four fifths, of 256 half.
const MANY: usize = 48;

/// The layers, and what each of them leaves behind for the next.
pub(super) struct Layers {
    hidden: Vec<Hidden>,
    /// `[in, o]`.
    last: Tensor,
    entering: Vec<f32>,
    leaving: Vec<f32>,
}

/// A hidden layer.
struct Hidden {
    /// `[in, out]`.
    weight: Tensor,
    /// `[out]`.
    bias: Tensor,
    /// `[out, in]`, as oneDNN wants it; none where libtorch was built without it.
    many: Option<Tensor>,
}

impl Hidden {
    fn new(weight: Tensor, bias: Tensor) -> Self {
        let many = weight.f_tr().and_then(|turned| turned.f_contiguous()?.f_to_mkldnn(Kind::Float)).ok();
        Self { weight, bias, many }
    }

    fn shared(&self) -> Self {
        let many = self.many.as_ref().map(Tensor::shallow_clone);
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), many }
    }
}

impl Layers {
    pub(super) fn new(weights: &Weights) -> Result<Self, TchError> {
        let matrix = |values: &[f32], columns: usize| {
            Tensor::f_from_slice(values)?.f_view([-1, i64::try_from(columns).unwrap_or(i64::MAX)])
        };
        let layer = |layer: &Layer| -> Result<Hidden, TchError> {
            Ok(Hidden::new(matrix(&layer.weight, layer.bias.len())?, Tensor::f_from_slice(&layer.bias)?))
        };
        let hidden = weights.hidden.iter().map(layer).collect::<Result<_, TchError>>()?;
        let last = matrix(&weights.last, weights.bias.len())?;
        Ok(Self { hidden, last, entering: Vec::new(), leaving: Vec::new() })
    }

    /// The same weights, not copied, with a place of its own for what is between layers.
    pub(super) fn shared(&self) -> Self {
        let (hidden, last) = (self.hidden.iter().map(Hidden::shared).collect(), self.last.shallow_clone());
        Self { hidden, last, entering: Vec::new(), leaving: Vec::new() }
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

    /// The hidden layers by libtorch's usual products.
    fn through(&self, mut entering: Tensor) -> Result<Tensor, TchError> {
        for layer in &self.hidden {
            entering = layer.bias.f_addmm(&entering, &layer.weight)?;
            // The tensor that it returns is the same one.
            let _: Tensor = entering.f_relu_()?;
        }
        Ok(entering)
    }

    fn add_by_libtorch(&self, rows: usize, deep: &[f32], direct: &mut [f32]) -> Result<(), TchError> {
        let sizes = [i64::try_from(rows).unwrap_or(i64::MAX), -1];
        let entering = Tensor::f_from_slice(deep)?.f_view(sizes)?;
        let matrices = self.hidden.iter().filter_map(|layer| Some((layer.many.as_ref()?, &layer.bias)));
        let matrices: Vec<(&Tensor, &Tensor)> = matrices.collect();
        let many = rows >= MANY && !matrices.is_empty() && matrices.len() == self.hidden.len();
        let leaving = if many { many_through(&matrices, &entering)? } else { self.through(entering)? };
        let leaving = leaving.f_mm(&self.last)?;
        let mut added = vec![0.0; direct.len()];
        leaving.f_copy_data(&mut added, direct.len())?;
        for (direct, added) in direct.iter_mut().zip(&added) {
            *direct += added;
        }
        Ok(())
    }
}

/// The hidden layers by oneDNN.
fn many_through(matrices: &[(&Tensor, &Tensor)], entering: &Tensor) -> Result<Tensor, TchError> {
    let mut entering = entering.f_to_mkldnn(Kind::Float)?;
    for (weight, bias) in matrices {
        entering = entering.f_mkldnn_linear(weight, Some(*bias))?;
        let _: Tensor = entering.f_relu_()?;
    }
    entering.f_to_dense(Kind::Float, false)
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
