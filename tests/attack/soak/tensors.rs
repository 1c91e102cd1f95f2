//! Golden rows as raw tensors of the Open Inference Protocol, with the outputs that training computed.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use souk::{
    api::proto::inference::{ModelInferRequest, model_infer_request::InferInputTensor},
    manifest::{InputSpec, Manifest},
    rows::Dtype,
};

use crate::questions::Question;

/// Requests to ask over and over.
pub(super) struct Tensors(Vec<(ModelInferRequest, Vec<f32>)>);

#[derive(Deserialize)]
struct Line {
    inputs: BTreeMap<String, Vec<f64>>,
    outputs: Outputs,
}

#[derive(Deserialize)]
struct Outputs {
    ziln: Vec<f32>,
}

impl Tensors {
    /// Of the version in `folder`.
    pub(super) fn golden(folder: &Path) -> anyhow::Result<Self> {
        let manifest = Manifest::parse(&fs::read(folder.join("manifest.json"))?)?;
        let text = fs::read_to_string(folder.join("golden.jsonl"))?;
        let request = |line: &str| {
            let line: Line = serde_json::from_str(line)?;
            Ok((asked(&manifest, &line.inputs)?, line.outputs.ziln))
        };
        let requests: Vec<_> = text.lines().map(request).collect::<anyhow::Result<_>>()?;
        ensure!(!requests.is_empty(), "no golden rows in {}", folder.display());
        Ok(Self(requests))
    }

    /// The request of this turn.
    pub(super) fn ask(&self, turn: usize) -> Question {
        let (request, wanted) = self.0.iter().cycle().nth(turn % self.0.len()).cloned().unwrap_or_default();
        Question::tensor(&request, wanted)
    }
}

fn asked(manifest: &Manifest, row: &BTreeMap<String, Vec<f64>>) -> anyhow::Result<ModelInferRequest> {
    let mut request = ModelInferRequest { model_name: manifest.model.clone(), ..ModelInferRequest::default() };
    for input in &manifest.inputs {
        let values = row.get(&input.name).with_context(|| format!("no input {}", input.name))?;
        let (datatype, bytes) = raw(input, values);
        let shape = vec![1, i64::try_from(values.len())?];
        let (name, datatype) = (input.name.clone(), datatype.to_owned());
        request.inputs.push(InferInputTensor { name, datatype, shape, ..InferInputTensor::default() });
        request.raw_input_contents.push(bytes);
    }
    Ok(request)
}

fn raw(input: &InputSpec, values: &[f64]) -> (&'static str, Vec<u8>) {
    match input.dtype {
        Dtype::Int64 => ("INT64", values.iter().flat_map(|value| (*value as i64).to_le_bytes()).collect()),
        _ => ("FP32", values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect()),
    }
}
