//! The engine of weights without code: a version goes live and answers, a row that it
//! can't score fails alone, and a file that is not the model's is named.

use std::{fs, path::Path};

use serde_json::{Value, json};
use souk::api::{
    JsonForms,
    proto::v1::{GmvResult, Merchant, gmv_result::Outcome},
};
use tonic::Code;

use super::{
    check::{check, of_version},
    common::{
        models::Copy,
        rows::forecasts_of,
        server::{Launch, empty_root},
    },
};

/// Of numbers that went through float32.
const RELATIVE: f64 = 1e-5;

/// The golden rows: what is sent, and logit, mu and sigma that training computed.
fn golden(version: &Path) -> Vec<(Merchant, [f64; 3])> {
    let text = fs::read_to_string(version.join("golden.jsonl")).unwrap();
    let forms = JsonForms::new().unwrap();
    let golden = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let row = forms.read("Merchant", &line["row"].to_string()).unwrap();
        (row, serde_json::from_value(line["outputs"]["ziln"].clone()).unwrap())
    };
    text.lines().map(golden).collect()
}

fn assert_is_of(result: &GmvResult, [logit, mu, sigma]: [f64; 3]) {
    let Some(Outcome::Forecast(forecast)) = &result.outcome else { panic!("{result:?}") };
    let wanted = (mu + sigma * sigma / 2.0).exp() / (1.0 + (-logit).exp());
    assert!((forecast.expected_gmv - wanted).abs() <= RELATIVE * wanted, "{wanted}: {forecast:?}");
}

#[tokio::test]
async fn a_version_without_code_goes_live_and_answers_as_training_did() {
    let (_folder, root) = empty_root();
    let version = Copy::deepfm(&root, 1);
    let server = Launch::new().set("models.root", root.display()).serving().await;
    let golden = golden(&version.path);
    let rows = golden.iter().map(|(row, _)| row.clone()).collect();
    let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    assert_eq!(reply.results.len(), golden.len());
    for (result, (_, outputs)) in reply.results.iter().zip(&golden) {
        assert_is_of(result, *outputs);
    }
}

#[tokio::test]
async fn a_row_with_an_id_that_its_field_has_not_fails_alone() {
    let (_folder, root) = empty_root();
    let version = Copy::deepfm(&root, 1);
    let server = Launch::new().set("models.root", root.display()).serving().await;
    let golden = golden(&version.path);
    let mut rows: Vec<Merchant> = golden.iter().map(|(row, _)| row.clone()).collect();
    // The table of months ends with October.
    rows[5].as_of = "2026-11-15".into();
    let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    for (index, (result, (_, outputs))) in reply.results.iter().zip(&golden).enumerate() {
        if index != 5 {
            assert_is_of(result, *outputs);
            continue;
        }
        let Some(Outcome::Error(error)) = &result.outcome else { panic!("{result:?}") };
        assert_eq!(error.code, Code::Internal as i32, "{error:?}");
        assert!(error.message.contains("ids[2] is 11, wanted an id of 0 to 10"), "{error:?}");
    }
}

/// What is done to the version, and what `souk check` says of it.
type Defect = (fn(&Copy) -> &Copy, &'static [&'static str]);

const DEFECTS: [Defect; 8] = [
    (|copy| copy, &["ok"]),
    (|copy| copy.flip("model.safetensors"), &["model.safetensors: sha256 is", "the manifest says"]),
    (
        |copy| copy.remove("model.safetensors"),
        &["model.safetensors: the file is missing", "since model.safetensors is not the file that was trained"],
    ),
    (
        |copy| copy.truncate("model.safetensors", 2000).correct_digest("model.safetensors"),
        &["model.safetensors: is no safetensors: ", "since model.safetensors can't be loaded"],
    ),
    (
        |copy| copy.with_manifest(|manifest| manifest["architecture"]["hidden"] = json!([9, 7])),
        &["model.safetensors: tensor hidden.1.weight: found F32 [9, 6], wanted F32 [9, 7]"],
    ),
    (
        |copy| copy.with_manifest(|manifest| drop(manifest["architecture"].take())),
        &["manifest.json: architecture: found none, wanted one for the engine deepfm"],
    ),
    (
        |copy| copy.with_manifest(|manifest| manifest["engine"] = "torchscript".into()),
        &["manifest.json: files.model.pt: missing", "architecture: found one, wanted none for the engine torchscript"],
    ),
    (
        |copy| copy.with_manifest(|manifest| manifest["architecture"]["output"] = "linear".into()),
        &["golden.jsonl line 1: output ziln[1]: served"],
    ),
];

#[test]
fn every_defect_of_a_version_without_code_is_named() {
    let (_folder, root) = empty_root();
    for (number, (bend, _)) in (1..).zip(DEFECTS) {
        bend(&Copy::deepfm(&root, number));
    }
    let output = check(&root);
    for (number, (_, wanted)) in (1..).zip(DEFECTS) {
        let said = of_version(&output, &format!("merchant_gmv version {number}"));
        assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{wanted:?} in {said}");
    }
}
