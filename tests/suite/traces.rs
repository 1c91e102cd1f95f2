//! Traces, as a collector gets them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use futures::{StreamExt as _, future::join_all, stream};
use opentelemetry_proto::tonic::trace::v1::Span;
use souk::{api::proto::v1::PredictGmvRequest, telemetry::Context};
use tonic::Request;

use super::common::{
    collector::{Collector, calls, listening, named, refusing, text},
    marked::{self, RAISES, rated},
    program::PATIENCE,
    rows::forecasts_of,
    scrape::{assert_sound, value},
    server::{Launch, TestServer},
};

const PREDICT: &str = "souk.v1.MerchantGmvService/PredictGmv";
const WARNING: &str = "telemetry can't be sent";

fn of(rating: f64) -> PredictGmvRequest {
    forecasts_of(vec![rated(rating)])
}

/// The caller's header, in a trace of its own.
fn traceparent(caller: u64) -> String {
    format!("00-{:032x}-{:016x}-01", 0xabc_000 + caller, 0xdef_000 + caller)
}

fn traced<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(Context::HEADER, traceparent.parse().unwrap());
    request
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sampled_as(span: &Span, why: &str) -> bool {
    text(span, "souk.kept_for").as_deref() == Some(why)
}

/// Each lies within the one above it, where that is there.
fn assert_nested(spans: &[Span]) {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
    assert_eq!(by_id.len(), spans.len(), "spans share an id");
    for span in spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:#?}");
        let Some(above) = by_id.get(&span.parent_span_id) else { continue };
        assert_eq!(above.trace_id, span.trace_id);
        assert!(above.start_time_unix_nano <= span.start_time_unix_nano, "{span:#?} in {above:#?}");
        assert!(span.end_time_unix_nano <= above.end_time_unix_nano, "{span:#?} in {above:#?}");
    }
}

#[tokio::test]
async fn callers_requests_and_their_batches_hang_together() {
    const CALLERS: u64 = 32;
    let collector = Collector::taking().await;
    let (_folder, launch) = marked::launch();
    // Batches of eight rows, which wait until they are full.
    let launch = launch.set("telemetry.otlp_endpoint", &collector.url).set("telemetry.sample_ratio", 1);
    let launch = launch.set("batch.max_rows", 8).set("batch.linger", "60s");
    // A busy machine refuses none of them.
    let server = launch.set("batch.queue_wait", "60s").serving().await;
    let client = server.gmv().await;
    let call = async |caller| {
        let sent = traceparent(caller);
        let reply = client.clone().predict_gmv(traced(of(caller as f64), &sent)).await.unwrap();
        (sent, reply.metadata().get(Context::HEADER).unwrap().to_str().unwrap().to_owned())
    };
    let told = join_all((0..CALLERS).map(call)).await;
    let spans = collector.spans_when(|spans| calls(spans).len() == CALLERS as usize).await;
    assert_nested(&spans);

    let batches = named(&spans, "batch");
    assert_eq!((batches.len(), named(&spans, "forward").len()), (4, 4));
    let links = |span: &Span| -> BTreeSet<Vec<u8>> { span.links.iter().map(|link| link.span_id.clone()).collect() };
    let mut linked = BTreeSet::new();
    for batch in &batches {
        assert_eq!((text(batch, "souk.batch.rows"), batch.links.len()), (Some("8".into()), 8));
        linked.extend(links(batch));
    }
    assert_eq!(linked.len(), CALLERS as usize);
    for (sent, replied) in told {
        let ours = |span: &&&Span| format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)) == replied;
        let calls = calls(&spans);
        let request = calls.iter().find(ours).unwrap();
        assert_eq!(format!("00-{}-{}-01", hex(&request.trace_id), hex(&request.parent_span_id)), sent);
        assert_eq!((request.name.as_str(), text(request, "souk.rows")), (PREDICT, Some("1".into())));
        // Its batch is below it, or where its link points to.
        let finds = |batch: &&&Span| batch.parent_span_id == request.span_id || links(request).contains(&batch.span_id);
        let found: Vec<_> = batches.iter().filter(finds).collect();
        let [batch] = found.as_slice() else { panic!("{found:#?}") };
        assert!(links(batch).contains(&request.span_id));
        for name in ["decode", "queue", "reply"] {
            let below = |span: &&Span| span.name == name && span.parent_span_id == request.span_id;
            assert_eq!(spans.iter().filter(below).count(), 1, "{name}");
        }
    }
    assert!(!format!("{spans:?}").contains("rated"), "a merchant's id is told");
}

#[tokio::test]
async fn errors_and_the_slowest_are_there_at_ratio_0_and_others_are_not() {
    const REQUESTS: usize = 60;
    let collector = Collector::taking().await;
    let (_folder, launch) = marked::launch();
    let launch = launch.set("telemetry.otlp_endpoint", &collector.url).set("telemetry.sample_ratio", 0);
    let begun = Instant::now();
    // A busy machine refuses none of them.
    let server = launch.set("batch.queue_wait", "60s").serving().await;
    let mut client = server.gmv().await;
    for reply in join_all((0..REQUESTS).map(async |_| client.clone().predict_gmv(of(1.0)).await.unwrap())).await {
        assert_eq!(reply.metadata().get(Context::HEADER), None);
    }
    client.predict_gmv(forecasts_of(Vec::new())).await.unwrap_err();
    // The reply is OK, one of its rows is not.
    client.predict_gmv(forecasts_of(vec![rated(1.0), rated(RAISES)])).await.unwrap();
    let are_there = |spans: &[Span], why: &str, count: usize| {
        calls(spans).into_iter().filter(|span| sampled_as(span, why)).count() >= count
    };
    let spans = collector.spans_when(|spans| are_there(spans, "error", 2) && are_there(spans, "slowest", 1)).await;
    let errors: Vec<_> = calls(&spans).into_iter().filter(|span| sampled_as(span, "error")).collect();
    let codes: Vec<_> = errors.iter().filter_map(|span| text(span, "rpc.response.status_code")).collect();
    assert_eq!(codes, ["INVALID_ARGUMENT", "OK"]);
    assert_eq!(text(errors[1], "souk.rows_failed"), Some("1".into()));
    // Both rows together, and each alone.
    let batches = named(&spans, "batch");
    let batch = batches.iter().find(|batch| batch.parent_span_id == errors[1].span_id).unwrap();
    assert_eq!(["souk.batch.passes", "souk.batch.ran_on"].map(|key| text(batch, key).unwrap()), ["3", "runner"]);
    let windows = begun.elapsed().as_secs() as usize / 5 + 1;
    let slowest = calls(&spans).len() - errors.len();
    assert!(slowest <= 5 * windows, "{slowest} in {windows} windows");
    assert_nested(&spans);
}

#[tokio::test]
async fn messages_of_a_stream_are_below_it() {
    let collector = Collector::taking().await;
    let (_folder, launch) = marked::launch();
    let server = launch.set("telemetry.otlp_endpoint", &collector.url).serving().await;
    let messages = stream::iter([of(1.0), of(2.0), of(3.0)]);
    let replies = server.gmv().await.stream_gmv(traced(messages, &traceparent(1))).await.unwrap();
    assert_eq!(replies.into_inner().map(Result::unwrap).collect::<Vec<_>>().await.len(), 3);
    let spans = collector.spans_when(|spans| !calls(spans).is_empty()).await;
    let [stream] = calls(&spans)[..] else { panic!("{spans:#?}") };
    assert_eq!(hex(&stream.parent_span_id), format!("{:016x}", 0xdef_001));
    let messages = named(&spans, "message");
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.parent_span_id == stream.span_id));
    for name in ["admit", "decode", "queue", "reply"] {
        let above: BTreeSet<_> = named(&spans, name).iter().map(|span| &span.parent_span_id).collect();
        assert_eq!(above, messages.iter().map(|message| &message.span_id).collect(), "{name}");
    }
    assert_nested(&spans);
}

/// Requests are answered, whatever becomes of their traces, and that is said once a minute.
async fn serves_without(url: &str) {
    let begun = Instant::now();
    let (_folder, launch) = marked::launch();
    let launch: Launch = launch.set("telemetry.otlp_endpoint", url).set("telemetry.sample_ratio", 1);
    let server = launch.set("batch.queue_wait", "60s").serving().await;
    let mut client = server.gmv().await;
    server.logs(WARNING).await;
    let failures = async || value(&server, r#"souk_telemetry_export_failures_total{signal="traces"}"#).await.unwrap();
    let answered = async {
        while failures().await < 2.0 {
            client.predict_gmv(of(1.0)).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap();
    assert_sound(&server).await;
    assert_said_once(&server, begun);
}

fn assert_said_once(server: &TestServer, begun: Instant) {
    let said = server.log().matches(WARNING).count();
    let minutes = begun.elapsed().as_secs() as usize / 60 + 1;
    assert!((1..=minutes).contains(&said), "{}", server.log());
}

#[tokio::test]
async fn requests_are_answered_where_the_collector_is_gone() {
    let (url, listener) = listening().await;
    drop(listener);
    serves_without(&url).await;
}

#[tokio::test]
async fn requests_are_answered_where_the_collector_never_answers() {
    // Connections wait in its backlog.
    let (url, _listener) = listening().await;
    serves_without(&url).await;
}

#[tokio::test]
async fn requests_are_answered_where_the_collector_refuses() {
    serves_without(&refusing().await).await;
}
