use std::time::Duration;

use opentelemetry::{Key, Value};

use super::*;
use crate::telemetry::{
    Ran, RanOn,
    traces::{Batch, Why},
};

const METHOD: &str = "souk.v1.MerchantGmvService/PredictGmv";

fn context(span: u64) -> Context {
    Context::parse(&format!("00-0af7651916cd43dd8448eb211c80319c-{span:016x}-01")).unwrap()
}

/// A call that came one second before it asked for rows, and was over one after it had them.
fn ended(span: u64, code: &'static str, legs: Vec<Leg>, begun: Instant) -> Ended {
    let (context, caller) = (Some(context(span)), Some(context(99)));
    Ended { took: Duration::from_secs(3), context, caller, legs, ..Ended::of(METHOD, code, begun) }
}

/// Of the leg that begins at `begun`.
fn batch(begun: Instant, requests: &[u64]) -> Arc<Batch> {
    let at = |millis| begun + Duration::from_millis(millis);
    let (began, forward, ended) = (at(500), at(510), at(710));
    let ran = Ran { rows: 7, requests: requests.len(), passes: 1, on: RanOn::Runner, began, forward, ended };
    Arc::new(Batch::new(ran, requests.iter().copied().map(context).collect()))
}

fn spans(ended: Ended) -> Vec<SpanData> {
    Spans::new("127.0.0.1".into(), 50051).of(&Told { ended, why: Why::Sampled })
}

fn named<'s>(spans: &'s [SpanData], name: &str) -> &'s SpanData {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "{name} is there twice");
    span
}

fn value(span: &SpanData, key: &'static str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key == Key::new(key)).map(|found| found.value.clone())
}

fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}

/// An answered call of one leg, alone in its batch.
fn answered() -> Vec<SpanData> {
    let begun = Instant::now();
    let asked = begun + Duration::from_secs(1);
    let leg = Leg { lane: "bulk", batches: vec![batch(asked, &[1])], ..Leg::of(asked) };
    spans(ended(1, "OK", vec![leg], begun))
}

#[test]
fn a_request_is_a_tree_below_its_caller() {
    let spans = answered();
    let call = named(&spans, METHOD);
    assert_eq!((call.parent_span_id, call.parent_span_is_remote), (context(99).span, true));
    assert_eq!((id(call), &call.span_kind), (context(1).span, &SpanKind::Server));
    for child in ["admit", "decode", "queue", "batch", "reply"] {
        let child = named(&spans, child);
        assert_eq!((child.parent_span_id, &child.span_kind), (id(call), &SpanKind::Internal));
    }
    assert_eq!(named(&spans, "forward").parent_span_id, id(named(&spans, "batch")));
    assert!(spans.iter().all(|span| span.span_context.trace_id() == context(1).trace));
    assert_eq!(spans.len(), 7);
}

#[test]
fn times_follow_each_other_and_lie_within_those_above() {
    let spans = answered();
    let call = named(&spans, METHOD);
    let times = |name: &str| {
        let since = |time: std::time::SystemTime| time.duration_since(call.start_time).unwrap().as_millis();
        let span = named(&spans, name);
        (since(span.start_time), since(span.end_time))
    };
    let names = [METHOD, "admit", "decode", "queue", "batch", "forward", "reply"];
    let wanted = [(0, 3000), (1000, 1200), (1200, 1300), (1300, 1500), (1500, 1710), (1510, 1710), (2000, 3000)];
    assert_eq!(names.map(times), wanted);
}

#[test]
fn a_batch_is_one_span_that_all_of_its_requests_find() {
    let begun = Instant::now();
    let shared = batch(begun, &[1, 2, 3]);
    let asked = || vec![Leg { batches: vec![Arc::clone(&shared)], ..Leg::of(begun) }];
    let (second, first) = (spans(ended(2, "OK", asked(), begun)), spans(ended(1, "OK", asked(), begun)));
    let batch = named(&second, "batch");
    assert_eq!(batch.parent_span_id, context(2).span);
    let linked: Vec<_> = batch.links.iter().map(|link| link.span_context.span_id()).collect();
    assert_eq!(linked, [context(1).span, context(2).span, context(3).span]);
    assert!(named(&second, METHOD).links.is_empty());
    // It was made, so that the others point to it.
    assert!(first.iter().all(|span| span.name != "batch" && span.name != "forward"));
    let [link] = named(&first, METHOD).links.links.as_slice() else { panic!("{first:#?}") };
    assert_eq!(link.span_context, batch.span_context);
    for (key, wanted) in [("souk.batch.rows", 7), ("souk.batch.requests", 3), ("souk.batch.passes", 1)] {
        assert_eq!(value(batch, key), Some(Value::I64(wanted)), "{key}");
    }
    assert_eq!(value(batch, "souk.batch.ran_on"), Some("runner".into()));
}

#[test]
fn a_split_request_has_a_batch_for_each_part() {
    let begun = Instant::now();
    let leg = Leg { batches: vec![batch(begun, &[1]), batch(begun, &[1, 2])], ..Leg::of(begun) };
    let spans = spans(ended(1, "OK", vec![leg], begun));
    assert_eq!(spans.iter().filter(|span| span.name == "batch").count(), 2);
    assert_eq!(spans.iter().filter(|span| span.name == "forward").count(), 2);
}

#[test]
fn links_are_bounded() {
    let begun = Instant::now();
    let all: Vec<u64> = (1..=300).collect();
    let leg = Leg { batches: vec![batch(begun, &all)], ..Leg::of(begun) };
    let spans = spans(ended(1, "OK", vec![leg], begun));
    let links = &named(&spans, "batch").links;
    assert_eq!((links.len(), links.dropped_count), (LINKS, 300 - LINKS as u32));
}

#[test]
fn a_batch_leads_only_to_requests_that_are_sent() {
    let begun = Instant::now();
    let nobodys = |span| Context { sampled: false, ..context(span) };
    let shared = Arc::new(Batch::new(batch(begun, &[]).ran, vec![nobodys(1), nobodys(2), context(3)]));
    let leg = Leg { batches: vec![shared], ..Leg::of(begun) };
    let slow = Ended { context: Some(nobodys(1)), ..ended(1, "OK", vec![leg], begun) };
    let spans = spans(slow);
    let linked: Vec<_> = named(&spans, "batch").links.iter().map(|link| link.span_context.span_id()).collect();
    assert_eq!(linked, [context(1).span, context(3).span]);
}

#[test]
fn a_call_says_what_the_conventions_want() {
    let spans = answered();
    let call = named(&spans, METHOD);
    for (key, wanted) in [
        ("rpc.system.name", Value::from("grpc")),
        ("rpc.method", METHOD.into()),
        ("rpc.response.status_code", "OK".into()),
        ("rpc.system", "grpc".into()),
        ("rpc.service", "souk.v1.MerchantGmvService".into()),
        ("rpc.grpc.status_code", Value::I64(0)),
        ("server.address", "127.0.0.1".into()),
        ("server.port", Value::I64(50051)),
        ("souk.kept_for", "sampled".into()),
        ("souk.model", "merchant_gmv".into()),
        ("souk.version", Value::I64(3)),
        ("souk.rows", Value::I64(5)),
        ("souk.rows_failed", Value::I64(0)),
        ("souk.lane", "bulk".into()),
        ("souk.batch_rows", Value::I64(7)),
    ] {
        assert_eq!(value(call, key), Some(wanted), "{key}");
    }
    assert_eq!(value(call, "error.type"), None);
    assert_eq!(call.attributes.len(), 15);
}

#[test]
fn faults_of_the_server_alone_are_errors() {
    for (code, number, fault) in [("INTERNAL", 13, true), ("DEADLINE_EXCEEDED", 4, true), ("NOT_FOUND", 5, false)] {
        let spans = spans(ended(1, code, Vec::new(), Instant::now()));
        let [call] = spans.as_slice() else { panic!("{spans:#?}") };
        assert_eq!(call.status, if fault { Status::error(code) } else { Status::Unset });
        assert_eq!(value(call, "error.type"), fault.then(|| code.into()));
        assert_eq!(value(call, "rpc.grpc.status_code"), Some(Value::I64(number)));
    }
}

#[test]
fn a_method_that_is_none_is_not_spelled() {
    let unknown = Ended { context: Some(context(1)), ..Ended::of("other", "UNIMPLEMENTED", Instant::now()) };
    let spans = spans(unknown);
    let call = named(&spans, "grpc");
    assert_eq!((value(call, "rpc.method"), value(call, "rpc.service")), (Some("_OTHER".into()), None));
    assert_eq!(call.parent_span_id, SpanId::INVALID);
}

#[test]
fn a_message_is_below_its_stream() {
    let begun = Instant::now();
    let message = Ended { is_message: true, ..ended(1, "INTERNAL", vec![Leg::of(begun)], begun) };
    let spans = spans(message);
    let message = named(&spans, "message");
    assert_eq!((message.parent_span_id, message.parent_span_is_remote), (context(99).span, false));
    assert_eq!(message.span_kind, SpanKind::Internal);
    assert_eq!((value(message, "souk.code"), value(message, "rpc.method")), (Some("INTERNAL".into()), None));
}
