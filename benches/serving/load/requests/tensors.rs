//! Raw tensors of the Open Inference Protocol, as its binary clients send them.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use serde::Deserialize;
use souk::api::proto::inference::{ModelInferRequest, ModelInferResponse, model_infer_request::InferInputTensor};

use super::{Encoded, Said, chosen, count};

/// The only model here: `python -m souk_training reference --features tensors`.
const MODEL: &str = "deepfm";

/// What the answer must name.
pub(super) struct Asked {
    id: String,
    rows: usize,
}

/// A golden row.
#[derive(Deserialize)]
struct Line {
    inputs: Inputs,
    outputs: BTreeMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct Inputs {
    ids: Vec<i64>,
    dense: Vec<f32>,
}

/// Requests of the rows of `golden.jsonl`.
pub(super) fn all(golden: &str, rows: usize) -> anyhow::Result<Vec<Encoded>> {
    let golden: Vec<Line> = golden.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let first = golden.first().context("it holds no rows")?;
    let widths = (first.inputs.ids.len(), first.inputs.dense.len());
    let same = |line: &Line| (line.inputs.ids.len(), line.inputs.dense.len()) == widths && line.outputs.len() == 1;
    ensure!(golden.iter().all(same), "rows of different sizes");
    (0..count(golden.len(), rows)).map(|turn| request(&golden, widths, turn, rows)).collect()
}

fn request(golden: &[Line], (ids, dense): (usize, usize), turn: usize, rows: usize) -> anyhow::Result<Encoded> {
    let chosen: Vec<&Inputs> = chosen(golden, turn, rows).map(|line| &line.inputs).collect();
    let tensor = |name: &str, datatype: &str, width: usize| {
        let shape = vec![i64::try_from(rows)?, i64::try_from(width)?];
        let (name, datatype) = (name.to_owned(), datatype.to_owned());
        anyhow::Ok(InferInputTensor { name, datatype, shape, ..InferInputTensor::default() })
    };
    let raw_ids: Vec<u8> = chosen.iter().flat_map(|row| &row.ids).flat_map(|id| id.to_le_bytes()).collect();
    let raw_dense: Vec<u8> = chosen.iter().flat_map(|row| &row.dense).flat_map(|value| value.to_le_bytes()).collect();
    let id = format!("request-{turn}");
    let request = ModelInferRequest {
        model_name: MODEL.to_owned(),
        id: id.clone(),
        inputs: vec![tensor("ids", "INT64", ids)?, tensor("dense", "FP32", dense)?],
        raw_input_contents: vec![raw_ids, raw_dense],
        ..ModelInferRequest::default()
    };
    Ok(Encoded::new(&request, super::Asked::Tensors(Asked { id, rows })))
}

impl Asked {
    /// One output with a number for every row.
    pub(super) fn said_by(&self, message: &[u8]) -> Said {
        let Ok(answer) = ModelInferResponse::decode(message) else { return Said::default() };
        let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
        let numbers = |raw: &Vec<u8>| raw.len() == 4 * self.rows && raw.as_chunks().0.iter().all(number);
        let one = answer.outputs.len() == 1 && answer.raw_output_contents.len() == 1;
        Said {
            right: one && answer.id == self.id && answer.raw_output_contents.iter().all(numbers),
            version: answer.model_version.parse().unwrap_or_default(),
            batch_rows: 0,
        }
    }
}
