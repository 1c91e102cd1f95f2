//! TorchScript modules: tensors, a list or a dictionary in; a tensor, a tuple, a list or a
//! dictionary out.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
};

use tch::{CModule, IValue, TchError, Tensor};

use super::{
    super::batch_limit,
    raised,
    tensors::{self, Batch},
};
use crate::{
    cost::Cost,
    manifest::{Arguments, InputSpec, Manifest, OutputSpec, Task},
    rows::{Column, Forward, ForwardError, Rows},
};

/// A module, and what its manifest says of it.
pub(super) struct TorchScript {
    module: CModule,
    model: String,
    version: u64,
    max_batch_rows: NonZeroUsize,
    batch: Batch,
    inputs: Vec<InputSpec>,
    arguments: Arguments,
    outputs: Vec<OutputSpec>,
    /// Whether it takes tensors and returns one, neither in something else; known after
    /// the first pass.
    is_plain: AtomicBool,
    cost: Cost,
}

impl TorchScript {
    pub(super) fn new(module: CModule, manifest: &Manifest, max_rows: NonZeroUsize) -> Self {
        Self {
            module,
            model: manifest.model.clone(),
            version: manifest.version,
            max_batch_rows: batch_limit(manifest, max_rows),
            batch: Batch { of_rows: manifest.serving.max_batch_rows > 0, raw: manifest.task == Task::Tensors },
            inputs: manifest.inputs.clone(),
            arguments: manifest.arguments,
            outputs: manifest.outputs.clone(),
            is_plain: AtomicBool::new(false),
            cost: Cost::default(),
        }
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ForwardError> {
        // What a module returns is part of its type: the next pass returns the same.
        if self.is_plain.load(Ordering::Relaxed) {
            return Ok(vec![self.module.forward_ts(&inputs).map_err(raised)?]);
        }
        let returned = self.module.forward_is(&self.arguments(&inputs)).map_err(|error| {
            empty(inputs);
            raised(error)
        })?;
        let is_plain = self.arguments == Arguments::Tensors && matches!(returned, IValue::Tensor(_));
        self.is_plain.store(is_plain, Ordering::Relaxed);
        self.returned(returned)
    }

    fn arguments(&self, inputs: &[Tensor]) -> Vec<IValue> {
        let tensors = inputs.iter().map(Tensor::shallow_clone);
        match self.arguments {
            Arguments::Tensors => tensors.map(IValue::Tensor).collect(),
            Arguments::List => vec![IValue::TensorList(tensors.collect())],
            Arguments::Dict => {
                let named = self.inputs.iter().map(|spec| IValue::String(spec.name.clone()));
                vec![IValue::GenericDict(named.zip(tensors.map(IValue::Tensor)).collect())]
            }
        }
    }

    /// The tensors of what the module returned, in the manifest's order.
    fn returned(&self, value: IValue) -> Result<Vec<Tensor>, ForwardError> {
        let tensors = match value {
            IValue::Tuple(values) | IValue::GenericList(values) => values.into_iter().map(Tensor::try_from).collect(),
            IValue::TensorList(tensors) => Ok(tensors),
            IValue::GenericDict(pairs) => return self.named(pairs),
            other => Tensor::try_from(other).map(|output| vec![output]),
        };
        let tensors: Vec<Tensor> = tensors.map_err(raised)?;
        if tensors.len() == self.outputs.len() {
            return Ok(tensors);
        }
        Err(ForwardError::Raised(format!("it returned {} tensors, wanted {}", tensors.len(), self.outputs.len())))
    }

    fn named(&self, pairs: Vec<(IValue, IValue)>) -> Result<Vec<Tensor>, ForwardError> {
        let mut pairs: Vec<_> = pairs.into_iter().map(Some).collect();
        let mut take = |name: &str| {
            let is = |pair: &&mut Option<_>| matches!(pair, Some((IValue::String(key), _)) if key == name);
            let (_, value) = pairs.iter_mut().find(is)?.take()?;
            Some(value)
        };
        let output = |spec: &OutputSpec| {
            let absent = || ForwardError::Raised(format!("it returned no output {:?}", spec.name));
            Tensor::try_from(take(&spec.name).ok_or_else(absent)?).map_err(raised)
        };
        self.outputs.iter().map(output).collect()
    }
}

/// Gives the memory of tensors back. `forward_is` never drops its arguments where the
/// module raises (tch 0.24): what stays behind is then some hundred bytes, not a batch.
fn empty(inputs: Vec<Tensor>) {
    for mut input in inputs {
        let _: Result<Tensor, TchError> = input.f_set_();
    }
}

impl Forward for TorchScript {
    fn identity(&self) -> (&str, u64) {
        (&self.model, self.version)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        self.max_batch_rows
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn fits(&self, first: &Rows, more: &Rows) -> bool {
        tensors::fit(&self.inputs, first, more)
    }

    fn is_answer(&self, outputs: &Rows, row: usize) -> bool {
        let finite = |(spec, column): (&OutputSpec, &Column)| spec.non_finite || column.is_finite(row);
        self.outputs.iter().zip(outputs.columns()).all(finite)
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        let rows = parts.iter().map(|part| part.len()).sum();
        let inputs = tensors::inputs(&self.inputs, parts, self.batch)?;
        tensors::outputs(&self.outputs, &self.run(inputs)?, rows, self.batch)
    }
}
