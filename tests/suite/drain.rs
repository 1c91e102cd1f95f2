//! A server that is told to stop answers what it accepted, and goes.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _, stream};
use http::uri::PathAndQuery;
use souk::api::proto::v1::{PredictGmvRequest, PredictGmvResponse};
use tokio::time::{sleep, timeout};
use tonic::{Code, IntoRequest as _, client::Grpc};
use tonic_health::pb::HealthCheckRequest;
use tonic_prost::ProstCodec;

use super::common::{
    program::{PATIENCE, souk, stderr},
    rows::{forecasts_of, merchants},
    server::{Launch, TestServer},
};

/// Time for a process to end that has nothing left to do, on a busy machine.
const SOON: Duration = Duration::from_secs(3);

/// `count` messages, and then neither more nor the end.
fn open_stream(count: usize, rows: usize) -> impl Stream<Item = PredictGmvRequest> {
    let request = forecasts_of(merchants(rows));
    stream::iter((0..count).map(move |_| request.clone())).chain(stream::pending())
}

async fn watch(server: &TestServer) -> tonic::Streaming<tonic_health::pb::HealthCheckResponse> {
    let mut watched = server.health().await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status().as_str_name(), "SERVING");
    watched
}

/// A request with a reply of more than a megabyte.
fn large() -> PredictGmvRequest {
    let quantiles = (1..=100).map(|percent| f64::from(percent) / 101.0).collect();
    PredictGmvRequest { quantiles, ..forecasts_of(merchants(1024)) }
}

/// A stream whose replies nobody reads; they are more than its windows hold.
async fn stalled(server: &TestServer) -> impl Sized + use<> {
    let channel = server.narrow_channel().await;
    let mut client = souk::api::proto::v1::merchant_gmv_service_client::MerchantGmvServiceClient::new(channel)
        .max_decoding_message_size(usize::MAX);
    let messages = stream::iter(vec![large(); 4]).chain(stream::pending());
    let replies = client.stream_gmv(messages).await.unwrap();
    // A message that has not arrived holds nothing.
    let answered = async || {
        let (_, text) = server.get("/metrics").await;
        let rows = r#"souk_rows_total{model="merchant_gmv",outcome="ok",version="1"} "#;
        text.lines().filter_map(|line| line.strip_prefix(rows)).any(|rows| rows != "0")
    };
    timeout(PATIENCE, async {
        while !answered().await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    (client, replies)
}

#[tokio::test]
async fn sigterm_in_mid_stream_answers_every_message_that_was_sent() {
    let mut server = Launch::new().serving().await;
    let mut watched = watch(&server).await;
    let mut unary = server.gmv().await;
    let mut client = server.gmv().await;
    let mut replies = client.stream_gmv(open_stream(30, 64)).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap().unwrap().results.len(), 64);

    server.terminate();
    // Health comes first: who asks it is sent away before anybody is refused.
    assert_eq!(watched.message().await.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
    let refused = unary.predict_gmv(forecasts_of(merchants(1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");

    let rest: Vec<_> = replies.collect().await;
    let (end, answered) = rest.split_last().unwrap();
    assert_eq!(answered.len(), 29);
    assert!(answered.iter().all(|reply| reply.as_ref().unwrap().results.len() == 64));
    let end = end.as_ref().unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    assert!(end.message().contains("draining"), "{end:?}");

    assert_eq!(server.exit(SOON).await.code(), Some(0), "{}", server.log());
    let gone = unary.predict_gmv(forecasts_of(merchants(1))).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable, "{gone:?}");
}

#[tokio::test]
async fn requests_that_run_when_the_server_is_stopped_are_answered() {
    let mut server = Launch::new().set("runtime.runners", 1).serving().await;
    let mut watched = watch(&server).await;
    let client = server.gmv().await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (mut client, request) = (client.clone(), forecasts_of(merchants(1024)));
            tokio::spawn(async move { client.predict_gmv(request).await })
        })
        .collect();
    // At least one was accepted when the first is answered.
    let mut client = client.clone();
    client.predict_gmv(forecasts_of(merchants(1))).await.unwrap();
    server.terminate();
    assert_eq!(watched.message().await.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
    for call in calls {
        match call.await.unwrap() {
            Ok(reply) => assert_eq!(reply.into_inner().results.len(), 1024),
            // It came after the signal.
            Err(status) => assert!(status.message().contains("draining"), "{status:?}"),
        }
    }
    assert!(server.exit(SOON).await.success(), "{}", server.log());
}

#[tokio::test]
async fn a_large_reply_is_sent_to_its_end_however_slowly_it_is_read() {
    let mut server = Launch::new().serving().await;
    // As if it were a stream, so that headers come before anybody reads the body.
    let mut client = Grpc::new(server.narrow_channel().await).max_decoding_message_size(usize::MAX);
    client.ready().await.unwrap();
    let method = PathAndQuery::from_static("/souk.v1.MerchantGmvService/PredictGmv");
    let codec = ProstCodec::<PredictGmvRequest, PredictGmvResponse>::default();
    let mut reply = client.server_streaming(large().into_request(), method, codec).await.unwrap().into_inner();

    server.terminate();
    server.logs("stopping").await;
    // Longer than connections may take to close once all work is done.
    assert!(timeout(SOON, server.ended()).await.is_err(), "{}", server.log());
    assert_eq!(reply.message().await.unwrap().unwrap().results.len(), 1024);
    assert!(reply.message().await.unwrap().is_none());
    assert!(server.exit(SOON).await.success(), "{}", server.log());
}

#[tokio::test]
async fn watchers_and_idle_connections_do_not_hold_the_exit() {
    let mut server = Launch::new().serving().await;
    let mut watched = watch(&server).await;
    let idle = server.channel().await;
    let mut streaming = server.gmv().await;
    let idle_stream = streaming.stream_gmv(stream::pending()).await.unwrap();
    server.terminate();
    let begun = Instant::now();
    assert!(server.exit(SOON).await.success(), "{}", server.log());
    assert!(begun.elapsed() < SOON);
    while let Ok(Some(_)) = watched.message().await {}
    drop((idle, idle_stream));
}

#[tokio::test]
async fn a_stream_that_never_stops_sending_does_not_hold_the_exit() {
    let mut server = Launch::new().serving().await;
    let messages = stream::repeat(forecasts_of(merchants(8)));
    let mut replies = server.gmv().await.stream_gmv(messages).await.unwrap().into_inner();
    replies.message().await.unwrap().unwrap();
    server.terminate();
    let end = loop {
        match replies.message().await {
            Ok(Some(reply)) => assert_eq!(reply.results.len(), 8),
            Ok(None) => panic!("the stream ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    assert!(server.exit(SOON).await.success(), "{}", server.log());
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let mut server = Launch::new().serving().await;
    let stalled = stalled(&server).await;
    server.terminate();
    server.logs("stopping").await;
    server.terminate();
    assert_eq!(server.exit(SOON).await.code(), Some(1), "{}", server.log());
    assert!(server.log().contains("a second time"), "{}", server.log());
    drop(stalled);
}

#[tokio::test]
async fn a_caller_that_reads_nothing_holds_the_exit_as_long_as_the_setting_says() {
    let mut server = Launch::new().set("server.drain_timeout", "1s").serving().await;
    let stalled = stalled(&server).await;
    server.terminate();
    let begun = Instant::now();
    assert_eq!(server.exit(Duration::from_secs(5)).await.code(), Some(1), "{}", server.log());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(server.log().contains("server.drain_timeout"), "{}", server.log());
    drop(stalled);
}

#[tokio::test]
async fn a_server_that_drains_is_not_ready_for_health_checks() {
    let server = Launch::new().set("server.drain_timeout", "2m").serving().await;
    let mut watched = watch(&server).await;
    // Keeps the server from its end.
    let stalled = stalled(&server).await;
    server.terminate();
    assert_eq!(watched.message().await.unwrap().unwrap().status().as_str_name(), "NOT_SERVING");
    let (folder, url) = (tempfile::tempdir().unwrap(), format!("http://{}", server.http));
    let output = souk(folder.path(), &["health", "--addr", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", server.log());
    assert!(stderr(&output).contains("/readyz: 503 Service Unavailable: it stops"), "{}", stderr(&output));
    drop(stalled);
}
