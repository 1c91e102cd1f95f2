//! What operators are given: rules and a dashboard that ask for what is measured, and a
//! runbook whose commands and settings exist.
//!
//! Whether alerts fire and queries have data, `make watch-test` finds out: it needs
//! Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use souk::telemetry::METRICS;

use super::common::program::{souk, stderr};

/// Endings of what a histogram is scraped as.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// A file of the folder `deploy`.
fn deployed(file: &str) -> String {
    fs::read_to_string(format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Every metric that a text names; what rules record begins with `souk:`.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_' && sign != ':');
    words.filter(|word| word.starts_with("souk_") || word.starts_with("process_")).map(measured).collect()
}

/// The metric that a scraped name is of.
fn measured(scraped: &str) -> &str {
    let is_known = |name: &&str| METRICS.iter().any(|metric| metric.name == *name);
    PARTS.iter().filter_map(|part| scraped.strip_suffix(*part)).find(is_known).unwrap_or(scraped)
}

/// What `key` of a rule names: its alerts, or what it records.
fn named<'a>(rules: &'a str, key: &str) -> BTreeSet<&'a str> {
    rules.lines().filter_map(|line| line.trim_start().strip_prefix(key)).collect()
}

fn alerts(rules: &str) -> BTreeSet<&str> {
    named(rules, "- alert: ")
}

/// The runbook's sections by their titles.
fn sections(runbook: &str) -> BTreeMap<&str, &str> {
    runbook.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap()).collect()
}

/// Every setting of the reference, as `section.key`.
fn settings(reference: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in reference.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ") {
            found.insert(format!("{section}.{key}"));
        }
    }
    found
}

/// Every file below a folder of `deploy`: its text, and where it is.
fn files_of(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("{}/deploy/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
        let entry = entry.unwrap();
        let below = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_of(&below));
        } else {
            found.push((deployed(&below), below));
        }
    }
    found
}

/// Settings that a text names as variables of the environment: `SOUK__BATCH__MAX_ROWS` is `batch.max_rows`.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    let names = words.filter_map(|word| word.strip_prefix("SOUK__")).filter(|name| !name.is_empty());
    names.map(|name| name.to_lowercase().replace("__", ".")).collect()
}

/// What a Markdown text has as code: its blocks line by line, and its words in backquotes.
fn code(markdown: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (place, part) in markdown.split("```").enumerate() {
        match place % 2 {
            // The first line names the language.
            1 => found.extend(part.lines().skip(1)),
            _ => found.extend(part.split('`').skip(1).step_by(2)),
        }
    }
    found
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    let adapter = "kubernetes/components/queue-scaling/adapter.yaml";
    for file in ["prometheus/rules.yml", "prometheus/rules_test.yml", "grafana/souk.json", "RUNBOOK.md", adapter] {
        let text = deployed(file);
        let asked = metrics(&text);
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(!asked.is_empty() && unknown.is_empty(), "{file} names {unknown:?}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let dashboard = deployed("grafana/souk.json");
    let shown = metrics(&dashboard);
    let hidden: Vec<_> = METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(name)).collect();
    assert!(hidden.is_empty(), "{hidden:?} have no panel");
}

#[test]
fn what_the_dashboard_has_of_the_rules_is_recorded() {
    let (rules, dashboard) = (deployed("prometheus/rules.yml"), deployed("grafana/souk.json"));
    let recorded = named(&rules, "- record: ");
    let words = dashboard.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_' && sign != ':');
    let asked: BTreeSet<_> = words.filter(|word| word.starts_with("souk:")).collect();
    assert!(!asked.is_empty() && asked.is_subset(&recorded), "{asked:?} of {recorded:?}");
}

#[test]
fn each_alert_has_its_section_in_the_runbook_and_each_section_its_alert() {
    let (rules, runbook) = (deployed("prometheus/rules.yml"), deployed("RUNBOOK.md"));
    let (alerts, sections) = (alerts(&rules), sections(&runbook));
    assert!(!alerts.is_empty());
    assert_eq!(alerts, sections.keys().copied().collect::<BTreeSet<_>>());
    for alert in alerts {
        let address = format!("runbook: deploy/RUNBOOK.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&address), "{alert} does not lead to its section: {address}");
    }
}

#[test]
fn each_section_of_the_runbook_says_what_it_means_what_to_check_and_what_helps() {
    let runbook = deployed("RUNBOOK.md");
    for (alert, section) in sections(&runbook) {
        let in_three = ["**Meaning:**", "**Check:**", "**Cure:**"].iter().all(|part| section.contains(part));
        let as_another = section.contains("**Meaning:**") && section.contains("**Check and cure:** as for [Souk");
        assert!(in_three || as_another, "{alert}: {section}");
    }
}

#[test]
fn each_alert_is_fired_by_a_test_and_quiet_in_another() {
    let (rules, tests) = (deployed("prometheus/rules.yml"), deployed("prometheus/rules_test.yml"));
    for alert in alerts(&rules) {
        // The next lines say when, and then what fires.
        let looked_for = format!("- alertname: {alert}\n");
        let mut expected =
            tests.split(&looked_for).skip(1).map(|rest| rest.lines().take(3).any(|line| line.contains("exp_labels")));
        assert!(expected.any(|fires| fires), "{alert} is fired by no test");
        let quiet = tests.lines().any(|line| {
            line.contains(&format!("alertname: {alert} }}")) || line.contains(&format!("&quiet {{ alertname: {alert},"))
        });
        assert!(quiet, "{alert} is not looked for on a server that is well");
    }
}

#[test]
fn every_souk_command_of_the_runbook_exists() {
    let runbook = deployed("RUNBOOK.md");
    let commands: BTreeSet<_> = code(&runbook).into_iter().filter_map(|line| line.strip_prefix("souk ")).collect();
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let command = command.replace("VERSION", "3");
        // With its own words before it, `--help` is reached only if these can be understood.
        let arguments: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let output = souk(Path::new(env!("CARGO_MANIFEST_DIR")), &arguments).output().unwrap();
        assert!(output.status.success(), "souk {command}: {}", stderr(&output));
    }
}

#[test]
fn every_setting_and_every_page_of_the_runbook_exists() {
    let (runbook, reference) = (deployed("RUNBOOK.md"), deployed("souk.reference.toml"));
    let settings = settings(&reference);
    let mut told = BTreeSet::new();
    for word in code(&runbook) {
        let is_of_a_section = |section: &str| settings.iter().any(|key| key.starts_with(&format!("{section}.")));
        if word.split_once('.').is_some_and(|(section, _)| is_of_a_section(section)) {
            assert!(settings.contains(word), "{word} is no setting");
            told.insert(word);
        }
        if let Some((_, page)) = word.split_once("localhost:9464") {
            let page = page.split_whitespace().next().unwrap_or_default();
            assert!(["/livez", "/readyz", "/metrics"].contains(&page), "{word}");
        }
    }
    assert!(told.len() > 5, "{told:?}");
}

#[test]
fn every_setting_of_the_manifests_exists() {
    let known = settings(&deployed("souk.reference.toml"));
    let written = settings(&deployed("kubernetes/base/souk.toml"));
    assert!(written.len() > 3 && written.is_subset(&known), "{written:?}");
    let image = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile")).unwrap();
    let image = vec![(image, "Dockerfile".to_owned())];
    for (text, file) in [image, files_of("kubernetes"), files_of("kserve")].concat() {
        let unknown: Vec<_> = variables(&text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{file} sets {unknown:?}");
    }
}

#[test]
fn the_rule_of_the_operator_is_that_of_prometheus() {
    let rule = deployed("kubernetes/components/monitoring/prometheusrule.yaml");
    let (_, wrapped) = rule.split_once("\nspec:\n").unwrap();
    let indented = |line: &str| if line.is_empty() { "\n".into() } else { format!("  {line}\n") };
    let rules: String = deployed("prometheus/rules.yml").lines().map(indented).collect();
    assert!(wrapped == rules, "prometheusrule.yaml is another one: `make prometheus-rule`");
}

#[test]
fn clients_make_their_stubs_with_the_buf_that_the_protos_are_checked_with() {
    let makefile = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Makefile")).unwrap();
    let version = makefile.lines().find_map(|line| line.strip_prefix("BUF_VERSION := ")).unwrap();
    let scripts = deployed("clients/typescript/package.json");
    let used: Vec<_> = scripts.split("@bufbuild/buf@").skip(1).map(|rest| rest.split(' ').next().unwrap()).collect();
    assert!(!used.is_empty() && used.iter().all(|used| *used == version), "{used:?}, wanted {version}");
}
