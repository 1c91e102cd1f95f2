//! A `ModelInferRequest`, read where it lies: what it says of tensors, without their
//! elements.
//!
//! Nothing is copied but the sizes of shapes, and what is kept and read of a message is
//! bounded: an empty input takes two bytes on the wire and some dozens in memory.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::{
    super::wire::{Malformed, Wire},
    faults::{fault, of_input, of_output},
    parameters::{OfTensor, Parameters},
    reading::Reading,
};
use crate::error::ScoreError;

/// Most inputs, outputs or raw contents of a request.
const MOST_TENSORS: usize = 1024;

/// Most dimensions of a tensor: as many as libtorch has.
const MOST_DIMS: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) model: &'a str,
    pub(super) version: &'a str,
    pub(super) id: &'a str,
    pub(super) parameters: Parameters<'a>,
    pub(super) inputs: Vec<Input<'a>>,
    /// The names of the outputs that are wanted; none for all.
    pub(super) outputs: Vec<&'a str>,
    pub(super) raw: Vec<&'a [u8]>,
    /// Of all shapes.
    sizes: Vec<i64>,
    reading: Reading,
}

/// An input, without its raw contents.
#[derive(Debug, Default)]
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    pub(super) datatype: &'a str,
    /// Among [`Request::sizes`].
    shape: Range<usize>,
    /// An `InferTensorContents`; empty where there is none.
    pub(super) contents: &'a [u8],
    parameters: OfTensor<'a>,
}

impl<'a> Request<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`ScoreError::BadField`] where it is none, or beyond what is looked at.
    pub(super) fn read(mut message: &'a [u8]) -> Result<Self, ScoreError> {
        let mut request = Self::default();
        while !message.is_empty() {
            let field = request.reading.next(&mut message).and_then(|(number, value)| request.plain(number, value));
            match field.map_err(|malformed| fault("request", malformed.to_string()))? {
                None => {}
                Some(Part::Parameter(entry)) => request.parameters.add(entry, &mut request.reading)?,
                Some(Part::Input(input)) => request.add_input(input)?,
                Some(Part::Output(output)) => request.add_output(output)?,
                Some(Part::Raw(bytes)) => {
                    few(request.raw.len(), "raw_input_contents")?;
                    request.raw.push(bytes);
                }
            }
        }
        Ok(request)
    }

    /// The sizes of an input's shape.
    pub(super) fn shape(&self, input: &Input<'_>) -> &[i64] {
        self.sizes.get(input.shape.clone()).unwrap_or_default()
    }

    /// A number that is the same for the same contents, in the order in which they were
    /// sent.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        self.raw.iter().for_each(|bytes| hash.update(bytes));
        self.inputs.iter().for_each(|input| hash.update(input.contents));
        hash.digest()
    }

    /// Takes in a field, or hands it back where it has parts.
    fn plain(&mut self, number: u32, value: Wire<'a>) -> Result<Option<Part<'a>>, Malformed> {
        match number {
            1 => self.model = self.reading.text(value)?,
            2 => self.version = self.reading.text(value)?,
            3 => self.id = self.reading.text(value)?,
            4 => return Ok(Some(Part::Parameter(value.bytes()?))),
            5 => return Ok(Some(Part::Input(value.bytes()?))),
            6 => return Ok(Some(Part::Output(value.bytes()?))),
            7 => return Ok(Some(Part::Raw(value.bytes()?))),
            _ => {}
        }
        Ok(None)
    }

    fn add_input(&mut self, bytes: &'a [u8]) -> Result<(), ScoreError> {
        few(self.inputs.len(), "inputs")?;
        let place = self.inputs.len();
        let malformed = |malformed: Malformed| fault(&format!("inputs[{place}]"), malformed.to_string());
        let input = Input::read(bytes, &mut self.sizes, &mut self.reading).map_err(malformed)?;
        if input.shape.len() > MOST_DIMS {
            let description = format!("has more than {MOST_DIMS} sizes");
            return Err(of_input(input.name, ".shape", description));
        }
        if let Some((part, description)) = input.parameters.fault() {
            return Err(of_input(input.name, &part, description));
        }
        self.inputs.push(input);
        Ok(())
    }

    fn add_output(&mut self, mut bytes: &'a [u8]) -> Result<(), ScoreError> {
        few(self.outputs.len(), "outputs")?;
        let (mut name, mut parameters, reading) = ("", OfTensor::default(), &mut self.reading);
        while !bytes.is_empty() {
            let field = reading.next(&mut bytes).and_then(|(number, value)| match number {
                1 => reading.text(value).map(|text| name = text),
                2 => parameters.add(value.bytes()?, reading),
                _ => Ok(()),
            });
            field.map_err(|malformed| fault(&format!("outputs[{}]", self.outputs.len()), malformed.to_string()))?;
        }
        if let Some((part, description)) = parameters.fault() {
            return Err(of_output(name, &part, description));
        }
        self.outputs.push(name);
        Ok(())
    }
}

/// A field of a request that has parts, as it came.
enum Part<'a> {
    Parameter(&'a [u8]),
    Input(&'a [u8]),
    Output(&'a [u8]),
    Raw(&'a [u8]),
}

/// Whether there may be one more than so many.
fn few(so_many: usize, field: &str) -> Result<(), ScoreError> {
    if so_many < MOST_TENSORS {
        return Ok(());
    }
    Err(fault(field, format!("there are more than {MOST_TENSORS} in one request")))
}

impl<'a> Input<'a> {
    /// As far as its shape has no more sizes than there may be.
    fn read(mut bytes: &'a [u8], sizes: &mut Vec<i64>, reading: &mut Reading) -> Result<Self, Malformed> {
        let start = sizes.len();
        let mut input = Self { shape: start..start, ..Self::default() };
        while !bytes.is_empty() && input.shape.len() <= MOST_DIMS {
            match reading.next(&mut bytes)? {
                (1, name) => input.name = reading.text(name)?,
                (2, datatype) => input.datatype = reading.text(datatype)?,
                (3, size) => input.shape.end += size.sizes(sizes, start + MOST_DIMS)?,
                (4, entry) => input.parameters.add(entry.bytes()?, reading)?,
                // Several would be one. No client sends several.
                (5, contents) if input.contents.is_empty() => input.contents = contents.bytes()?,
                (5, _) => return Err(Malformed::Mistyped),
                _ => {}
            }
        }
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::api::proto::inference::{
        InferParameter, InferTensorContents, ModelInferRequest,
        infer_parameter::ParameterChoice,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    };

    fn any_input() -> impl Strategy<Value = InferInputTensor> {
        let contents = prop::option::of(prop::collection::vec(any::<i64>(), 1..4))
            .prop_map(|ints| ints.map(|int64_contents| InferTensorContents { int64_contents, ..Default::default() }));
        let all = (".{0,4}", "[A-Z0-9]{0,5}", prop::collection::vec(any::<i64>(), 0..5), contents);
        all.prop_map(|(name, datatype, shape, contents)| InferInputTensor {
            name,
            datatype,
            shape,
            contents,
            parameters: [("binary_data_size".to_owned(), InferParameter::default())].into(),
        })
    }

    proptest! {
        #[test]
        fn a_request_is_read_as_protobuf_reads_it(
            (model_name, model_version, id) in (".{0,4}", ".{0,4}", ".{0,40}"),
            inputs in prop::collection::vec(any_input(), 0..4),
            outputs in prop::collection::vec(".{0,4}", 0..3),
            raw_input_contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..4),
            (priority, entity_id) in (any::<u64>(), ".{0,9}"),
        ) {
            let parameter = |choice| InferParameter { parameter_choice: Some(choice) };
            let parameters = [
                ("priority", ParameterChoice::Uint64Param(priority)),
                ("entity_id", ParameterChoice::StringParam(entity_id.clone())),
                ("something", ParameterChoice::DoubleParam(0.5)),
                ("else", ParameterChoice::BoolParam(true)),
            ];
            let message = ModelInferRequest {
                model_name,
                model_version,
                id,
                parameters: parameters.map(|(key, choice)| (key.to_owned(), parameter(choice))).into(),
                inputs,
                outputs: outputs
                    .into_iter()
                    .map(|name| InferRequestedOutputTensor { name, ..Default::default() })
                    .collect(),
                raw_input_contents,
            };
            let encoded = message.encode_to_vec();
            let request = Request::read(&encoded).unwrap();
            prop_assert_eq!((request.model, request.version, request.id), (&*message.model_name, &*message.model_version, &*message.id));
            prop_assert_eq!((request.parameters.priority, request.parameters.entity_id), (priority, &*entity_id));
            prop_assert_eq!(request.inputs.len(), message.inputs.len());
            for (input, wanted) in request.inputs.iter().zip(&message.inputs) {
                prop_assert_eq!((input.name, input.datatype), (&*wanted.name, &*wanted.datatype));
                prop_assert_eq!(request.shape(input), &*wanted.shape);
                let contents = wanted.contents.as_ref().map(|contents| contents.encode_to_vec()).unwrap_or_default();
                prop_assert_eq!(input.contents, contents);
            }
            let names: Vec<_> = message.outputs.iter().map(|output| &*output.name).collect();
            prop_assert_eq!(request.outputs, names);
            prop_assert_eq!(request.raw, message.raw_input_contents);
        }
    }
}
