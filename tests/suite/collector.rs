//! Metrics by OTLP: what a collector gets, and that one that does badly troubles nobody.

use std::{collections::BTreeSet, time::Instant};

use souk::telemetry::METRICS;
use tokio::net::TcpListener;
use tonic_health::pb::HealthCheckRequest;

use super::common::{
    collector::{Collector, attribute, metric, sum},
    program::PATIENCE,
    scrape::reaches,
    server::{Launch, TestServer, empty_root},
};

/// As a setting.
const ENDPOINT: &str = "telemetry.otlp_endpoint";

async fn check_health(server: &TestServer, times: usize) {
    let mut health = server.health().await;
    for _ in 0..times {
        health.check(HealthCheckRequest::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_collector_gets_what_is_scraped() {
    let collector = Collector::taking().await;
    // Nothing is prepared meanwhile, which would be scraped and not yet pushed.
    let (_folder, root) = empty_root();
    let server = Launch::new().set("models.root", root.display()).set(ENDPOINT, &collector.url).listening().await;
    check_health(&server, 3).await;
    let counted = |push: &_| metric(push, "souk_requests_total").is_some_and(|calls| sum(calls) == 3.0);
    let pushes = collector.pushes_when(|pushes| pushes.last().is_some_and(counted)).await;
    let (_, scraped) = server.get("/metrics").await;

    let last = pushes.last().unwrap();
    assert!(sum(metric(last, "process_resident_memory_bytes").unwrap()) > 1e6);
    let is_scraped = |name: &str| scraped.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
    let (told, pushed): (BTreeSet<_>, BTreeSet<_>) = (
        METRICS.iter().map(|metric| metric.name).filter(|name| is_scraped(name)).collect(),
        METRICS.iter().map(|known| known.name).filter(|name| metric(last, name).is_some()).collect(),
    );
    assert!(told.len() > 10 && told == pushed, "{told:?} {pushed:?}");

    let sender = &last.resource_metrics[0].resource.as_ref().unwrap().attributes;
    assert_eq!(attribute(sender, "service.name").as_deref(), Some("souk"));
    assert_eq!(attribute(sender, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let instance = attribute(sender, "service.instance.id").unwrap();
    assert!(instance.ends_with(&format!(":{}", server.grpc.port())), "{instance}");
}

#[tokio::test]
async fn a_collector_that_is_gone_is_said_once_a_minute_and_counted() {
    let begun = Instant::now();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let server = Launch::new().set(ENDPOINT, &endpoint).listening().await;
    // The second push comes ten seconds after the first.
    reaches(&server, "souk_telemetry_export_failures_total", |failures| failures >= 2.0).await;
    let said = server.logs("telemetry can't be sent").await;
    assert_eq!((said["signal"].as_str(), said["endpoint"].as_str()), (Some("metrics"), Some(endpoint.as_str())));
    let (times, minutes) = (server.log().matches("telemetry can't be sent").count(), begun.elapsed().as_secs() / 60);
    assert!(times as u64 <= 1 + minutes, "{}", server.log());
    check_health(&server, 1).await;
}

#[tokio::test]
async fn a_collector_that_never_answers_does_not_keep_a_server_from_stopping() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut server = Launch::new().set(ENDPOINT, endpoint).listening().await;
    check_health(&server, 3).await;
    server.terminate();
    assert!(server.exit(PATIENCE).await.success(), "{}", server.log());
}
