//! TorchScript through libtorch: the only file that says `use tch`.
//!
//! Only fallible calls. Tensors live and die within [`Forward::forward`], on the
//! thread that calls it; vectors come in and go out.

use std::{any::Any, io::Cursor, num::NonZeroUsize, sync::Arc};

use tch::{CModule, IValue, Kind, TchError, Tensor};

use super::{Engines, ModelFile, Place, batch_limit};
use crate::{
    cost::Cost,
    manifest::{Dtype, InputSpec, Manifest, OutputSpec},
    rows::{Column, Forward, ForwardError, Rows, Values},
};

/// The release of libtorch that `tch` 0.24 pairs with, exactly.
pub const RELEASE: &str = "2.11.0";

/// Loads TorchScript archives.
pub struct TorchScriptEngines {
    /// Most rows in one pass, whatever a manifest allows.
    pub max_rows: NonZeroUsize,
}

struct TorchScript {
    module: CModule,
    model: String,
    version: u64,
    max_batch_rows: NonZeroUsize,
    inputs: Vec<InputSpec>,
    outputs: Vec<OutputSpec>,
    cost: Cost,
}

/// Sets up a thread for forward passes: no gradients, `threads` within one pass.
/// What it returns must live as long as the thread runs models.
pub fn thread_setup(threads: NonZeroUsize) -> Box<dyn Any> {
    // Both are per thread in libtorch.
    tch::set_num_threads(i32::try_from(threads.get()).unwrap_or(1));
    Box::new(tch::no_grad_guard())
}

impl Engines for TorchScriptEngines {
    fn release(&self) -> &str {
        RELEASE
    }

    fn load(&self, manifest: &Manifest, model: &ModelFile) -> Result<Arc<dyn Forward>, String> {
        let _no_grad = tch::no_grad_guard();
        let loaded = || -> Result<CModule, TchError> {
            // The profiling executor compiles anew under traffic; frozen modules
            // run as fast without it, and their first pass ten times faster.
            tch::jit::f_set_profiling_mode(false)?;
            let mut module = match model.place() {
                Place::Path(path) => CModule::load(path)?,
                Place::Bytes(bytes) => CModule::load_data(&mut Cursor::new(bytes))?,
            };
            module.f_set_eval()?;
            Ok(module)
        };
        Ok(Arc::new(TorchScript {
            module: loaded()
                .map_err(|error| format!("is no TorchScript that can be loaded: {}", named_error(&error)))?,
            model: manifest.model.clone(),
            version: manifest.version,
            max_batch_rows: batch_limit(manifest, self.max_rows),
            inputs: manifest.inputs.clone(),
            outputs: manifest.outputs.clone(),
            cost: Cost::default(),
        }))
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

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        match parts {
            [only] => self.pass(only),
            several => self.pass(&Rows::joined(several)?),
        }
    }
}

impl TorchScript {
    fn pass(&self, rows: &Rows) -> Result<Rows, ForwardError> {
        let inputs: Vec<Tensor> = rows
            .columns()
            .iter()
            .zip(&self.inputs)
            .map(|(column, spec)| tensor(column, rows.len(), &spec.shape))
            .collect::<Result<_, _>>()
            .map_err(raised)?;
        let columns = self
            .run(&inputs)
            .map_err(raised)?
            .iter()
            .zip(&self.outputs)
            .map(|(output, spec)| column(output, spec, rows.len()))
            .collect::<Result<Vec<_>, _>>()?;
        if columns.len() != self.outputs.len() {
            return Err(ForwardError::Raised(format!("{} outputs for {}", columns.len(), self.outputs.len())));
        }
        Rows::new(rows.len(), columns).map_err(|ragged| ForwardError::Raised(ragged.to_string()))
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        if self.outputs.len() == 1 {
            return Ok(vec![self.module.forward_ts(inputs)?]);
        }
        // `forward_is` leaks its inputs where it errors; `forward_ts` can't return
        // a tuple. Ids and shapes are checked before, so errors are rare.
        let inputs: Vec<IValue> = inputs.iter().map(|input| IValue::Tensor(input.shallow_clone())).collect();
        match self.module.forward_is(&inputs)? {
            IValue::Tuple(values) => values.into_iter().map(Tensor::try_from).collect(),
            IValue::TensorList(tensors) => Ok(tensors),
            other => Tensor::try_from(other).map(|output| vec![output]),
        }
    }
}

fn tensor(column: &Column, rows: usize, shape: &[usize]) -> Result<Tensor, TchError> {
    let flat = match &column.values {
        Values::F32(values) => Tensor::f_from_slice(values)?,
        Values::I64(values) => Tensor::f_from_slice(values)?,
    };
    flat.f_reshape(dimensions(rows, shape))
}

fn column(output: &Tensor, spec: &OutputSpec, rows: usize) -> Result<Column, ForwardError> {
    let wanted = (kind(spec.dtype), dimensions(rows, &spec.shape));
    let found = (output.f_kind().map_err(raised)?, output.size());
    if found != wanted {
        return Err(ForwardError::Mismatch {
            output: spec.name.clone(),
            found: format!("{:?} {:?}", found.0, found.1),
            wanted: format!("{:?} {:?}", wanted.0, wanted.1),
        });
    }
    let width = spec.shape.iter().product();
    let values = match spec.dtype {
        Dtype::Float32 => Values::F32(copied(output, rows * width).map_err(raised)?),
        Dtype::Int64 => Values::I64(copied(output, rows * width).map_err(raised)?),
    };
    Ok(Column { width, values })
}

fn copied<T: tch::kind::Element + Default + Clone>(output: &Tensor, values: usize) -> Result<Vec<T>, TchError> {
    let mut copy = vec![T::default(); values];
    output.f_contiguous()?.f_copy_data(&mut copy, values)?;
    Ok(copy)
}

fn dimensions(rows: usize, shape: &[usize]) -> Vec<i64> {
    // Shapes are checked with the manifest and far below 2^63.
    std::iter::once(rows).chain(shape.iter().copied()).map(|size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::Float32 => Kind::Float,
        Dtype::Int64 => Kind::Int64,
    }
}

fn raised(error: TchError) -> ForwardError {
    ForwardError::Raised(named_error(&error))
}

/// The line of the message that names the error: the last one with `Error: `,
/// which is TorchScript's below its listing of code; without such a line the first
/// one that is not libtorch's stack trace.
fn named_error(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let says = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("Exception raised from") && !line.starts_with("frame #")
    };
    let raised = text.lines().rev().find(|line| line.contains("Error: "));
    raised.or_else(|| text.lines().find(says)).unwrap_or("an error without a message").trim().to_owned()
}
