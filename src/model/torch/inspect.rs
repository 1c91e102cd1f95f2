//! A module that is not a version yet: what it consists of, and what it does with
//! tensors that nobody described.

use std::{fs::File, path::Path};

use bytes::Bytes;
use tch::{CModule, IValue, Kind, TchError, Tensor};

use super::{
    named_error, prepared,
    script::{self, arguments},
    tensors::{dimensions, kind, zeroed},
};
use crate::{
    manifest::Arguments,
    model::{
        archive,
        import::{Array, Runs},
    },
    rows::Dtype,
};

/// A loaded module.
pub struct Inspected {
    module: CModule,
}

/// A parameter of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// E.g. `layers.0.weight`.
    pub name: String,
    /// The type of its elements, by PyTorch's name where the server knows it.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// How many values it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inspected {
    /// Loads a TorchScript file. That runs its code: it must be one's own.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, for people.
    pub fn load(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        archive::check_file(&mut file).map_err(|fault| fault.to_string())?;
        let module = prepared(|| CModule::load(path));
        module.map(|module| Self { module }).map_err(|error| named_error(&error))
    }

    /// All parameters by name; none of a module that was frozen.
    ///
    /// # Errors
    ///
    /// What libtorch says, for people.
    pub fn parameters(&self) -> Result<Vec<Parameter>, String> {
        let parameter = |(name, tensor): (String, Tensor)| {
            let found = tensor.f_kind()?;
            let dtype = dtype(found).map_or_else(|| format!("{found:?}"), |dtype| dtype.to_string());
            Ok(Parameter { name, dtype, shape: sizes(&tensor) })
        };
        let parameters = self.module.named_parameters().and_then(|all| all.into_iter().map(parameter).collect());
        parameters.map_err(|error: TchError| named_error(&error))
    }
}

impl Runs for Inspected {
    fn run(&self, call: Arguments, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>, String> {
        let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
        let tensors = inputs.iter().map(|(_, array)| tensor(array)).collect::<Result<Vec<_>, _>>();
        let tensors = tensors.map_err(|error| named_error(&error))?;
        let returned = self.module.forward_is(&arguments(call, names.into_iter(), &tensors));
        let returned = returned.map_err(|error| format!("it raised: {}", named_error(&error)))?;
        named(returned)?.into_iter().map(|(name, tensor)| Ok((name.clone(), array(&name, &tensor)?))).collect()
    }
}

/// The tensors of what a module returned, with their names or numbers.
fn named(returned: IValue) -> Result<Vec<(String, Tensor)>, String> {
    let pairs: Vec<(String, IValue)> = match returned {
        IValue::GenericDict(pairs) => pairs.into_iter().map(text_key).collect::<Result<_, _>>()?,
        IValue::Tuple(values) | IValue::GenericList(values) => numbered(values),
        IValue::TensorList(tensors) => numbered(tensors.into_iter().map(IValue::Tensor)),
        IValue::Tensor(tensor) => numbered([IValue::Tensor(tensor)]),
        other => return Err(format!("it returned {}, wanted tensors", script::kind(&other))),
    };
    let tensor = |(name, value): (String, IValue)| match script::tensor(&name, value) {
        Ok(tensor) => Ok((name, tensor)),
        Err(error) => Err(error.to_string()),
    };
    pairs.into_iter().map(tensor).collect()
}

fn numbered(values: impl IntoIterator<Item = IValue>) -> Vec<(String, IValue)> {
    values.into_iter().enumerate().map(|(index, value)| (format!("output_{index}"), value)).collect()
}

fn text_key((key, value): (IValue, IValue)) -> Result<(String, IValue), String> {
    match key {
        IValue::String(name) => Ok((name, value)),
        other => Err(format!("it returned a dictionary whose keys are {}, wanted strings", script::kind(&other))),
    }
}

fn tensor(array: &Array) -> Result<Tensor, TchError> {
    Tensor::f_from_data_size(&array.bytes, &dimensions(None, &array.shape), kind(array.dtype))
}

fn array(name: &str, tensor: &Tensor) -> Result<Array, String> {
    let said = |error: TchError| format!("its output {name}: {}", named_error(&error));
    let found = tensor.f_kind().map_err(said)?;
    let Some(dtype) = dtype(found) else {
        return Err(format!("its output {name} is of the type {found:?}, which no client can read"));
    };
    let mut bytes = zeroed(tensor.numel().saturating_mul(dtype.size())).map_err(|error| error.to_string())?;
    let tensor = tensor.f_contiguous().map_err(said)?;
    tensor.f_copy_data_u8(&mut bytes, tensor.numel()).map_err(said)?;
    Ok(Array { dtype, shape: sizes(&tensor), bytes: Bytes::from(bytes) })
}

fn sizes(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().filter_map(|size| usize::try_from(size).ok()).collect()
}

fn dtype(found: Kind) -> Option<Dtype> {
    Dtype::ALL.into_iter().find(|dtype| kind(*dtype) == found)
}
