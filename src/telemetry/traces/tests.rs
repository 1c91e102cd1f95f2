use std::{net::TcpListener, time::Duration};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::telemetry::{Exposition, Identity, Journeys, Leg, Reason};

const METHOD: &str = "souk.v1.MerchantGmvService/PredictGmv";
const STREAM: &str = "souk.v1.MerchantGmvService/StreamGmv";

struct Rig {
    traces: Traces,
    journeys: Journeys,
    sending: Sending,
    exposition: Exposition,
}

fn rig(ratio: f64) -> Rig {
    let (metrics, exposition) = Metrics::new().unwrap();
    let (traces, sending) = Traces::new(ratio, metrics.clone(), Spans::new("127.0.0.1".into(), 50051));
    let journeys = Journeys::new(metrics).traced(traces.clone());
    Rig { traces, journeys, sending, exposition }
}

impl Rig {
    /// Names of the spans that are sent now, without the slowest.
    fn sent(&self) -> Vec<String> {
        let spans = std::iter::from_fn(|| self.sending.next()).flatten();
        spans.map(|span| span.name.into_owned()).collect()
    }

    fn dropped(&self) -> u64 {
        let text = self.exposition.text().unwrap();
        text.lines().find_map(|line| line.strip_prefix("souk_traces_dropped_total ")).unwrap().parse().unwrap()
    }
}

fn caller(flags: u8) -> Option<Context> {
    Context::parse(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags:02x}"))
}

#[test]
fn a_caller_says_whether_his_trace_is_sampled_whatever_the_ratio() {
    for (ratio, flags, told) in [(0.0, 1, true), (1.0, 0, false), (0.0, 0, false)] {
        let rig = rig(ratio);
        rig.journeys.begin(METHOD, caller(flags)).end("OK");
        assert_eq!(rig.sent(), if told { vec![METHOD] } else { Vec::new() }, "{ratio} {flags}");
    }
}

#[test]
fn a_share_of_all_others_is_sampled() {
    for (ratio, least, most) in [(0.0, 0, 0), (0.25, 2000, 3000), (1.0, 10_000, 10_000)] {
        let rig = rig(ratio);
        let sampled = (0..10_000).filter(|_| rig.traces.root(METHOD).sampled).count();
        // 2500 of 10 000 with a deviation of 43: these are eleven of them.
        assert!((least..=most).contains(&sampled), "{sampled} at {ratio}");
        assert!(!rig.traces.root("grpc.health.v1.Health/Check").sampled);
    }
}

#[test]
fn every_error_is_told_at_any_ratio_but_of_probes() {
    let rig = rig(0.0);
    for code in ["INTERNAL", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "CANCELLED"] {
        rig.journeys.begin(METHOD, None).end(code);
        assert_eq!(rig.sent(), [METHOD], "{code}");
    }
    rig.journeys.begin(METHOD, caller(0)).end("NOT_FOUND");
    assert_eq!(rig.sent(), [METHOD]);
    rig.journeys.begin("grpc.health.v1.Health/Watch", None).end("CANCELLED");
    rig.journeys.begin(METHOD, None).end("OK");
    assert!(rig.sent().is_empty());
}

#[test]
fn rows_that_failed_are_an_error_of_a_reply_that_is_ok() {
    let rig = rig(0.0);
    let journey = rig.journeys.begin(METHOD, None);
    journey.add(Leg { failed: 1, ..Leg::of(Instant::now()) });
    journey.end("OK");
    assert!(rig.sent().contains(&METHOD.to_owned()));
}

#[test]
fn the_slowest_are_told_when_their_window_ends() {
    let rig = rig(0.0);
    for millis in 0..100 {
        let legs = vec![Leg::of(Instant::now())];
        let took = Duration::from_millis(1000 + millis);
        let ended = Ended { took, legs, context: caller(0), ..Ended::of(METHOD, "OK", Instant::now()) };
        rig.traces.ended(&ended, false);
    }
    assert!(rig.sent().is_empty());
    let slowest = rig.sending.of_slowest();
    let calls = slowest.iter().filter(|span| span.name == METHOD);
    let mut took: Vec<_> =
        calls.map(|span| span.end_time.duration_since(span.start_time).unwrap().as_millis()).collect();
    took.sort_unstable();
    assert_eq!(took, [1095, 1096, 1097, 1098, 1099]);
    assert!(rig.sending.of_slowest().is_empty());
}

#[test]
fn a_call_without_rows_is_never_slow() {
    let rig = rig(0.0);
    rig.journeys.begin(METHOD, None).end("OK");
    assert!(rig.sending.of_slowest().is_empty());
}

#[test]
fn a_stream_is_told_with_its_message() {
    let rig = rig(0.0);
    let (stream, quiet) = (rig.journeys.begin(STREAM, None), rig.journeys.begin(STREAM, None));
    for stream in [&stream, &quiet] {
        stream.message().end("OK");
    }
    stream.message().end("INVALID_ARGUMENT");
    stream.end("OK");
    quiet.end("OK");
    assert_eq!(rig.sent(), ["message", STREAM]);
}

#[test]
fn messages_of_a_sampled_stream_are_sampled() {
    let rig = rig(1.0);
    let stream = rig.journeys.begin(STREAM, None);
    stream.message().end("OK");
    assert_eq!(rig.sent(), ["message"]);
}

#[test]
fn errors_without_end_are_told_up_to_a_bound_and_the_rest_is_counted() {
    let rig = rig(0.0);
    let begun = Instant::now();
    for _ in 0..10_000 {
        rig.traces.ended(&Ended::of(METHOD, "RESOURCE_EXHAUSTED", begun), false);
    }
    assert_eq!(rig.sending.count(), ERRORS_A_SECOND as usize);
    assert_eq!(rig.dropped(), 10_000 - u64::from(ERRORS_A_SECOND));
}

#[test]
fn what_nobody_fetches_is_bounded() {
    let rig = rig(1.0);
    // Ten seconds in which nothing is fetched.
    for second in 0..10 {
        let begun = Instant::now() + Duration::from_secs(second);
        for _ in 0..2 * A_SECOND {
            rig.traces.ended(&Ended { context: caller(1), ..Ended::of(METHOD, "OK", begun) }, false);
        }
    }
    assert_eq!(rig.sending.count(), OTHERS_WAITING);
    assert_eq!(rig.dropped(), u64::from(20 * A_SECOND) - OTHERS_WAITING as u64);
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (metrics, exposition) = Metrics::pushed_as(&Identity { version: "0", instance: "test".into() }).unwrap();
    let otlp = Otlp::start(&format!("http://{nobody}"), &metrics, &exposition).unwrap();
    let (traces, sending) = Traces::new(0.0, metrics.clone(), Spans::new("127.0.0.1".into(), 50051));
    Journeys::new(metrics).traced(traces).begin(METHOD, None).end("INTERNAL");
    let ended = CancellationToken::new();
    ended.cancel();
    otlp.spawn(|collector, _| sending.run(collector, ended));
    // Nobody was there, but that it was sent is counted.
    let sent = "souk_telemetry_export_failures_total{signal=\"traces\"} 1";
    let counted = async {
        while !exposition.text().unwrap().lines().any(|line| line == sent) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), counted).await.unwrap();
}

#[test]
fn a_bucket_leads_to_a_trace_that_is_sent() {
    let rig = rig(0.0);
    let sampled = rig.journeys.begin(METHOD, caller(1)).end("OK");
    rig.journeys.begin(METHOD, None).end("OK");
    rig.traces.0.metrics.request(METHOD, "OK", sampled.took);
    let leads = || rig.exposition.openmetrics().unwrap().contains("0af7651916cd43dd8448eb211c80319c");
    assert!(!leads());
    assert_eq!(rig.sent(), [METHOD]);
    assert!(leads());
}

#[test]
fn a_trace_is_named_to_whom_it_concerns() {
    let rig = rig(0.0);
    assert_eq!(rig.journeys.begin(METHOD, None).traceparent(), None);
    let told = rig.journeys.begin(METHOD, caller(0)).traceparent().unwrap();
    assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-00"), "{told}");
    assert_ne!(told, caller(0).unwrap().to_string());
}

#[test]
fn without_a_collector_a_caller_s_trace_is_known_and_no_other_one() {
    let journeys = Journeys::new(Metrics::none());
    assert_eq!(journeys.begin(METHOD, None).context(), None);
    let called = journeys.begin(METHOD, caller(1));
    assert_eq!((called.context(), called.traced()), (caller(1), None));
    assert_eq!(called.traceparent(), caller(1).map(|caller| caller.to_string()));
    assert_eq!(called.message().context(), caller(1));
}

#[test]
fn rows_that_were_never_run_say_why() {
    let rig = rig(0.0);
    for (reason, name) in [(Reason::Wait, "admit"), (Reason::Expired, "score"), (Reason::Cancelled, "score")] {
        let journey = rig.journeys.begin(METHOD, None);
        journey.add(Leg { encoded: None, batch_rows: 0, shed: Some(reason), ..Leg::of(Instant::now()) });
        journey.end("RESOURCE_EXHAUSTED");
        assert_eq!(rig.sent(), [name, METHOD]);
    }
}

#[test]
fn neither_a_flood_of_one_code_nor_of_sampled_requests_hides_an_error() {
    let rig = rig(0.0);
    let begun = Instant::now();
    for _ in 0..10_000 {
        rig.traces.ended(&Ended { context: caller(1), ..Ended::of(METHOD, "OK", begun) }, false);
        rig.traces.ended(&Ended::of(METHOD, "RESOURCE_EXHAUSTED", begun), false);
    }
    assert!(rig.traces.ended(&Ended::of(METHOD, "INTERNAL", begun), false));
    assert!(rig.traces.ended(&Ended { context: caller(1), ..Ended::of(METHOD, "UNAVAILABLE", begun) }, false));
    assert!(!rig.traces.ended(&Ended::of(METHOD, "RESOURCE_EXHAUSTED", begun), false));
}
