//! What is served is what training computed: every golden row over the socket,
//! against formulas that are written anew here.

use std::collections::BTreeMap;

use serde_json::Value;
use souk::api::proto::v1::{
    GmvForecast, UserPortrait, gmv_result::Outcome, portrait_result::Outcome as PortraitOutcome,
};
use statrs::distribution::{ContinuousCDF as _, Normal};

use super::common::{
    models,
    rows::{forecasts_of, golden_merchants, golden_users, portraits_of},
    server::Launch,
};

/// Of the larger of both, for numbers that went through float32 kernels in
/// batches of different sizes.
const RELATIVE: f64 = 1e-5;

fn assert_near(what: &str, served: f64, computed: f64) {
    let off = (served - computed).abs();
    assert!(off <= RELATIVE * served.abs().max(computed.abs()), "{what}: served {served}, computed {computed}");
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

#[tokio::test]
async fn every_golden_merchant_is_forecast_as_training_did() {
    let server = Launch::new().serving().await;
    let golden = golden_merchants();
    let rows = golden.iter().map(|golden| golden.row.clone()).collect();
    let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    assert_eq!(reply.results.len(), golden.len());
    let output = models::manifest("merchant_gmv")["head"]["output"].as_str().unwrap().to_owned();
    for (golden, result) in golden.iter().zip(reply.results) {
        assert_eq!(result.merchant_id, golden.row.merchant_id);
        let Some(Outcome::Forecast(forecast)) = result.outcome else { panic!("{result:?}") };
        assert_is_distribution(&result.merchant_id, &forecast, &golden.outputs[&output]);
    }
}

/// `output` is the logit of P(GMV > 0), mu and sigma of log GMV.
fn assert_is_distribution(id: &str, forecast: &GmvForecast, output: &[f64]) {
    let &[logit, mu, sigma] = output else { panic!("{output:?}") };
    let active = sigmoid(logit);
    assert_near(id, forecast.active_probability, active);
    assert_near(id, forecast.expected_gmv, active * (mu + sigma * sigma / 2.0).exp());
    assert!(!forecast.quantiles.is_empty());
    for quantile in &forecast.quantiles {
        // Backwards: the probability of at most this GMV, off by what float32
        // rounding of mu and sigma shifts.
        let inactive = 1.0 - active;
        if quantile.gmv > 0.0 {
            let at_most = inactive + active * Normal::new(mu, sigma).unwrap().cdf(quantile.gmv.ln());
            assert!((at_most - quantile.probability).abs() < 1e-4, "{id}: {quantile:?} is at {at_most}");
        } else {
            assert!(inactive > quantile.probability - 1e-6, "{id}: {quantile:?} of {inactive} inactive");
        }
    }
}

#[tokio::test]
async fn every_golden_user_is_portrayed_as_training_did() {
    let server = Launch::new().serving().await;
    let golden = golden_users();
    let rows = golden.iter().map(|golden| golden.row.clone()).collect();
    let reply = server.portraits().await.get_portraits(portraits_of(rows)).await.unwrap().into_inner();
    assert_eq!(reply.results.len(), golden.len());
    let manifest = models::manifest("user_portrait");
    for (golden, result) in golden.iter().zip(reply.results) {
        assert_eq!(result.user_id, golden.row.user_id);
        let Some(PortraitOutcome::Portrait(portrait)) = result.outcome else { panic!("{result:?}") };
        assert_is_portrait(&result.user_id, &portrait, &golden.outputs, &manifest["head"]["groups"]);
    }
}

fn assert_is_portrait(id: &str, portrait: &UserPortrait, outputs: &BTreeMap<String, Vec<f64>>, groups: &Value) {
    let mut served = portrait.groups.iter();
    let mut embedding = 0;
    for group in groups.as_array().unwrap() {
        let output = &outputs[group["output"].as_str().unwrap()];
        if group["kind"] == "embedding" {
            embedding = output.len();
            let near = |(served, computed): (&f32, &f64)| {
                (f64::from(*served) - computed).abs() <= 1e-5 * (1.0 + computed.abs())
            };
            assert!(portrait.embedding.iter().zip(output).all(near), "{id}: {:?} for {output:?}", portrait.embedding);
            continue;
        }
        let served = served.next().unwrap();
        assert_eq!(
            (served.name.as_str(), served.exclusive),
            (group["name"].as_str().unwrap(), group["kind"] == "softmax")
        );
        let computed = probabilities(group, output);
        assert_eq!(served.tags.len(), computed.len());
        for (tag, (label, computed)) in served.tags.iter().zip(computed) {
            assert_eq!(tag.label, label);
            assert_near(&format!("{id} {} {label}", served.name), tag.probability, computed);
        }
    }
    assert_eq!((portrait.embedding.len(), served.next()), (embedding, None));
}

/// Labels and calibrated probabilities of a group.
fn probabilities(group: &Value, logits: &[f64]) -> Vec<(String, f64)> {
    let calibration = &group["calibration"];
    let scale = calibration["scale"].as_f64().unwrap_or(1.0);
    let bias = |index: usize| calibration["bias"][index].as_f64().unwrap_or(0.0);
    let logits: Vec<f64> = logits.iter().enumerate().map(|(index, logit)| logit * scale + bias(index)).collect();
    let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
    let probability = |logit: &f64| if group["kind"] == "softmax" { logit.exp() / total } else { sigmoid(*logit) };
    let labels = group["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned());
    labels.zip(logits.iter().map(probability)).collect()
}
