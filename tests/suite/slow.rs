//! Why one was slow: `timing` in replies, and `souk models show --slow`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use souk::api::proto::v1::{Lane, PredictGmvResponse, Timing};
use tokio::task::JoinHandle;
use tonic::Request;

use super::common::{
    marked,
    program::{souk, stderr, stdout},
    rows::{forecasts_of, merchants},
    scrape::{queue_is, reaches},
    server::{Launch, TestServer},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What the command line says of slow requests.
fn slow(server: &TestServer, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let url = server.admin_url();
    let arguments: Vec<_> = ["models"].iter().chain(arguments).copied().chain(["--slow", "--addr", &url]).collect();
    let output = souk(folder.path(), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn slow_json(server: &TestServer, arguments: &[&str]) -> Value {
    serde_json::from_str(&slow(server, &[arguments, &["--json"]].concat())).unwrap()
}

/// Of the JSON form: `1.5s`.
fn seconds(duration: &Value) -> f64 {
    duration.as_str().unwrap().strip_suffix('s').unwrap().parse().unwrap()
}

/// Waits until so many calls are over: a caller has its reply a little earlier.
async fn over(server: &TestServer, calls: f64) {
    reaches(server, "souk_requests_total", |over| over == calls).await;
}

#[tokio::test]
async fn slow_and_refused_requests_are_shown_with_where_their_time_went() {
    let (_folder, launch) = marked::launch();
    let server = launch.serving().await;
    let mut client = server.gmv().await;
    client.predict_gmv(forecasts_of(vec![marked::rated(1.0)])).await.unwrap();
    let mut traced = Request::new(forecasts_of(marked::slow(9)));
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    traced.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    client.predict_gmv(traced).await.unwrap();
    client.predict_gmv(forecasts_of(Vec::new())).await.unwrap_err();
    over(&server, 3.0).await;

    let shown = slow_json(&server, &["show", "merchant_gmv"]);
    let slowest = shown["slowest"].as_array().unwrap();
    let took: Vec<f64> = slowest.iter().map(|request| seconds(&request["took"])).collect();
    assert!(took.len() == 2 && took[0] >= took[1], "{shown:#}");
    let first = &slowest[0];
    let parts: f64 = ["decode", "queue", "compute"].iter().map(|part| seconds(&first[part])).sum();
    assert!(parts <= took[0] && seconds(&first["compute"]) > 0.005, "{first:#}");
    let wanted = [("method", "souk.v1.MerchantGmvService/PredictGmv"), ("code", "OK"), ("trace_id", TRACE)];
    wanted.into_iter().for_each(|(key, value)| assert_eq!(first[key], value, "{first:#}"));
    assert_eq!(
        (&first["rows"], &first["batch_rows"], &first["lane"]),
        (&9.into(), &9.into(), &"LANE_INTERACTIVE".into())
    );
    assert_eq!(shown["refused"], json!([]), "{shown:#}");
    let words = slow(&server, &["show", "merchant_gmv"]);
    let heading = "Slowest requests of merchant_gmv in the last 5 minutes, times in ms:\nWHEN";
    assert!(words.starts_with(heading), "{words}");
    assert!(words.ends_with("Refused or failed requests of merchant_gmv in the last 5 minutes: none\n"), "{words}");
    let all = slow_json(&server, &["list", "--most", "1"]);
    let newest = &all["refused"][0];
    assert_eq!((&newest["code"], &newest["model"]), (&"INVALID_ARGUMENT".into(), &"".into()), "{all:#}");
    assert_eq!(all["slowest"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn rows_that_never_ran_are_shown_with_why_not() {
    let (_folder, launch) = marked::launch();
    let launch = launch.set("runtime.runners", 1).set("runtime.inline_below", "0s").set("batch.queue_wait", "60s");
    let server = launch.serving().await;
    let client = server.gmv().await;
    let calls = (0..4).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.predict_gmv(forecasts_of(marked::slow(200))).await })
    });
    let calls: Vec<_> = calls.collect();
    queue_is(&server, |rows| rows > 0.0).await;
    calls.iter().for_each(JoinHandle::abort);
    over(&server, 4.0).await;
    let words = slow(&server, &["show", "merchant_gmv"]);
    assert!(words.contains("CANCELLED cancelled"), "{words}");
    let shown = slow_json(&server, &["show", "merchant_gmv"]);
    let left = shown["refused"].as_array().unwrap().iter().find(|request| request["reason"] == "cancelled").unwrap();
    assert_eq!((&left["rows"], &left["version"]), (&200.into(), &"1".into()), "{left:#}");
}

#[tokio::test]
async fn who_asks_for_a_model_that_is_not_there_is_told_so() {
    let server = Launch::new().listening().await;
    let (folder, url) = (tempfile::tempdir().unwrap(), server.admin_url());
    let asked = ["models", "show", "nothing", "--slow", "--addr", &url];
    let output = souk(folder.path(), &asked).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no model nothing"), "{}", stderr(&output));
    let output = souk(folder.path(), &["models", "show", "nothing", "--most", "3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// Where the time of a reply went; all of it within the time that its caller measured.
fn timing(reply: PredictGmvResponse, measured: Duration) -> Timing {
    let timing = reply.timing.unwrap();
    let part = |part: Option<prost_types::Duration>| Duration::try_from(part.unwrap()).unwrap();
    let parts = part(timing.decode) + part(timing.queue) + part(timing.compute);
    assert!(!parts.is_zero() && parts <= measured, "{timing:?}: {parts:?} of {measured:?}");
    timing
}

#[tokio::test]
async fn timing_says_how_long_each_part_took_and_which_lane_the_rows_waited_in() {
    // Of one thread, so that the passes of a request can't run side by side.
    let server = Launch::new().set("batch.max_rows", 16).set("runtime.runners", 1).serving().await;
    let mut client = server.gmv().await;
    for (rows, lane, batch_rows) in [(1, Lane::Interactive, 1), (16, Lane::Interactive, 16), (40, Lane::Bulk, 16)] {
        let (request, begun) = (forecasts_of(merchants(rows)), Instant::now());
        let reply = client.predict_gmv(request).await.unwrap().into_inner();
        let timing = timing(reply, begun.elapsed());
        assert_eq!((timing.lane(), timing.batch_rows), (lane, batch_rows), "{rows} rows");
        assert!(timing.decode.unwrap().nanos > 0);
    }
    let begun = Instant::now();
    let mut replies = client.stream_gmv(tokio_stream::iter([forecasts_of(merchants(3))])).await.unwrap().into_inner();
    let timing = timing(replies.message().await.unwrap().unwrap(), begun.elapsed());
    assert_eq!((timing.lane(), timing.batch_rows), (Lane::Bulk, 3));
}
