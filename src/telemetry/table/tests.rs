use super::*;

#[test]
fn names_end_as_kind_and_unit_want() {
    for Metric { name, kind, unit, .. } in METRICS {
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        let base = name.trim_end_matches("_total");
        assert_eq!(base.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
        let of_bytes = base.ends_with("_bytes") || base.ends_with("_bytes_limit");
        assert_eq!(of_bytes, *unit == Unit::Bytes, "{name}");
        assert!(name.starts_with("souk_") || name.starts_with("process_"), "{name}");
    }
}

#[test]
fn every_metric_is_there_once_and_says_in_one_line_what_it_tells() {
    for (index, metric) in METRICS.iter().enumerate() {
        assert!(METRICS.iter().skip(index + 1).all(|other| other.name != metric.name), "{}", metric.name);
        assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '|', '"', '\\']), "{}", metric.name);
    }
}

#[test]
fn bounds_ascend() {
    for metric in METRICS {
        assert!(metric.bounds().is_sorted_by(|one, next| one < next), "{}", metric.name);
    }
}
