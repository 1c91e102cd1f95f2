//! What fuzzing begins with: files of the repository, and messages made of its golden rows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use serde_json::{Value, json};

use crate::{
    api::{
        JsonForms,
        fuzzing::datatype,
        proto::{
            inference::{
                InferTensorContents, ModelInferRequest,
                model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
            },
            v1::{
                GetPortraitsRequest, GetPortraitsResponse, GmvForecast, GmvQuantile, GmvResult, GuardLimits, Merchant,
                PortraitResult, PredictGmvRequest, PredictGmvResponse, RowError, ServedBy, SetTrafficRequest, Timing,
                TrafficLabel, TrafficPolicy, User, gmv_result, portrait_result,
            },
        },
    },
    rows::Dtype,
};

/// Rows that are made into messages.
const ROWS: usize = 12;

/// Largest file that is taken: fuzzing is for many small inputs.
const LARGEST: usize = 64 << 10;

/// Inputs of every type, one of a size that requests choose; outputs are the same.
pub(super) fn all_types() -> Value {
    let tensors = Dtype::ALL.iter().map(|dtype| json!({"name": dtype.as_str(), "dtype": dtype.as_str(), "shape": [2]}));
    let open = json!({"name": "open", "dtype": "float32", "shape": [-1, 2]});
    let all: Vec<Value> = tensors.chain([open]).collect();
    json!({"inputs": all, "outputs": all})
}

pub(super) fn of(forms: &JsonForms, target: &str) -> Vec<Vec<u8>> {
    let merchants = || rows::<Merchant>(forms, "merchant_gmv", "Merchant");
    let users = || rows::<User>(forms, "user_portrait", "User");
    match target {
        "merchant" => merchants().iter().map(Merchant::encode_to_vec).collect(),
        "user" => users().iter().map(User::encode_to_vec).collect(),
        "gmv_request" => {
            let quantiles = vec![0.1, 0.9];
            vec![PredictGmvRequest { merchants: merchants(), version: "canary".into(), quantiles }.encode_to_vec()]
        }
        "portraits_request" => vec![GetPortraitsRequest { users: users(), version: "3".into() }.encode_to_vec()],
        "gmv_reply" => vec![gmv_reply().encode_to_vec()],
        "portraits_reply" => vec![portraits_reply().encode_to_vec()],
        "infer" => infer(),
        "contents" => contents(),
        "traffic" => vec![traffic().encode_to_vec()],
        "manifest" => files("manifest.json"),
        "policy" => vec![POLICY.into(), HISTORY.into()],
        "golden" => lines("models/merchant_gmv/1/golden.jsonl"),
        "golden_tensors" => vec![golden_of_all_types()],
        "torchscript" => files(".pt"),
        "source" => files(".pt").iter().flat_map(|bytes| sources(bytes)).collect(),
        "arrays" => files(".npz"),
        "weights" => files(".safetensors"),
        "signature" => [files(".minisig"), files(".pub")].concat(),
        _ => Vec::new(),
    }
}

const POLICY: &str = r#"{"format_version": 1, "models": {"merchant_gmv": {"labels": {"stable": {"version": "newest"},
 "canary": {"version": 4, "percent": 10.5}}, "salt": "winter", "guard": {"enabled": true, "window": "2m", "looks": 3}}}}"#;

const HISTORY: &str = r#"{"model":"merchant_gmv","revision":2,"before":1,"at":"2026-01-31T00:00:00Z","by":"anna","reason":"why",
"policy":{"labels":{"stable":{"version":3}}},"versions":{"stable":3}}"#;

/// The rows of golden lines.
fn rows<M: prost::Message + Default>(forms: &JsonForms, model: &str, message: &str) -> Vec<M> {
    let text = fs::read_to_string(root().join(format!("models/{model}/1/golden.jsonl"))).unwrap_or_default();
    let row = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        forms.read(message, &line.get("row")?.to_string()).ok()
    };
    text.lines().take(ROWS).filter_map(row).collect()
}

fn gmv_reply() -> PredictGmvResponse {
    let quantiles = vec![GmvQuantile { probability: 0.5, gmv: 12.5 }];
    let forecast = GmvForecast {
        expected_gmv: 1.5,
        active_probability: 0.5,
        quantiles,
        currency: "EUR".into(),
        ..GmvForecast::default()
    };
    let result = |id: &str, outcome| GmvResult {
        merchant_id: id.into(),
        outcome: Some(outcome),
        defaulted_features: vec!["rating".into(), "as_of".into()],
        served_by: Some(ServedBy { version: 2, ..ServedBy::default() }),
    };
    let error = RowError { code: 3, message: "no".into(), ..RowError::default() };
    let results =
        vec![result("m-1", gmv_result::Outcome::Forecast(forecast)), result("", gmv_result::Outcome::Error(error))];
    PredictGmvResponse { results, served_by: Some(ServedBy::default()), timing: Some(Timing::default()) }
}

fn portraits_reply() -> GetPortraitsResponse {
    let outcome = portrait_result::Outcome::Portrait(Default::default());
    let result = PortraitResult { user_id: "u".into(), outcome: Some(outcome), ..PortraitResult::default() };
    GetPortraitsResponse { results: vec![result], ..GetPortraitsResponse::default() }
}

fn traffic() -> SetTrafficRequest {
    let label = |label: &str, version: &str, percent| TrafficLabel {
        label: label.into(),
        version: version.into(),
        percent,
        ..TrafficLabel::default()
    };
    let policy = TrafficPolicy {
        labels: vec![label("stable", "newest", None), label("canary", "4", Some(10.0))],
        salt: "winter".into(),
        guard: Some(GuardLimits { enabled: Some(true), looks: Some(3), ..GuardLimits::default() }),
    };
    SetTrafficRequest { model: "merchant_gmv".into(), policy: Some(policy), ..SetTrafficRequest::default() }
}

/// Requests for the model of all types, of two rows.
fn infer() -> Vec<Vec<u8>> {
    let mut raw = ModelInferRequest { model_name: "echo".into(), id: "a".into(), ..ModelInferRequest::default() };
    for dtype in Dtype::ALL {
        raw.inputs.push(InferInputTensor {
            name: dtype.as_str().into(),
            datatype: datatype(dtype).into(),
            shape: vec![2, 2],
            ..InferInputTensor::default()
        });
        raw.raw_input_contents.push(vec![0; 4 * dtype.size()]);
    }
    let open = InferInputTensor {
        name: "open".into(),
        datatype: "FP32".into(),
        shape: vec![2, 3, 2],
        ..InferInputTensor::default()
    };
    raw.inputs.push(open);
    raw.raw_input_contents.push(vec![0; 48]);
    let outputs = ["int64", "open"]
        .map(|name| InferRequestedOutputTensor { name: name.into(), ..InferRequestedOutputTensor::default() });
    let named = ModelInferRequest { outputs: outputs.into(), ..raw.clone() };
    [raw, named].iter().map(ModelInferRequest::encode_to_vec).collect()
}

/// Three elements of each type.
fn contents() -> Vec<Vec<u8>> {
    let all = InferTensorContents::default;
    let typed = [
        (Dtype::Bool, InferTensorContents { bool_contents: vec![true, false, true], ..all() }),
        (Dtype::Uint8, InferTensorContents { uint_contents: vec![1, 2, 255], ..all() }),
        (Dtype::Int8, InferTensorContents { int_contents: vec![1, -2, 127], ..all() }),
        (Dtype::Int16, InferTensorContents { int_contents: vec![1, -2, 32_767], ..all() }),
        (Dtype::Int32, InferTensorContents { int_contents: vec![1, -2, i32::MAX], ..all() }),
        (Dtype::Int64, InferTensorContents { int64_contents: vec![1, -2, i64::MAX], ..all() }),
        (Dtype::Float32, InferTensorContents { fp32_contents: vec![1.0, -2.0, f32::NAN], ..all() }),
        (Dtype::Float64, InferTensorContents { fp64_contents: vec![1.0, -2.0, f64::NAN], ..all() }),
    ];
    let place =
        |wanted| Dtype::ALL.iter().position(|dtype| *dtype == wanted).and_then(|place| u8::try_from(place).ok());
    let seed = |(dtype, contents): (Dtype, InferTensorContents)| {
        [vec![place(dtype).unwrap_or_default(), 3], contents.encode_to_vec()].concat()
    };
    typed.into_iter().map(seed).collect()
}

fn golden_of_all_types() -> Vec<u8> {
    let value = |dtype: Dtype| if dtype == Dtype::Bool { json!([true, false]) } else { json!([1, 2]) };
    let mut tensors: serde_json::Map<String, Value> =
        Dtype::ALL.iter().map(|dtype| (dtype.as_str().to_owned(), value(*dtype))).collect();
    tensors.insert("open".into(), json!([[1, "NaN"], [-3.5, "Infinity"]]));
    (json!({"inputs": tensors, "outputs": tensors}).to_string() + "\n").into_bytes()
}

/// Each line by itself, and some together.
fn lines(file: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let together = text.lines().take(3).collect::<Vec<_>>().join("\n");
    text.lines().take(ROWS).map(str::to_owned).chain([together]).map(String::into_bytes).collect()
}

/// The sources in an archive whose entries are not compressed: from their first line on.
fn sources(archive: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(archive);
    let begins: Vec<usize> = text.match_indices("class ").map(|(at, _)| at).collect();
    let source =
        |at: &usize| text.get(*at..).and_then(|rest| rest.split("PK").next()).map(|text| text.as_bytes().to_vec());
    begins.iter().filter_map(source).collect()
}

/// The files of the repository whose names end so, each once.
fn files(ending: &str) -> Vec<Vec<u8>> {
    let folders = ["tests/fixtures", "models"].map(|folder| root().join(folder));
    let paths = folders.iter().flat_map(|folder| below(folder));
    let named = paths.filter(|path| path.to_string_lossy().ends_with(ending));
    named.filter_map(|path| fs::read(path).ok()).filter(|bytes| bytes.len() <= LARGEST).collect()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
