//! TorchScript modules: tensors, a list or a dictionary in; a tensor, a tuple, a list or a
//! dictionary out.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
    /// Held by the pass that runs, where the module writes to itself.
    alone: Option<Mutex<()>>,
    cost: Cost,
}

impl TorchScript {
    pub(super) fn new(module: CModule, manifest: &Manifest, max_rows: NonZeroUsize) -> Self {
        Self {
            module,
            model: manifest.model.clone(),
            version: manifest.version,
            max_batch_rows: batch_limit(manifest, max_rows),
            batch: Batch { of_rows: manifest.has_rows(), raw: manifest.task == Task::Tensors },
            inputs: manifest.inputs.clone(),
            arguments: manifest.arguments,
            outputs: manifest.outputs.clone(),
            is_plain: AtomicBool::new(false),
            alone: None,
            cost: Cost::default(),
        }
    }

    /// The same, where threads that run it at once would disturb each other.
    pub(super) fn alone(self) -> Self {
        Self { alone: Some(Mutex::default()), ..self }
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ForwardError> {
        // What a module returns is part of its type: the next pass returns the same.
        if self.is_plain.load(Ordering::Relaxed) {
            return Ok(vec![self.module.forward_ts(&inputs).map_err(raised)?]);
        }
        let names = self.inputs.iter().map(|spec| spec.name.as_str());
        let returned = self.module.forward_is(&arguments(self.arguments, names, &inputs)).map_err(|error| {
            empty(inputs);
            raised(error)
        })?;
        let is_plain = self.arguments == Arguments::Tensors && matches!(returned, IValue::Tensor(_));
        self.is_plain.store(is_plain, Ordering::Relaxed);
        self.returned(returned)
    }

    /// The tensors of what the module returned, in the manifest's order.
    fn returned(&self, value: IValue) -> Result<Vec<Tensor>, ForwardError> {
        let values = match value {
            IValue::Tensor(output) if self.outputs.len() == 1 => return Ok(vec![output]),
            IValue::TensorList(tensors) if self.outputs.len() == tensors.len() => return Ok(tensors),
            IValue::Tensor(output) => vec![IValue::Tensor(output)],
            IValue::TensorList(tensors) => tensors.into_iter().map(IValue::Tensor).collect(),
            IValue::Tuple(values) | IValue::GenericList(values) => values,
            IValue::GenericDict(pairs) => return self.named(pairs),
            other => return Err(ForwardError::Raised(format!("it returned {}, wanted tensors", kind(&other)))),
        };
        if values.len() != self.outputs.len() {
            let (found, wanted) = (values.len(), self.outputs.len());
            return Err(ForwardError::Raised(format!("it returned {found} values, wanted {wanted}")));
        }
        self.outputs.iter().zip(values).map(|(spec, value)| tensor(&spec.name, value)).collect()
    }

    fn named(&self, pairs: Vec<(IValue, IValue)>) -> Result<Vec<Tensor>, ForwardError> {
        let mut named = BTreeMap::new();
        for (key, value) in pairs {
            let IValue::String(key) = key else {
                return Err(ForwardError::Raised(format!("it returned {} as a name, wanted a string", kind(&key))));
            };
            named.insert(key, value);
        }
        let output = |spec: &OutputSpec| match named.remove(&spec.name) {
            Some(value) => tensor(&spec.name, value),
            None => Err(ForwardError::Raised(format!("it returned no output {:?}", spec.name))),
        };
        self.outputs.iter().map(output).collect()
    }
}

/// What a module is called with.
pub(super) fn arguments<'n>(call: Arguments, names: impl Iterator<Item = &'n str>, inputs: &[Tensor]) -> Vec<IValue> {
    let tensors = inputs.iter().map(Tensor::shallow_clone);
    match call {
        Arguments::Tensors => tensors.map(IValue::Tensor).collect(),
        Arguments::List => vec![IValue::TensorList(tensors.collect())],
        Arguments::Dict => {
            let names = names.map(|name| IValue::String(name.to_owned()));
            vec![IValue::GenericDict(names.zip(tensors.map(IValue::Tensor)).collect())]
        }
    }
}

/// The tensor that a value is.
pub(super) fn tensor(name: &str, value: IValue) -> Result<Tensor, ForwardError> {
    match value {
        IValue::Tensor(tensor) => Ok(tensor),
        other => Err(ForwardError::Raised(format!("its output {name:?} is {}, wanted a tensor", kind(&other)))),
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &IValue) -> &'static str {
    match value {
        IValue::None => "nothing",
        IValue::Tensor(_) => "a tensor",
        IValue::Double(_) => "a float",
        IValue::Int(_) => "an integer",
        IValue::Bool(_) => "a bool",
        IValue::Tuple(_) => "a tuple",
        IValue::String(_) => "a string",
        IValue::IntList(_) | IValue::DoubleList(_) | IValue::BoolList(_) | IValue::StringList(_) => {
            "a list of no tensors"
        }
        IValue::TensorList(_) | IValue::GenericList(_) => "a list",
        IValue::GenericDict(_) => "a dictionary",
        _ => "an object",
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

    fn is_predictable(&self) -> bool {
        self.alone.is_none() && !self.inputs.iter().any(InputSpec::is_open)
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
        // Until the outputs are copied: they may be what the next pass writes to.
        let _alone = self.alone.as_ref().map(|alone| alone.lock().unwrap_or_else(PoisonError::into_inner));
        tensors::outputs(&self.outputs, &self.run(inputs)?, rows, self.batch)
    }
}

#[cfg(test)]
mod tests;
