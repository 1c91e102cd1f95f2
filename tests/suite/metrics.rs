//! What `/metrics` tells, and that the README tells of it.

use std::{fs, path::Path};

use souk::telemetry::markdown;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;

use super::common::{
    program::{PATIENCE, souk, stderr},
    scrape::value,
    server::Launch,
};

#[tokio::test]
async fn prometheus_is_answered_in_its_text_format() {
    let server = Launch::new().listening().await;
    let (head, text) = server.answer("/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    for wanted in ["# TYPE souk_build_info gauge", "# TYPE souk_runner_restarts_total counter"] {
        assert!(text.lines().any(|line| line == wanted), "{wanted} is not in\n{text}");
    }
    let started = server.logs("souk starts").await;
    let (torch, version) = (started["libtorch"].as_str().unwrap(), env!("CARGO_PKG_VERSION"));
    let build = format!(r#"souk_build_info{{torch="{torch}",version="{version}"}} 1"#);
    assert!(text.lines().any(|line| line == build), "{build} is not in\n{text}");
    assert!(text.lines().any(|line| line == "souk_runner_restarts_total 0"), "{text}");
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let server = Launch::new().listening().await;
    let mut health = server.health().await;
    for _ in 0..3 {
        health.check(HealthCheckRequest::default()).await.unwrap();
    }
    let unknown = HealthCheckRequest { service: "souk.v1.NoService".into() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    let of = |code: &str| format!(r#"souk_requests_total{{code="{code}",method="grpc.health.v1.Health/Check"}}"#);
    assert_eq!(value(&server, &of("OK")).await, Some(3.0));
    assert_eq!(value(&server, &of("NOT_FOUND")).await, Some(1.0));
    let durations =
        |part: &str| format!(r#"souk_request_duration_seconds_{part}{{method="grpc.health.v1.Health/Check"}}"#);
    assert_eq!(value(&server, &durations("count")).await, Some(4.0));
    let sum = value(&server, &durations("sum")).await.unwrap();
    assert!(sum > 0.0 && sum < 60.0, "{sum} s");
}

#[tokio::test]
async fn a_stream_is_counted_at_its_end() {
    let server = Launch::new().listening().await;
    let mut health = server.health().await;
    let watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let cancelled = r#"souk_requests_total{code="CANCELLED",method="grpc.health.v1.Health/Watch"}"#;
    assert_eq!(value(&server, cancelled).await, None);
    drop((watched, health));
    // The server learns of it when the connection closes.
    let counted = async {
        while value(&server, cancelled).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap();
    assert_eq!(value(&server, cancelled).await, Some(1.0));
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn versions_that_answer_are_shown_and_what_they_answered_is_counted() {
    use super::common::{
        models,
        rows::{forecasts_of, merchants},
    };

    let server = Launch::new().serving().await;
    for model in ["merchant_gmv", "user_portrait"] {
        let version = models::newest(model).version;
        let live = format!(r#"souk_model_live{{label="stable",model="{model}",version="{version}"}}"#);
        assert_eq!(value(&server, &live).await, Some(1.0), "{model}");
    }
    let mut gmv = server.gmv().await;
    gmv.predict_gmv(forecasts_of(merchants(5))).await.unwrap();
    gmv.predict_gmv(forecasts_of(Vec::new())).await.unwrap_err();
    let of =
        |code: &str| format!(r#"souk_requests_total{{code="{code}",method="souk.v1.MerchantGmvService/PredictGmv"}}"#);
    assert_eq!(value(&server, &of("OK")).await, Some(1.0));
    assert_eq!(value(&server, &of("INVALID_ARGUMENT")).await, Some(1.0));
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn what_became_of_each_row_is_counted() {
    use super::common::{
        marked::{self, RAISES, rated},
        rows::forecasts_of,
        scrape::assert_sound,
    };

    let (_folder, launch) = marked::launch();
    let server = launch.serving().await;
    let mut client = server.gmv().await;
    // Six good rows, two that the model raises on, three that no encoder takes.
    for rows in [vec![1.0, 2.0, 3.0], vec![4.0, RAISES, f64::NAN, 5.0, -1.0], vec![RAISES], vec![6.0], vec![101.0]] {
        client.predict_gmv(forecasts_of(rows.into_iter().map(rated).collect())).await.unwrap();
    }
    for (outcome, rows) in [("ok", 6.0), ("failed", 2.0), ("refused", 3.0)] {
        let sample = format!(r#"souk_rows_total{{model="merchant_gmv",outcome="{outcome}",version="1"}}"#);
        assert_eq!(value(&server, &sample).await, Some(rows), "{outcome}");
    }
    let of_version = |name: &str| format!(r#"{name}{{model="merchant_gmv",version="1"}}"#);
    // One pass for each request with a row that could be encoded: 3, 3, 1 and 1 rows.
    // Halving what failed is part of it, and warming up is no pass.
    assert_eq!(value(&server, &of_version("souk_batch_rows_count")).await, Some(4.0));
    assert_eq!(value(&server, &of_version("souk_batch_rows_sum")).await, Some(8.0));
    assert_eq!(value(&server, &of_version("souk_compute_seconds_count")).await, Some(4.0));
    let waits = |part: &str| format!(r#"souk_queue_wait_seconds_{part}{{model="merchant_gmv"}}"#);
    assert_eq!(value(&server, &waits("count")).await, Some(4.0));
    let sum = value(&server, &waits("sum")).await.unwrap();
    assert!((0.0..4.0).contains(&sum), "{sum} s");
    assert_eq!(value(&server, r#"souk_queue_rows{model="merchant_gmv"}"#).await, Some(0.0));
    assert_sound(&server).await;
}

#[test]
fn the_readmes_table_of_metrics_is_the_one_in_the_code() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- metrics: made by `make metrics-table` -->\n").unwrap();
    let (told, _) = rest.split_once("<!-- /metrics -->\n").unwrap();
    assert!(told == markdown(), "README.md differs from src/telemetry/table: renew it by `make metrics-table`");
}

#[test]
fn souk_prints_the_table_of_metrics_and_by_itself_the_schema_of_a_manifest() {
    let printed = |arguments: &[&str]| {
        let output = souk(Path::new(env!("CARGO_MANIFEST_DIR")), arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed(&["schema", "metrics"]), markdown());
    let schema = printed(&["schema"]);
    assert!(schema.contains("\"$schema\""), "{schema}");
    assert_eq!(printed(&["schema", "manifest"]), schema);
}
