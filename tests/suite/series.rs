//! How many series `/metrics` has is for operators to say, who load models: callers can't
//! make up further ones.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};
use souk::api::proto::{
    inference::{
        ModelInferRequest, ModelMetadataRequest, ModelReadyRequest, ModelStatisticsRequest,
        grpc_inference_service_client::GrpcInferenceServiceClient,
    },
    v1::{
        FeatureValue, Merchant, PredictGmvRequest, feature_value::Kind,
        merchant_gmv_service_client::MerchantGmvServiceClient,
    },
};
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use super::common::{
    program::PATIENCE,
    rows::{forecasts_of, merchants},
    server::{Launch, TestServer},
};

/// Calls that are sent.
const CALLS: u64 = 10_000;

/// Those that are open at a time.
const OPEN: usize = 32;

/// A word that no other number gives: 16 hexadecimal digits (Fibonacci hashing).
fn word(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A call with something in it that only its caller knows of.
async fn call(channel: Channel, merchants: &[Merchant], number: u64) {
    let word = word(number);
    let mut inference = GrpcInferenceServiceClient::new(channel.clone());
    let (name, version) = (word.clone(), word.clone());
    // What becomes of it is of no interest, but that it ends.
    match number % 8 {
        0 => drop(any_method(channel, &format!("/souk.v1.{word}/{word}")).await),
        1 => drop(any_method(channel, &format!("/souk.v1.MerchantGmvService/{word}")).await),
        2 => drop(inference.model_infer(ModelInferRequest { model_name: word, ..Default::default() }).await),
        3 => drop(inference.model_ready(ModelReadyRequest { name, version }).await),
        4 => drop(inference.model_metadata(ModelMetadataRequest { name, version }).await),
        5 => drop(inference.model_statistics(ModelStatisticsRequest { name: "merchant_gmv".into(), version }).await),
        6 => drop(
            forecast(channel, PredictGmvRequest { version, ..forecasts_of(merchants_with(&word, merchants)) }).await,
        ),
        _ => drop(forecast(channel, forecasts_of(merchants_with(&word, merchants))).await),
    }
}

async fn any_method(channel: Channel, path: &str) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let codec = tonic_prost::ProstCodec::<PredictGmvRequest, PredictGmvRequest>::default();
    let path: PathAndQuery = path.parse().unwrap();
    client.unary(Request::new(PredictGmvRequest::default()), path, codec).await.map(drop)
}

async fn forecast(channel: Channel, request: PredictGmvRequest) -> Result<(), Status> {
    MerchantGmvServiceClient::new(channel).predict_gmv(request).await.map(drop)
}

/// One merchant as such, and one with a feature that nobody knows.
fn merchants_with(feature: &str, known: &[Merchant]) -> Vec<Merchant> {
    let mut merchants = known.to_vec();
    merchants[0].merchant_id = feature.into();
    let extra = &mut merchants[1].features.as_mut().unwrap().extra;
    extra.insert(feature.into(), FeatureValue { kind: Some(Kind::Number(1.0)) });
    merchants
}

/// Names and labels of all samples.
async fn series(server: &TestServer) -> BTreeSet<String> {
    let (_, text) = server.get("/metrics").await;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn ten_thousand_methods_models_versions_and_features_make_no_new_series() {
    // So long that nothing is refused, which has series of its own, few as they are.
    let server = Launch::new().set("batch.queue_wait", "60s").serving().await;
    let (channel, merchants) = (server.channel().await, merchants(2));
    // Each kind of call once: what it is answered with is seen from then on.
    for number in 0..8 {
        call(channel.clone(), &merchants, number).await;
    }
    let before = series(&server).await;
    let calls = stream::iter(8..CALLS).for_each_concurrent(OPEN, |number| call(channel.clone(), &merchants, number));
    tokio::time::timeout(10 * PATIENCE, calls).await.unwrap();
    let after = series(&server).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(before == after, "new: {new:#?}");
    assert!(before.iter().any(|series| series.contains(r#"method="other""#)), "{before:#?}");
    let of_words: Vec<_> =
        (0..CALLS).map(word).filter(|word| after.iter().any(|series| series.contains(word))).collect();
    assert_eq!(of_words, Vec::<String>::new());
}
