use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceId};

use super::*;
use crate::telemetry::{Exposition, Metrics, RowsOutcome};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn measured() -> (Metrics, Exposition) {
    let (metrics, exposition) = Metrics::new().unwrap();
    metrics.request("souk.v1.X/Y", "OK", Duration::from_millis(3));
    metrics.rows("merchant_gmv", 3, RowsOutcome::Ok, 4);
    (metrics, exposition)
}

fn lines(text: &str, beginning: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(beginning)).map(ToOwned::to_owned).collect()
}

#[test]
fn counters_have_families_without_their_ending() {
    let text = measured().1.openmetrics().unwrap();
    assert_eq!(lines(&text, "# TYPE souk_requests"), ["# TYPE souk_requests counter"]);
    assert_eq!(lines(&text, "souk_requests"), [r#"souk_requests_total{code="OK",method="souk.v1.X/Y"} 1"#]);
    assert!(lines(&text, "# HELP souk_requests ")[0].ends_with("`other`."), "{text}");
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
}

#[test]
fn both_formats_tell_the_same() {
    let (_, exposition) = measured();
    let told = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let line = line.replace(".0\"}", "\"}");
            line.split(" # ").next().unwrap_or_default().to_owned()
        });
        let mut lines: Vec<_> = lines.filter(|line| !line.starts_with("process_")).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(told(exposition.openmetrics().unwrap()), told(exposition.text().unwrap()));
}

#[test]
fn a_bucket_leads_to_a_trace() {
    let (metrics, exposition) = measured();
    let span = (TraceId::from_hex(TRACE).unwrap(), SpanId::from_hex("b7ad6b7169203331").unwrap());
    metrics.exemplar("souk.v1.X/Y", Duration::from_millis(3), span);
    let text = exposition.openmetrics().unwrap();
    let traced: Vec<_> = text.lines().filter(|line| line.contains(" # {")).collect();
    let [line] = traced.as_slice() else { panic!("{traced:?}") };
    let wanted = format!(
        "souk_request_duration_seconds_bucket{{method=\"souk.v1.X/Y\",le=\"0.005\"}} 1 # \
         {{trace_id=\"{TRACE}\",span_id=\"b7ad6b7169203331\"}} 0.003 "
    );
    assert!(line.starts_with(&wanted), "{line}");
    assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 1e9, "{line}");
    assert!(!exposition.text().unwrap().contains(TRACE), "the older format has no place for it");
}

#[test]
fn what_a_text_may_not_have_is_escaped() {
    assert_eq!(escaped("plain"), "plain");
    assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    assert_eq!(Number(1.0).to_string(), "1.0");
    assert_eq!(Number(0.000_05).to_string(), "0.00005");
    assert_eq!(Number(f64::INFINITY).to_string(), "+Inf");
}
