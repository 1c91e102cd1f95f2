use std::{collections::BTreeSet, thread};

use super::*;

/// The lines of one metric, without its comments.
fn lines(exposition: &Exposition, name: &str) -> Vec<String> {
    let text = exposition.text().unwrap();
    text.lines().filter(|line| line.starts_with(name)).map(ToOwned::to_owned).collect()
}

fn pass(rows: usize, late_rows: usize) -> Pass<'static> {
    Pass { model: "merchant_gmv", version: 3, rows, compute: Duration::from_micros(150), late_rows }
}

/// Updates everything there is.
fn measured() -> Exposition {
    let (metrics, exposition) = Metrics::new().unwrap();
    metrics.request("souk.v1.X/Y", "OK", Duration::from_millis(3));
    metrics.pass(&pass(5, 0));
    metrics.waited("merchant_gmv", Duration::from_micros(40));
    metrics.scored("merchant_gmv", "bulk", Duration::from_millis(4));
    metrics.rows("merchant_gmv", 3, RowsOutcome::Ok, 4);
    metrics.shed("merchant_gmv", Reason::Expired, 7);
    metrics.runner_replaced();
    metrics.build("0.1.0", "2.11.0");
    metrics.observe_queue(|| vec![("merchant_gmv".into(), 12)]);
    let live = Live { model: "merchant_gmv".into(), version: 3, label: "stable".into() };
    metrics.observe_live(move || vec![live.clone()]);
    metrics.loaded("merchant_gmv", Duration::from_millis(90));
    metrics.load_failed("merchant_gmv", "golden.jsonl");
    metrics.observe_age(|| vec![(("merchant_gmv".into(), 3), 86_400)]);
    metrics.shadow("merchant_gmv", 4, ShadowOutcome::Dropped, 9);
    metrics.observe_differences(|| {
        let (model, head) = ("merchant_gmv".to_owned(), "expected_gmv".to_owned());
        vec![Difference { model, live: 3, version: 4, head, statistic: "relative", value: 0.25 }]
    });
    exposition
}

/// Name and labels of a line, e.g. `a_total{x="1",y="2"} 3`.
fn parts(line: &str) -> (String, BTreeSet<String>) {
    let (name, labels) = line.split_once('{').unwrap_or_else(|| line.split_once(' ').unwrap());
    let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
    let labels = labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label.to_owned());
    let name = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
    (name.to_owned(), labels.filter(|label| label != "le").collect())
}

#[test]
fn what_is_scraped_is_what_the_table_says() {
    let text = measured().text().unwrap();
    let scraped: BTreeSet<_> = text.lines().filter(|line| !line.starts_with('#')).map(parts).collect();
    let labels = |metric: &Metric| metric.labels.iter().map(ToString::to_string).collect();
    let table = METRICS.iter().map(|metric| (metric.name.to_owned(), labels(metric))).collect();
    assert_eq!(scraped, table, "{text}");
    for metric in METRICS {
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
    }
}

#[test]
fn every_update_is_counted_where_it_belongs() {
    let exposition = measured();
    for (name, wanted) in [
        ("souk_requests_total", r#"{code="OK",method="souk.v1.X/Y"} 1"#),
        ("souk_request_duration_seconds", r#"_sum{method="souk.v1.X/Y"} 0.003"#),
        ("souk_request_duration_seconds", r#"_bucket{method="souk.v1.X/Y",le="0.002"} 0"#),
        ("souk_request_duration_seconds", r#"_bucket{method="souk.v1.X/Y",le="0.005"} 1"#),
        ("souk_rows_total", r#"{model="merchant_gmv",outcome="ok",version="3"} 4"#),
        ("souk_queue_wait_seconds", r#"_bucket{model="merchant_gmv",le="0.00005"} 1"#),
        ("souk_scoring_seconds", r#"_bucket{lane="bulk",model="merchant_gmv",le="0.005"} 1"#),
        ("souk_compute_seconds", r#"_sum{model="merchant_gmv",version="3"} 0.00015"#),
        ("souk_batch_rows", r#"_bucket{model="merchant_gmv",version="3",le="4"} 0"#),
        ("souk_batch_rows", r#"_bucket{model="merchant_gmv",version="3",le="8"} 1"#),
        ("souk_queue_rows", r#"{model="merchant_gmv"} 12"#),
        ("souk_shed_rows_total", r#"{model="merchant_gmv",reason="expired"} 7"#),
        ("souk_runner_restarts_total", " 1"),
        ("souk_model_live", r#"{label="stable",model="merchant_gmv",version="3"} 1"#),
        ("souk_shadow_rows_total", r#"{model="merchant_gmv",outcome="dropped",version="4"} 9"#),
        ("souk_shadow_rows_total", r#"{model="merchant_gmv",outcome="scored",version="4"} 0"#),
        (
            "souk_shadow_difference",
            r#"{head="expected_gmv",live="3",model="merchant_gmv",statistic="relative",version="4"} 0.25"#,
        ),
        ("souk_build_info", r#"{torch="2.11.0",version="0.1.0"} 1"#),
    ] {
        let (found, wanted) = (lines(&exposition, name), format!("{name}{wanted}"));
        assert!(found.contains(&wanted), "{wanted} is not in {found:#?}");
    }
}

#[test]
fn what_never_happened_is_seen_as_zero() {
    let (metrics, exposition) = Metrics::new().unwrap();
    assert_eq!(lines(&exposition, "souk_runner_restarts_total"), ["souk_runner_restarts_total 0"]);
    metrics.pass(&pass(1, 0));
    assert_eq!(lines(&exposition, "souk_late"), [r#"souk_late_rows_run_total{model="merchant_gmv"} 0"#]);
    let zeros = |name| lines(&exposition, name).iter().filter(|line| line.ends_with(" 0")).count();
    assert_eq!(zeros("souk_shed_rows_total"), Reason::ALL.len());
    assert_eq!(zeros("souk_rows_total"), RowsOutcome::ALL.len());
}

#[test]
fn late_rows_that_ran_are_told() {
    let (metrics, exposition) = Metrics::new().unwrap();
    metrics.pass(&pass(5, 2));
    assert_eq!(lines(&exposition, "souk_late"), [r#"souk_late_rows_run_total{model="merchant_gmv"} 2"#]);
}

#[test]
fn threads_that_bind_at_the_same_time_lose_no_update() {
    let (metrics, exposition) = Metrics::new().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for version in 0..100 {
                    metrics.rows("merchant_gmv", version, RowsOutcome::Ok, 1);
                }
            });
        }
    });
    let ok: Vec<_> =
        lines(&exposition, "souk_rows_total").into_iter().filter(|line| line.contains(r#"outcome="ok""#)).collect();
    assert_eq!(ok.len(), 100);
    assert!(ok.iter().all(|line| line.ends_with(" 4")), "{ok:#?}");
}

#[test]
fn metrics_that_nobody_reads_can_be_updated() {
    let metrics = Metrics::none();
    metrics.pass(&pass(1, 0));
    metrics.request("souk.v1.X/Y", "OK", Duration::ZERO);
    metrics.observe_queue(|| unreachable!("nobody reads it"));
}
