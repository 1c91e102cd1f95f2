use super::*;
use crate::telemetry::{Metrics, Pass, Reason, RowsOutcome};

const SECOND: Duration = Duration::from_secs(1);

/// Once a second.
struct Clock(u64);

impl Clock {
    fn tick(&mut self, history: &mut History, reading: Reading) {
        let at = SECOND * u32::try_from(self.0).unwrap();
        history.add(UNIX_EPOCH + SECOND * 1000 + at, at, reading);
        self.0 += 1;
    }
}

fn value(figures: &BTreeMap<Name, f32>, figure: Figure) -> f32 {
    figures.iter().find(|(name, _)| name.figure == figure).map_or(f32::NAN, |(_, value)| *value)
}

fn last(history: &History) -> BTreeMap<Name, f32> {
    let stretch = history.since(history.since(0).next - 1);
    stretch.series.into_iter().map(|(name, values)| (name.clone(), values[0])).collect()
}

fn calls(count: f64) -> Reading {
    let name = Name::new(Figure::Calls, "a.B/C".into()).by("OK".into());
    Reading { counts: [(name, count)].into(), ..Reading::default() }
}

#[test]
fn a_second_is_what_it_added() {
    let (metrics, exposition) = Metrics::new().unwrap();
    let (mut history, mut clock) = (History::default(), Clock(0));
    metrics.observe_queue(|| vec![("gmv".into(), 12)]);
    metrics.rows("gmv", 3, RowsOutcome::Ok, 1000);
    clock.tick(&mut history, exposition.reading());
    assert_eq!(history.since(0).times, Vec::<u64>::new(), "one reading says nothing of a second");

    metrics.rows("gmv", 3, RowsOutcome::Ok, 40);
    metrics.shed("gmv", Reason::QueueFull, 7);
    metrics.request("a.B/C", "OK", Duration::from_millis(30));
    metrics.waited("gmv", Duration::from_micros(150));
    for rows in [4, 8] {
        metrics.pass(&Pass { model: "gmv", version: 3, rows, compute: Duration::from_millis(3), late_rows: 0 });
    }
    clock.tick(&mut history, exposition.reading());
    let found = last(&history);
    assert_eq!(value(&found, Figure::Rows), 40.0);
    assert_eq!(value(&found, Figure::Shed), 7.0);
    assert_eq!(value(&found, Figure::Calls), 1.0);
    assert_eq!(value(&found, Figure::Requests), 1.0);
    assert_eq!(value(&found, Figure::BatchRows), 6.0);
    assert_eq!(value(&found, Figure::QueueRows), 12.0);
    assert_eq!(value(&found, Figure::CallP50), 0.035);
    assert_eq!(value(&found, Figure::WaitP99), 0.000_199);
    let compute = found.iter().find(|(name, _)| name.figure == Figure::ComputeP99).unwrap();
    assert_eq!((compute.0.version, *compute.1), (Some(3), 0.004_97));
    assert_eq!(found.keys().filter(|name| name.figure == Figure::Shed).count(), 1, "one reason of six");
    assert_eq!(history.calls(), [(("a.B/C".to_owned(), "OK".to_owned()), 1)].into());
}

#[test]
fn a_reading_that_comes_late_is_a_rate_of_the_time_that_passed() {
    let mut history = History::default();
    history.add(UNIX_EPOCH, Duration::ZERO, calls(10.0));
    history.add(UNIX_EPOCH, SECOND * 4, calls(30.0));
    assert_eq!(value(&last(&history), Figure::Calls), 5.0);
    history.add(UNIX_EPOCH, SECOND * 4, calls(30.0));
    assert!(last(&history).is_empty(), "no time, no rate");
}

#[test]
fn the_last_quarter_of_an_hour_is_kept_and_no_more() {
    let (mut history, mut clock) = (History::default(), Clock(0));
    for second in 0..2000_u32 {
        clock.tick(&mut history, calls(f64::from(second * second)));
    }
    let all = history.since(0);
    assert_eq!((all.first, all.next, all.times.len()), (1999 - 900, 1999, 900));
    assert_eq!((all.times[0], all.times[899]), (2_100_000, 2_999_000));
    assert_eq!(all.series[0].1.len(), 900);
    assert_eq!(all.series[0].1[899], 3997.0);
}

#[test]
fn who_comes_back_gets_what_is_new() {
    let (mut history, mut clock) = (History::default(), Clock(0));
    (0..10).for_each(|second| clock.tick(&mut history, calls(f64::from(second))));
    let all = history.since(0);
    assert_eq!((all.first, all.next), (0, 9));
    let new = history.since(7);
    assert_eq!((new.first, new.times.len(), new.series[0].1.as_slice()), (7, 2, [1.0, 1.0].as_slice()));
    assert!(history.since(9).series.is_empty() && history.since(9).times.is_empty());
    assert_eq!(history.since(5000), all, "a number of another server");
}

#[test]
fn a_figure_begins_when_it_is_something_and_is_forgotten_when_it_was_not_for_long() {
    let (mut history, mut clock) = (History::default(), Clock(0));
    (0..5).for_each(|_| clock.tick(&mut history, calls(3.0)));
    assert!(history.since(0).series.is_empty(), "nothing happened since the first reading");
    clock.tick(&mut history, calls(4.0));
    assert_eq!(history.since(0).series[0].1, [0.0, 0.0, 0.0, 0.0, 1.0]);
    (0..899).for_each(|_| clock.tick(&mut history, calls(4.0)));
    assert_eq!(history.series.len(), 1);
    clock.tick(&mut history, calls(4.0));
    assert!(history.series.is_empty());
}

#[test]
fn figures_are_bounded() {
    let (mut history, mut clock) = (History::default(), Clock(0));
    let reading = |factor: f64| {
        let of_version = |version| Name::new(Figure::Rows, "gmv".into()).version(version).by("ok".into());
        let counts = (0..5000_u32).map(|version| (of_version(version.into()), f64::from(version + 1) * factor));
        Reading { counts: counts.collect(), ..Reading::default() }
    };
    (1..5).for_each(|second| clock.tick(&mut history, reading(second.into())));
    assert_eq!(history.since(0).series.len(), MOST);
}

#[test]
fn lately_is_about_a_minute_as_a_whole() {
    let (mut history, mut clock) = (History::default(), Clock(0));
    assert_eq!(history.lately(), (Duration::ZERO, BTreeMap::new()));
    clock.tick(&mut history, calls(0.0));
    (1..=5).for_each(|second| clock.tick(&mut history, calls(f64::from(second) * 3.0)));
    let (took, found) = history.lately();
    assert_eq!((took, value(&found, Figure::Calls)), (SECOND * 5, 3.0));
    (6..=200).for_each(|second| clock.tick(&mut history, calls(f64::from(second) * 3.0)));
    let (took, found) = history.lately();
    assert!((SECOND * 60..SECOND * 70).contains(&took), "{took:?}");
    assert_eq!(value(&found, Figure::Calls), 3.0);
    assert!(history.steps.len() <= 8, "{}", history.steps.len());
}

#[test]
fn latencies_of_a_model_are_read_where_they_are_measured() {
    use opentelemetry::{KeyValue, metrics::MeterProvider as _};
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).without_units().build();
    let provider = opentelemetry_sdk::metrics::SdkMeterProvider::builder().with_reader(exporter.unwrap()).build();
    let scoring = provider.meter("souk").f64_histogram("souk_scoring_seconds").with_boundaries(vec![0.1, 0.2]).build();
    let of_lane = |lane| [KeyValue::new("model", "gmv"), KeyValue::new("lane", lane)];
    let read = || Reading::of(&registry.gather());
    let (mut history, mut clock) = (History::default(), Clock(0));
    clock.tick(&mut history, read());
    scoring.record(0.15, &of_lane("inline"));
    scoring.record(0.15, &of_lane("runner"));
    clock.tick(&mut history, read());
    let found = last(&history);
    assert_eq!((value(&found, Figure::Requests), value(&found, Figure::P50)), (2.0, 0.15));
}
