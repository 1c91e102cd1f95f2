use std::time::Duration;

use prost::Message as _;
use serde_json::json;

use super::*;
use crate::{
    api::proto::inference::{
        InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
        infer_parameter::ParameterChoice,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    },
    fixture,
    identity::Caller,
    registry::{Arm, CANARY, STABLE},
    rows::Dtype,
};

mod faults;

const NOBODY: Caller = Caller { identity: None, address: None, until: None };
const CALL: Call = Call { deadline: None, lane: Lane::Interactive, caller: NOBODY, journey: None };

/// `ids` of two integers in a range, `dense` of as many floats as a request likes, and `flag`.
fn version(number: u64, max_batch_rows: usize) -> Version {
    let tensors = json!({
        "inputs": [
            {"name": "ids", "dtype": "int64", "shape": [2], "range": [0, 9]},
            {"name": "dense", "dtype": "float32", "shape": [-1]},
            {"name": "flag", "dtype": "bool", "shape": []},
        ],
        "outputs": [
            {"name": "ids", "dtype": "int64", "shape": [2]},
            {"name": "dense", "dtype": "float32", "shape": [-1]},
            {"name": "flag", "dtype": "bool", "shape": []},
        ],
    });
    fixture::echo(number, &tensors, max_batch_rows)
}

fn scoring_of(version: Version) -> Scoring {
    let model = version.manifest.model.clone();
    let arm = Arm { label: STABLE.into(), version: Arc::new(version), percent: 100.0 };
    let scoring = fixture::scoring(&model, fixture::of_arms(&model, vec![arm]), 1024);
    Scoring { max_rows: 8.try_into().unwrap(), ..scoring }
}

fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor { name: name.into(), datatype: datatype.into(), shape: shape.into(), ..Default::default() }
}

fn output(name: &str) -> InferRequestedOutputTensor {
    InferRequestedOutputTensor { name: name.into(), ..Default::default() }
}

fn bytes<const N: usize, T>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(bytes).collect()
}

/// Two rows that are right.
fn right() -> ModelInferRequest {
    ModelInferRequest {
        model_name: "echo".into(),
        id: "seven".into(),
        inputs: vec![input("dense", "FP32", &[2, 3]), input("ids", "INT64", &[2, 2]), input("flag", "BOOL", &[2])],
        raw_input_contents: vec![
            bytes(&[0.5_f32, 1.5, -2.0, 3.0, 4.0, 5.0], |value| value.to_le_bytes()),
            bytes(&[1_i64, 2, 3, 4], |value| value.to_le_bytes()),
            vec![0, 1],
        ],
        ..Default::default()
    }
}

async fn asked(scoring: &Scoring, request: &ModelInferRequest) -> Result<ModelInferResponse, ScoreError> {
    let asked = Asked { message: request.encode_to_vec().into(), call: CALL, streamed: false };
    let reply = infer(scoring, &asked).await?;
    let mut written = Vec::new();
    reply.put(&mut written);
    Ok(ModelInferResponse::decode(&*written).unwrap())
}

#[tokio::test]
async fn outputs_come_back_by_name_as_they_lie_in_memory() {
    let request = right();
    let reply = asked(&scoring_of(version(7, 4)), &request).await.unwrap();
    assert_eq!((reply.model_name.as_str(), reply.model_version.as_str(), reply.id.as_str()), ("echo", "7", "seven"));
    let found: Vec<_> = reply.outputs.iter().map(|output| (&*output.name, &*output.datatype, &*output.shape)).collect();
    let wanted: [(&str, &str, &[i64]); 3] =
        [("ids", "INT64", &[2, 2]), ("dense", "FP32", &[2, 3]), ("flag", "BOOL", &[2])];
    assert_eq!(found, wanted);
    let [dense, ids, flag] = <[_; 3]>::try_from(request.raw_input_contents).unwrap();
    assert_eq!(reply.raw_output_contents, [ids, dense, flag]);
    let text = |key: &str| reply.parameters[key].parameter_choice.clone();
    assert_eq!(text("label"), Some(ParameterChoice::StringParam(STABLE.into())));
    assert_eq!(text("digest"), Some(ParameterChoice::StringParam("0".repeat(64))));
}

#[tokio::test]
async fn only_requested_outputs_come_back_in_the_requests_order() {
    let request = ModelInferRequest { outputs: vec![output("flag"), output("ids")], ..right() };
    let reply = asked(&scoring_of(version(1, 4)), &request).await.unwrap();
    let names: Vec<_> = reply.outputs.iter().map(|output| &*output.name).collect();
    assert_eq!((names, reply.raw_output_contents[0].as_slice()), (vec!["flag", "ids"], [0, 1].as_slice()));
}

#[tokio::test]
async fn typed_contents_are_the_same_rows() {
    let mut request = right();
    request.raw_input_contents.clear();
    let contents = [
        InferTensorContents { fp32_contents: vec![0.5, 1.5, -2.0, 3.0, 4.0, 5.0], ..Default::default() },
        InferTensorContents { int64_contents: vec![1, 2, 3, 4], ..Default::default() },
        InferTensorContents { bool_contents: vec![false, true], ..Default::default() },
    ];
    request.inputs.iter_mut().zip(contents).for_each(|(input, contents)| input.contents = Some(contents));
    let scoring = scoring_of(version(1, 4));
    let typed = asked(&scoring, &request).await.unwrap();
    assert_eq!(typed.raw_output_contents, asked(&scoring, &right()).await.unwrap().raw_output_contents);
}

#[tokio::test]
async fn every_datatype_comes_back_raw_and_typed() {
    for dtype in Dtype::ALL {
        let name = super::super::datatype::name(dtype);
        let tensor = json!([{"name": "x", "dtype": dtype.as_str(), "shape": [2]}]);
        let scoring = scoring_of(fixture::echo(1, &json!({"inputs": tensor, "outputs": tensor}), 4));
        let raw: Vec<u8> = [0.0, 1.0].into_iter().flat_map(|value| dtype.element(value)).collect();
        let request = ModelInferRequest {
            model_name: "echo".into(),
            inputs: vec![input("x", name, &[1, 2])],
            raw_input_contents: vec![raw.clone()],
            ..Default::default()
        };
        assert_eq!(asked(&scoring, &request).await.unwrap().raw_output_contents, std::slice::from_ref(&raw), "{name}");
        let contents = InferTensorContents {
            bool_contents: if dtype == Dtype::Bool { vec![false, true] } else { vec![] },
            int_contents: if matches!(name, "INT8" | "INT16" | "INT32") { vec![0, 1] } else { vec![] },
            int64_contents: if name == "INT64" { vec![0, 1] } else { vec![] },
            uint_contents: if name == "UINT8" { vec![0, 1] } else { vec![] },
            fp32_contents: if matches!(name, "FP32" | "FP16" | "BF16") { vec![0.0, 1.0] } else { vec![] },
            fp64_contents: if name == "FP64" { vec![0.0, 1.0] } else { vec![] },
            ..Default::default()
        };
        let inputs = vec![InferInputTensor { contents: Some(contents), ..input("x", name, &[1, 2]) }];
        let typed = asked(&scoring, &ModelInferRequest { inputs, raw_input_contents: vec![], ..request }).await;
        if matches!(name, "FP16" | "BF16") {
            let said = typed.unwrap_err().to_string();
            assert!(said.contains(&format!("wanted raw_input_contents: {name} has no typed contents")), "{said}");
        } else {
            assert_eq!(typed.unwrap().raw_output_contents, [raw], "{name}");
        }
    }
}

#[tokio::test]
async fn a_model_without_rows_takes_its_tensors_as_they_are() {
    let tensor = json!([{"name": "x", "dtype": "int8", "shape": [-1, 2]}]);
    let scoring = scoring_of(fixture::echo(1, &json!({"inputs": tensor, "outputs": tensor}), 0));
    let request = ModelInferRequest {
        model_name: "echo".into(),
        inputs: vec![input("x", "INT8", &[3, 2])],
        raw_input_contents: vec![vec![1; 6]],
        ..Default::default()
    };
    let reply = asked(&scoring, &request).await.unwrap();
    assert_eq!((&*reply.outputs[0].shape, reply.raw_output_contents), ([3, 2].as_slice(), vec![vec![1; 6]]));
}

#[tokio::test]
async fn a_domain_model_takes_its_encoded_inputs_and_no_ids_that_it_has_not() {
    let scoring = scoring_of(fixture::version("merchant_gmv", 3));
    let request = |ids: [i64; 4], dense: [f32; 3]| ModelInferRequest {
        model_name: "merchant_gmv".into(),
        inputs: vec![
            input("ids", "INT64", &[1, 4]),
            input("dense", "FP32", &[1, 3]),
            input("daily_gmv", "FP32", &[1, 4]),
        ],
        raw_input_contents: vec![
            bytes(&ids, |value| value.to_le_bytes()),
            bytes(&dense, |value| value.to_le_bytes()),
            vec![0; 16],
        ],
        ..Default::default()
    };
    let reply = asked(&scoring, &request([2, 49, 3, 6], [0.0; 3])).await.unwrap();
    assert_eq!((&*reply.outputs[0].name, &*reply.outputs[0].shape), ("ziln", [1, 3].as_slice()));
    assert_eq!(reply.raw_output_contents, [bytes(&[0.0_f32, 0.0, 1.0], |value| value.to_le_bytes())]);
    for (ids, wanted) in [
        ([3, 0, 0, 0], r#"inputs["ids"][0, 0]: is 3, wanted 0 to 2"#),
        ([0, 50, 0, 0], r#"inputs["ids"][0, 1]: is 50, wanted 0 to 49"#),
        ([0, 0, -1, 0], r#"inputs["ids"][0, 2]: is -1, wanted 0 to "#),
    ] {
        let said = asked(&scoring, &request(ids, [0.0; 3])).await.unwrap_err().to_string();
        assert!(said.starts_with(wanted), "{said}");
    }
    let said = asked(&scoring, &request([0; 4], [0.0, f32::NAN, 0.0])).await.unwrap_err().to_string();
    assert_eq!(said, r#"inputs["dense"][0, 1]: is NaN, wanted a finite number"#);
}

#[tokio::test]
async fn what_is_no_number_leaves_only_where_the_manifest_says_so() {
    for non_finite in [false, true] {
        let tensors = json!({
            "inputs": [{"name": "x", "dtype": "float64", "shape": []}],
            "outputs": [{"name": "x", "dtype": "float64", "shape": [], "non_finite": non_finite}],
        });
        let scoring = scoring_of(fixture::echo(5, &tensors, 4));
        let raw = bytes(&[1.0, f64::NAN, 2.0, f64::INFINITY], |value: &f64| value.to_le_bytes());
        let request = ModelInferRequest {
            model_name: "echo".into(),
            inputs: vec![input("x", "FP64", &[4])],
            raw_input_contents: vec![raw.clone()],
            ..Default::default()
        };
        match asked(&scoring, &request).await {
            Ok(reply) => assert_eq!((non_finite, reply.raw_output_contents), (true, vec![raw])),
            Err(error) => {
                let wanted = r#"model echo version 5 failed: rows 1, 3: output "x" is not finite"#;
                assert_eq!((non_finite, error.to_string().as_str()), (false, wanted));
            }
        }
    }
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

#[tokio::test]
async fn all_rows_of_a_request_go_to_the_version_of_its_entity_or_its_contents() {
    let arm = |label: &str, number| Arm { label: label.into(), version: Arc::new(version(number, 4)), percent: 50.0 };
    let model = fixture::of_arms("echo", vec![arm(STABLE, 1), arm(CANARY, 2)]);
    let traffic = model.traffic.clone().unwrap();
    let scoring = Scoring { max_rows: 8.try_into().unwrap(), ..fixture::scoring("echo", model, 1024) };
    let mut seen = std::collections::BTreeSet::new();
    for id in 0..20 {
        let key = format!("m-{id}");
        let wanted = traffic.of(&key).unwrap().version.manifest.version.to_string();
        let mut request = right();
        request.parameters.insert("entity_id".into(), parameter(ParameterChoice::StringParam(key)));
        assert_eq!(asked(&scoring, &request).await.unwrap().model_version, wanted);
        request.parameters.clear();
        request.raw_input_contents[0][0] = id;
        let by_contents = asked(&scoring, &request).await.unwrap().model_version;
        assert_eq!(asked(&scoring, &request).await.unwrap().model_version, by_contents);
        seen.insert(by_contents);
        let pinned = ModelInferRequest { model_version: "canary".into(), ..request };
        assert_eq!(asked(&scoring, &pinned).await.unwrap().model_version, "2");
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn priority_and_timeout_say_who_waits_and_how_long() {
    let lane = |priority, lane| Parameters { priority, ..Default::default() }.apply(&Call { lane, ..CALL }).lane;
    assert_eq!((lane(0, Lane::Interactive), lane(0, Lane::Bulk)), (Lane::Interactive, Lane::Bulk));
    assert_eq!((lane(1, Lane::Bulk), lane(2, Lane::Interactive)), (Lane::Interactive, Lane::Bulk));
    let soon = Instant::now() + Duration::from_secs(1);
    let of = |deadline: Option<Instant>, timeout| {
        let call = Call { deadline: deadline.map(Deadline), ..CALL };
        Parameters { timeout, ..Default::default() }.apply(&call).deadline.map(|deadline| deadline.0)
    };
    assert_eq!((of(None, None), of(Some(soon), None)), (None, Some(soon)));
    assert_eq!(of(Some(soon), Some(Duration::from_secs(60))), Some(soon));
    assert!(of(Some(soon), Some(Duration::ZERO)).unwrap() < soon);
    assert!(of(None, Some(Duration::MAX)).is_none(), "longer than any clock");
}

#[tokio::test]
async fn parameters_are_read_or_ignored() {
    let scoring = scoring_of(version(1, 4));
    let with = |key: &str, choice| {
        let mut request = right();
        request.parameters.insert(key.into(), parameter(choice));
        request
    };
    for choice in [ParameterChoice::Int64Param(2), ParameterChoice::Uint64Param(2)] {
        assert!(asked(&scoring, &with("priority", choice)).await.is_ok());
    }
    let minute = ParameterChoice::Int64Param(60_000_000);
    assert!(asked(&scoring, &with("timeout", minute)).await.is_ok());
    let short = asked(&scoring, &with("timeout", ParameterChoice::Int64Param(1))).await;
    assert!(matches!(short, Err(ScoreError::DeadlinePassed)), "{short:?}");
    assert!(asked(&scoring, &with("sequence_start", ParameterChoice::BoolParam(true))).await.is_ok());
    for (key, choice, wanted) in [
        ("priority", ParameterChoice::Int64Param(-1), "is -1, wanted an integer from 0"),
        ("timeout", ParameterChoice::StringParam("1s".into()), "is no integer, wanted an integer from 0"),
        ("entity_id", ParameterChoice::Int64Param(7), "is no text, wanted one"),
        ("timing", ParameterChoice::Int64Param(1), "is no bool, wanted one"),
    ] {
        let said = asked(&scoring, &with(key, choice)).await.unwrap_err().to_string();
        assert_eq!(said, format!("parameters[{key:?}]: {wanted}"));
    }
}

#[tokio::test]
async fn who_asks_for_it_is_told_where_the_time_went() {
    let scoring = scoring_of(version(1, 4));
    let parameters = async |timing: Option<bool>, lane: i64| {
        let mut request = right();
        request.parameters.insert("priority".into(), parameter(ParameterChoice::Int64Param(lane)));
        request.parameters.extend(timing.map(|it| ("timing".into(), parameter(ParameterChoice::BoolParam(it)))));
        asked(&scoring, &request).await.unwrap().parameters
    };
    for (priority, lane) in [(1, "interactive"), (2, "bulk")] {
        let timed = parameters(Some(true), priority).await;
        let choice = |key: &str| timed[key].parameter_choice.clone().unwrap();
        assert_eq!(choice("souk_lane"), ParameterChoice::StringParam(lane.into()));
        assert_eq!(choice("souk_batch_rows"), ParameterChoice::Int64Param(2));
        for part in ["souk_decode_us", "souk_queue_us", "souk_compute_us"] {
            assert!(matches!(choice(part), ParameterChoice::Int64Param(0..60_000_000)), "{part}: {:?}", choice(part));
        }
    }
    for timing in [None, Some(false)] {
        let untold = parameters(timing, 1).await;
        assert!(!untold.keys().any(|key| key.starts_with("souk_")), "{untold:?}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_after_a_request_that_failed() {
    let scoring = scoring_of(version(1, 4));
    let in_stream =
        |request: &ModelInferRequest| Asked { message: request.encode_to_vec().into(), call: CALL, streamed: true };
    let wrong = ModelInferRequest { model_name: "ech".into(), ..right() };
    match streamed(&scoring, &in_stream(&wrong)).await {
        Streamed::Fault { message, id, .. } => {
            assert_eq!((&*message, &*id), ("no model ech; there is: echo", "seven"));
        }
        Streamed::Reply(reply) => unreachable!("{reply:?}"),
    }
    let Streamed::Reply(reply) = streamed(&scoring, &in_stream(&right())).await else { unreachable!("a fault") };
    let mut written = Vec::new();
    reply.put(&mut written);
    let reply = ModelInferResponse::decode(&*written).unwrap();
    let last = reply.parameters["triton_final_response"].parameter_choice.clone();
    assert_eq!(last, Some(ParameterChoice::BoolParam(true)));
}

#[tokio::test]
async fn what_a_canary_made_of_tensors_is_counted() {
    let tensor = json!([{"name": "x", "dtype": "float32", "shape": []}]);
    let arm = |label: &str, number, percent| {
        let version = Arc::new(fixture::echo(number, &json!({"inputs": tensor, "outputs": tensor}), 4));
        Arm { label: label.into(), version, percent }
    };
    let arms = vec![arm(STABLE, 1, 50.0), arm(CANARY, 2, 50.0)];
    let canary = Arc::clone(&arms[1].version);
    let scoring = fixture::scoring("echo", fixture::of_arms("echo", arms), 1024);
    let window = Duration::from_secs(600);
    let watched = async {
        while scoring.trials.seen(&canary, window).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), watched).await.unwrap();
    let Ok(Route::Split(traffic)) = scoring.registry.route("echo", "") else { unreachable!("one arm") };
    let id = (0..).map(|id| format!("m-{id}")).find(|id| &*traffic.of(id).unwrap().label == CANARY).unwrap();
    let request = |version: &str, values: &[f32]| ModelInferRequest {
        model_name: "echo".into(),
        model_version: version.into(),
        parameters: [("entity_id".into(), parameter(ParameterChoice::StringParam(id.clone())))].into(),
        inputs: vec![input("x", "FP32", &[values.len().try_into().unwrap()])],
        raw_input_contents: vec![bytes(values, |value| value.to_le_bytes())],
        ..Default::default()
    };
    // Who names the version himself counts for nobody.
    for version in ["canary", "2"] {
        assert!(asked(&scoring, &request(version, &[1.0, 2.0])).await.is_ok());
        assert!(asked(&scoring, &request(version, &[1.0, f32::NAN])).await.is_err());
    }
    assert_eq!(scoring.trials.seen(&canary, window).unwrap().rows, 0);
    assert!(asked(&scoring, &request("", &[1.0, 2.0])).await.is_ok());
    assert!(asked(&scoring, &request("", &[1.0, f32::NAN, f32::INFINITY])).await.is_err());
    let seen = scoring.trials.seen(&canary, window).unwrap();
    assert_eq!((seen.rows, seen.failed, seen.without_number), (5, 0, 2));
}
