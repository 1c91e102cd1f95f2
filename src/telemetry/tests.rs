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

/// Updates everything there is; in the scope of a runtime.
fn measured() -> Exposition {
    let (metrics, exposition) = Metrics::new().unwrap();
    metrics.request("souk.v1.X/Y", "OK", Duration::from_millis(3));
    metrics.pass(&pass(5, 0));
    metrics.waited("merchant_gmv", Duration::from_micros(40));
    metrics.scored("merchant_gmv", "bulk", Duration::from_millis(4));
    metrics.rows("merchant_gmv", 3, RowsOutcome::Ok, 4);
    metrics.defaulted("merchant_gmv", "5f3c", ["city"].into_iter(), &[2]);
    metrics.shed("merchant_gmv", Reason::Expired, 7);
    metrics.runner_replaced();
    metrics.runner_worked(Duration::from_millis(1500));
    // They are there for longer than this is.
    std::mem::forget(metrics.runners(2).one());
    std::mem::forget(metrics.connections(Port::Data, 4096).one());
    metrics.observe_budget(Budget { rows: 16384, bytes: 1 << 26 }, || Budget { rows: 300, bytes: 9000 });
    metrics.observe_state(|| true, || false);
    metrics.observe_io(&tokio::runtime::Handle::current());
    metrics.observe_process();
    metrics.knows_model("merchant_gmv", &["model.pt", "golden.jsonl"], &["max_p99_ratio"]);
    metrics.canary_taken_back("merchant_gmv", "max_p99_ratio");
    metrics.export_failed(Signal::Traces);
    metrics.build("0.1.0", "2.11.0");
    metrics.observe_queue(|| vec![("merchant_gmv".into(), 12)]);
    let live = Live { model: "merchant_gmv".into(), version: 3, label: "stable".into() };
    metrics.observe_live(move || vec![live.clone()]);
    metrics.loaded("merchant_gmv", Duration::from_millis(90));
    metrics.load_failed("merchant_gmv", "golden.jsonl");
    metrics.observe_age(|| vec![(("merchant_gmv".into(), 3), 86_400)]);
    metrics.shadow("merchant_gmv", 4, ShadowOutcome::Dropped, 9);
    metrics.observe_certificate(|| 1_900_000_000);
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

#[tokio::test]
async fn what_is_scraped_is_what_the_table_says() {
    let text = measured().text().unwrap();
    let scraped: BTreeSet<_> = text.lines().filter(|line| !line.starts_with('#')).map(parts).collect();
    let labels = |metric: &Metric| metric.labels.iter().map(ToString::to_string).collect();
    let table = METRICS.iter().map(|metric| (metric.name.to_owned(), labels(metric))).collect();
    assert_eq!(scraped, table, "{text}");
    for metric in METRICS {
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
    }
}

#[tokio::test]
async fn every_update_is_counted_where_it_belongs() {
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
        ("souk_runner_busy_seconds_total", " 1.5"),
        ("souk_runners", " 1"),
        ("souk_runners_configured", " 2"),
        ("souk_connections", r#"{port="data"} 1"#),
        ("souk_connections_limit", r#"{port="data"} 4096"#),
        ("souk_admitted_rows", " 300"),
        ("souk_queue_rows_limit", " 16384"),
        ("souk_queue_bytes", " 9000"),
        ("souk_queue_bytes_limit", " 67108864"),
        ("souk_ready", " 1"),
        ("souk_draining", " 0"),
        ("souk_io_threads", " 1"),
        ("souk_model_load_failures_total", r#"{model="merchant_gmv",reason="golden.jsonl"} 1"#),
        ("souk_model_load_failures_total", r#"{model="merchant_gmv",reason="model.pt"} 0"#),
        ("souk_canaries_taken_back_total", r#"{limit="max_p99_ratio",model="merchant_gmv"} 1"#),
        ("souk_telemetry_export_failures_total", r#"{signal="metrics"} 0"#),
        ("souk_telemetry_export_failures_total", r#"{signal="traces"} 1"#),
        ("souk_model_live", r#"{label="stable",model="merchant_gmv",version="3"} 1"#),
        ("souk_shadow_rows_total", r#"{model="merchant_gmv",outcome="dropped",version="4"} 9"#),
        ("souk_shadow_rows_total", r#"{model="merchant_gmv",outcome="scored",version="4"} 0"#),
        (
            "souk_shadow_difference",
            r#"{head="expected_gmv",live="3",model="merchant_gmv",statistic="relative",version="4"} 0.25"#,
        ),
        ("souk_tls_certificate_expiry_timestamp_seconds", " 1900000000"),
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
fn what_was_there_is_gone_again() {
    let (metrics, exposition) = Metrics::new().unwrap();
    let (data, http) = (metrics.connections(Port::Data, 8), metrics.connections(Port::Http, 8));
    let open = [data.one(), data.one(), http.one()];
    let found = || lines(&exposition, "souk_connections{");
    let of = |data: u8, http: u8| {
        [("data", data), ("http", http)].map(|(port, open)| format!("souk_connections{{port=\"{port}\"}} {open}"))
    };
    assert_eq!(found(), of(2, 1));
    drop(open);
    assert_eq!(found(), of(0, 0));
}

#[test]
fn linux_tells_of_this_process() {
    let (metrics, exposition) = Metrics::new().unwrap();
    metrics.observe_process();
    let value = |name: &str| -> f64 {
        let found = lines(&exposition, &format!("process_{name} "));
        found[0].split_once(' ').unwrap().1.parse().unwrap()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(value("cpu_seconds_total") >= 0.0 && value("threads") >= 1.0);
    assert!(value("resident_memory_bytes") > 1e6 && value("virtual_memory_bytes") > value("resident_memory_bytes"));
    assert!(value("open_fds") >= 3.0 && value("max_fds") >= value("open_fds"));
    let age = now - value("start_time_seconds");
    assert!((-60.0..86_400.0).contains(&age), "{age} s");
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

#[test]
fn a_feature_is_one_counter_whichever_version_has_it_where() {
    let (metrics, exposition) = Metrics::new().unwrap();
    metrics.defaulted("m", "first", ["city", "area"].into_iter(), &[0, 2]);
    metrics.defaulted("m", "second", ["area", "rating"].into_iter(), &[3, 0]);
    // It is bound by now.
    metrics.defaulted("m", "first", ["city", "area"].into_iter(), &[0, 1]);
    let of =
        |feature: &str, rows: u64| format!(r#"souk_features_defaulted_total{{feature="{feature}",model="m"}} {rows}"#);
    let mut counted = lines(&exposition, "souk_features_defaulted_total");
    counted.sort();
    assert_eq!(counted, [of("area", 6), of("city", 0), of("rating", 0)]);
}

#[test]
fn rows_that_never_ran_are_no_scoring() {
    let (metrics, exposition) = Metrics::new().unwrap();
    let journeys = Journeys::new(metrics);
    for shed in [None, Some(Reason::QueueFull)] {
        let journey = journeys.begin("souk.v1.X/Y", None);
        journey.add(Leg { shed, ..Leg::of(std::time::Instant::now()) });
        journey.end("OK");
    }
    let text = exposition.text().unwrap();
    assert!(text.contains("souk_scoring_seconds_count{lane=\"interactive\",model=\"merchant_gmv\"} 1\n"), "{text}");
}
