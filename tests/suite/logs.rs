//! What the log has of requests, and what it never has.

use std::time::Duration;

use serde_json::Value;
use souk::api::proto::{
    inference::{
        InferParameter, ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
        infer_parameter::ParameterChoice,
    },
    v1::{FeatureValue, Merchant, MerchantFeatures, feature_value::Kind},
};
use tokio::time::timeout;
use tonic::Request;

use super::common::{
    marked::{self, RAISES, rated},
    program::PATIENCE,
    rows::{forecasts_of, merchants},
    server::{Launch, TestServer},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An id, a category, a number and a text that nothing else in a log looks like.
const ID: &str = "marker-id-\u{1b}[31m-7f3a";
const CATEGORY: &str = "marker-category-c41d";
const NUMBER: f64 = 918_273.645;
const TEXT: &str = "marker-text-90be";

fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", TRACEPARENT.parse().unwrap());
    request
}

/// Waits until there are so many lines with this message, and gives them.
async fn lines(server: &TestServer, message: &str, count: usize) -> Vec<Value> {
    let found = || {
        let lines = server.log();
        let parsed = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["message"] == message).collect::<Vec<_>>()
    };
    let wait = async {
        while found().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "no {count} lines {message:?}:\n{}", server.log());
    found()
}

/// A merchant that is all markers, as far as the model takes them.
fn marker() -> Merchant {
    let text = FeatureValue { kind: Some(Kind::Category(TEXT.into())) };
    let features = MerchantFeatures {
        city: Some(CATEGORY.into()),
        daily_gmv: vec![NUMBER; 28],
        extra: [("unknown".to_owned(), text)].into(),
        ..MerchantFeatures::default()
    };
    Merchant { merchant_id: ID.into(), features: Some(features), as_of: "2016-10-02".into() }
}

/// Asks in every way, well and badly, about the marker.
async fn ask_about_markers(server: &TestServer) {
    let mut gmv = server.gmv().await;
    let good = Merchant { merchant_id: ID.into(), ..merchants(1).remove(0) };
    let undated = Merchant { as_of: TEXT.into(), ..marker() };
    let negative = MerchantFeatures { daily_gmv: vec![-NUMBER], ..MerchantFeatures::default() };
    let negative = Merchant { features: Some(negative), ..marker() };
    gmv.predict_gmv(forecasts_of(vec![good.clone(), marker(), undated, negative])).await.unwrap();
    let mut unknown = forecasts_of(vec![good.clone()]);
    unknown.version = "77".into();
    gmv.predict_gmv(unknown).await.unwrap_err();
    let mut wrong = forecasts_of(vec![good.clone()]);
    wrong.quantiles = vec![NUMBER];
    gmv.predict_gmv(wrong).await.unwrap_err();
    let stream = tokio_stream::iter([forecasts_of(vec![good])]);
    gmv.stream_gmv(stream).await.unwrap().into_inner().message().await.unwrap();
    let id = InferParameter { parameter_choice: Some(ParameterChoice::StringParam(ID.into())) };
    let tensors = ModelInferRequest {
        model_name: "merchant_gmv".into(),
        parameters: [("entity_id".to_owned(), id)].into(),
        ..ModelInferRequest::default()
    };
    GrpcInferenceServiceClient::new(server.channel().await).model_infer(tensors).await.unwrap_err();
    // The fourth call is a message and the stream around it.
    lines(server, "request", 6).await;
}

#[tokio::test]
async fn every_request_has_a_line_in_the_access_log() {
    let server = Launch::new().set("telemetry.log", "info,souk::access=debug").serving().await;
    let mut client = server.gmv().await;
    client.predict_gmv(traced(forecasts_of(merchants(3)))).await.unwrap();
    client.predict_gmv(forecasts_of(Vec::new())).await.unwrap_err();
    let lines = lines(&server, "request", 2).await;
    let good = lines.iter().find(|line| line["code"] == "OK").unwrap();
    let wanted = [
        ("level", "DEBUG"),
        ("target", "souk::access"),
        ("method", "souk.v1.MerchantGmvService/PredictGmv"),
        ("model", "merchant_gmv"),
        ("lane", "interactive"),
        ("trace_id", TRACE),
    ];
    wanted.into_iter().for_each(|(key, value)| assert_eq!(good[key], value, "{good:#}"));
    assert_eq!((good["rows"].as_u64(), good["batch_rows"].as_u64()), (Some(3), Some(3)));
    let millis = |key: &str| good[key].as_f64().unwrap_or_else(|| panic!("{key} is no number: {good:#}"));
    let parts = millis("decode_ms") + millis("queue_ms") + millis("compute_ms");
    assert!(parts > 0.0 && parts <= millis("took_ms") + 0.002, "{good:#}");
    let refused = lines.iter().find(|line| line["code"] == "INVALID_ARGUMENT").unwrap();
    for absent in ["model", "queue_ms", "trace_id", "reason", "entities"] {
        assert!(refused.get(absent).is_none(), "{absent}: {refused:#}");
    }
}

#[tokio::test]
async fn what_a_model_failed_on_is_told_with_its_trace() {
    let (_folder, launch) = marked::launch();
    let server = launch.set("telemetry.log", "info,souk=debug").serving().await;
    server.gmv().await.predict_gmv(traced(forecasts_of(vec![rated(1.0), rated(RAISES)]))).await.unwrap();
    let failed = server.logs("the model failed on rows").await;
    assert_eq!(
        (&failed["rows"], &failed["trace_id"], &failed["model"]),
        (&1.into(), &TRACE.into(), &"merchant_gmv".into())
    );
}

#[tokio::test]
async fn no_log_at_any_level_has_what_was_asked() {
    let mut server = Launch::new().set("telemetry.log", "trace").serving().await;
    ask_about_markers(&server).await;
    server.terminate();
    assert!(server.exit(PATIENCE).await.success());
    let log = server.log();
    assert!(log.contains("\"TRACE\""), "the log is not at its highest level");
    for marker in ["marker-", "918273", "7f3a", "c41d", "90be"] {
        let line = log.lines().find(|line| line.contains(marker));
        assert_eq!(line, None, "{marker}");
    }
}

#[tokio::test]
async fn ids_are_logged_where_that_is_wanted_and_nothing_else_of_what_was_asked() {
    let launch = Launch::new().set("telemetry.log", "info,souk=debug").set("telemetry.log_entities", true);
    let server = launch.serving().await;
    ask_about_markers(&server).await;
    server.gmv().await.predict_gmv(forecasts_of(merchants(20))).await.unwrap();
    let lines = lines(&server, "request", 7).await;
    let ids: Vec<_> = lines.iter().filter_map(|line| line["entities"].as_str()).collect();
    assert_eq!(ids.len(), 6, "{ids:?}");
    let marker = format!("{ID:?}");
    assert!(ids.contains(&&*format!("[{marker}, {marker}, {marker}, {marker}]")), "{ids:?}");
    let first: Vec<_> = (0..16).map(|number| format!("m-{number}")).collect();
    assert_eq!(*ids.last().unwrap(), format!("{first:?}"));
    let log = server.log();
    assert!(!log.contains('\u{1b}') && !log.contains("\\u001b["), "{log}");
    for marker in ["918273", CATEGORY, TEXT] {
        assert!(!log.contains(marker), "{marker}");
    }
}

#[tokio::test]
async fn what_became_of_the_last_requests_is_told_when_the_server_ends() {
    let mut server = Launch::new().serving().await;
    let mut client = server.gmv().await;
    for rows in [1, 2, 4] {
        client.predict_gmv(forecasts_of(merchants(rows))).await.unwrap();
    }
    client.predict_gmv(forecasts_of(Vec::new())).await.unwrap_err();
    drop(client);
    server.terminate();
    let said = server.logs("requests").await;
    assert!(server.exit(PATIENCE).await.success());
    assert_eq!((&said["requests"], &said["rows"], &said["level"]), (&4.into(), &7.into(), &"INFO".into()), "{said:#}");
    assert_eq!(said["codes"], "OK 3, INVALID_ARGUMENT 1");
    let version = super::common::models::newest("merchant_gmv").version;
    assert_eq!(said["versions"], format!("merchant_gmv/{version} 3"));
    assert!(said["p50_ms"].as_f64() <= said["p99_ms"].as_f64() && said["p50_ms"].as_f64() > Some(0.0), "{said:#}");
    assert!(!server.log().contains("souk::access"), "debug is off");
}

#[tokio::test]
async fn where_nobody_asked_there_is_no_summary() {
    let mut server = Launch::new().serving().await;
    server.health_of("").await;
    server.terminate();
    assert!(server.exit(PATIENCE).await.success());
    assert!(!server.log().contains("\"message\":\"requests\""), "{}", server.log());
}
