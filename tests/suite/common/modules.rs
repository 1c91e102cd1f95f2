//! The modules of `tests/fixtures/modules` and requests for them, with the answers that
//! PyTorch gave to each of them alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde_json::{Map, Value};
use souk::{
    api::proto::inference::{
        InferTensorContents, ModelInferRequest, ModelInferResponse, model_infer_request::InferInputTensor,
        model_infer_response::InferOutputTensor,
    },
    manifest::Manifest,
    rows::{Column, Dtype, Values},
};
use tonic::{Code, Status};

/// The folder, which can be a root of models.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/modules")
}

/// Copies the version of each model to `root`.
pub(crate) fn copy_to(root: &Path) -> Vec<String> {
    let is_folder = |path: &PathBuf| path.is_dir();
    let models = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(is_folder);
    let copied = models.map(|model| {
        let name = model.file_name().unwrap().to_str().unwrap().to_owned();
        let (from, to) = (model.join("1"), root.join(&name).join("1"));
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
        name
    });
    copied.collect()
}

/// A request, and what must come back.
pub(crate) struct Exchange {
    pub(crate) model: String,
    /// Most rows of a batch of the model; 0: it has no dimension of rows.
    pub(crate) max_batch_rows: usize,
    /// With its elements as bytes.
    pub(crate) raw: ModelInferRequest,
    /// The same with its elements as numbers, where the protocol has them.
    pub(crate) typed: Option<ModelInferRequest>,
    wanted: Wanted,
}

enum Wanted {
    Outputs(Vec<Tensor>),
    /// An error whose message has this in it.
    Fails(String),
}

struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<i64>,
    bytes: Bytes,
}

/// All requests of all models.
pub(crate) fn exchanges() -> Vec<Exchange> {
    let text = fs::read_to_string(folder().join("requests.jsonl")).unwrap();
    text.lines().map(|line| Exchange::read(&serde_json::from_str(line).unwrap())).collect()
}

impl Exchange {
    fn read(line: &Value) -> Self {
        let model = line["model"].as_str().unwrap().to_owned();
        let manifest = fs::read(folder().join(&model).join("1/manifest.json")).unwrap();
        let manifest = Manifest::parse(&manifest).unwrap();
        let tensor = |of: &Value, name: &str, dtype| Tensor::read(of.as_object().unwrap(), name, dtype);
        let inputs = manifest.inputs.iter().map(|spec| tensor(&line["inputs"], &spec.name, spec.dtype));
        let inputs: Vec<Tensor> = inputs.collect();
        let wanted = match line.get("fails") {
            Some(says) => Wanted::Fails(says.as_str().unwrap().to_owned()),
            None => Wanted::Outputs(
                manifest.outputs.iter().map(|spec| tensor(&line["outputs"], &spec.name, spec.dtype)).collect(),
            ),
        };
        let (raw, typed) = (Self::raw(&model, &inputs), Self::typed(&model, &inputs));
        Self { model, max_batch_rows: manifest.serving.max_batch_rows, raw, typed, wanted }
    }

    fn raw(model: &str, inputs: &[Tensor]) -> ModelInferRequest {
        ModelInferRequest {
            model_name: model.into(),
            id: "raw".into(),
            inputs: inputs.iter().map(|tensor| tensor.input(None)).collect(),
            raw_input_contents: inputs.iter().map(|tensor| tensor.bytes.to_vec()).collect(),
            ..ModelInferRequest::default()
        }
    }

    fn typed(model: &str, inputs: &[Tensor]) -> Option<ModelInferRequest> {
        let inputs = inputs.iter().map(|tensor| Some(tensor.input(Some(tensor.contents()?))));
        Some(ModelInferRequest {
            model_name: model.into(),
            id: "typed".into(),
            inputs: inputs.collect::<Option<_>>()?,
            ..ModelInferRequest::default()
        })
    }

    /// The same rows so many times over in one request; none where the model has no rows.
    pub(crate) fn repeated(&self, times: usize) -> Option<Self> {
        if self.max_batch_rows == 0 {
            return None;
        }
        let more_rows = |shape: &[i64]| [&[shape[0] * times as i64], &shape[1..]].concat();
        let mut raw = self.raw.clone();
        raw.inputs.iter_mut().for_each(|input| input.shape = more_rows(&input.shape));
        raw.raw_input_contents.iter_mut().for_each(|bytes| *bytes = bytes.repeat(times));
        let more = |Tensor { name, dtype, shape, bytes }: &Tensor| Tensor {
            name: name.clone(),
            dtype: *dtype,
            shape: more_rows(shape),
            bytes: bytes.repeat(times).into(),
        };
        let wanted = match &self.wanted {
            Wanted::Outputs(outputs) => Wanted::Outputs(outputs.iter().map(more).collect()),
            Wanted::Fails(says) => Wanted::Fails(says.clone()),
        };
        let (model, max_batch_rows) = (self.model.clone(), self.max_batch_rows);
        Some(Self { model, max_batch_rows, raw, typed: None, wanted })
    }

    /// Whether an answer is wanted, and no error.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.wanted, Wanted::Outputs(_))
    }

    /// Panics where this is not what must come back.
    pub(crate) fn assert_is(&self, found: Result<ModelInferResponse, Status>) {
        let model = &self.model;
        match (&self.wanted, found) {
            (Wanted::Outputs(wanted), Ok(reply)) => {
                assert_eq!((&reply.model_name, reply.outputs.len()), (model, wanted.len()));
                assert_eq!(reply.raw_output_contents.len(), wanted.len(), "{model}");
                for ((wanted, output), bytes) in wanted.iter().zip(reply.outputs).zip(reply.raw_output_contents) {
                    wanted.assert_near(model, &output, bytes);
                }
            }
            (Wanted::Fails(says), Err(status)) => {
                assert_eq!(status.code(), Code::Internal, "{model}: {status:?}");
                assert!(status.message().contains(says) && status.message().contains(model), "{status:?}");
            }
            (Wanted::Outputs(_), Err(status)) => panic!("{model}: {status:?}"),
            (Wanted::Fails(says), Ok(reply)) => panic!("{model}: {reply:?}, wanted an error with {says:?}"),
        }
    }
}

impl Tensor {
    fn read(tensors: &Map<String, Value>, name: &str, dtype: Dtype) -> Self {
        let (tensor, name) = (&tensors[name], name.to_owned());
        let shape = serde_json::from_value(tensor["shape"].clone()).unwrap();
        let values = tensor["values"].as_array().unwrap();
        Self { name, dtype, shape, bytes: values.iter().flat_map(|value| element(value, dtype)).collect() }
    }

    fn input(&self, contents: Option<InferTensorContents>) -> InferInputTensor {
        InferInputTensor {
            name: self.name.clone(),
            datatype: datatype(self.dtype).into(),
            shape: self.shape.clone(),
            contents,
            ..InferInputTensor::default()
        }
    }

    /// As numbers; the protocol has none for floats of 16 bits.
    fn contents(&self) -> Option<InferTensorContents> {
        let (mut contents, numbers) = (InferTensorContents::default(), self.numbers());
        match self.dtype {
            Dtype::Bool => contents.bool_contents = numbers.iter().map(|number| *number != 0.0).collect(),
            Dtype::Uint8 => contents.uint_contents = numbers.iter().map(|number| *number as u32).collect(),
            Dtype::Int8 | Dtype::Int16 | Dtype::Int32 => {
                contents.int_contents = numbers.iter().map(|number| *number as i32).collect();
            }
            Dtype::Int64 => {
                let (elements, _) = self.bytes.as_chunks();
                contents.int64_contents = elements.iter().map(|element| i64::from_le_bytes(*element)).collect();
            }
            Dtype::Float32 => contents.fp32_contents = numbers.iter().map(|number| *number as f32).collect(),
            Dtype::Float64 => contents.fp64_contents = numbers,
            Dtype::Float16 | Dtype::Bfloat16 => return None,
        }
        Some(contents)
    }

    fn numbers(&self) -> Vec<f64> {
        numbers(self.dtype, self.bytes.clone())
    }

    fn assert_near(&self, model: &str, output: &InferOutputTensor, bytes: Vec<u8>) {
        let Self { name, dtype, shape, .. } = self;
        let found = (&output.name, output.datatype.as_str(), &output.shape, bytes.len());
        assert_eq!(found, (name, datatype(*dtype), shape, self.bytes.len()), "{model}");
        if !dtype.is_float() {
            assert_eq!(bytes, self.bytes, "{model}: {name}");
        }
        let (relative, absolute) = tolerance(*dtype);
        for (place, (found, wanted)) in numbers(*dtype, bytes.into()).into_iter().zip(self.numbers()).enumerate() {
            let same = found == wanted || found.is_nan() && wanted.is_nan();
            let near = same || (found - wanted).abs() <= absolute + relative * wanted.abs();
            assert!(near, "{model}: {name}[{place}] is {found}, wanted {wanted}");
        }
    }
}

fn numbers(dtype: Dtype, bytes: Bytes) -> Vec<f64> {
    Column::new(bytes.len() / dtype.size(), Values::Raw { dtype, bytes }).row_numbers(0)
}

fn element(value: &Value, dtype: Dtype) -> Vec<u8> {
    match value {
        Value::Bool(value) => vec![u8::from(*value)],
        // Beyond 2^53 no float is every integer.
        Value::Number(number) if dtype == Dtype::Int64 => number.as_i64().unwrap().to_le_bytes().into(),
        Value::Number(number) => dtype.element(number.as_f64().unwrap()),
        Value::String(word) => dtype.element(word.parse().unwrap()),
        other => panic!("{other}"),
    }
}

/// How far an answer may be from PyTorch's, relative and absolute: sums in another order,
/// and the last bit of short floats.
fn tolerance(dtype: Dtype) -> (f64, f64) {
    match dtype {
        Dtype::Float16 => (1e-3, 1e-3),
        Dtype::Bfloat16 => (8e-3, 1e-3),
        Dtype::Float32 => (1e-5, 5e-6),
        Dtype::Float64 => (1e-12, 1e-12),
        _ => (0.0, 0.0),
    }
}

fn datatype(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "BOOL",
        Dtype::Uint8 => "UINT8",
        Dtype::Int8 => "INT8",
        Dtype::Int16 => "INT16",
        Dtype::Int32 => "INT32",
        Dtype::Int64 => "INT64",
        Dtype::Float16 => "FP16",
        Dtype::Bfloat16 => "BF16",
        Dtype::Float32 => "FP32",
        Dtype::Float64 => "FP64",
    }
}
