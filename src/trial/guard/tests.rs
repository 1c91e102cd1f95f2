use std::time::SystemTime;

use super::*;
use crate::{
    cost::Took,
    registry::STABLE,
    trial::{
        Scored,
        chance::below,
        comparison::{Comparison, Pair},
        tests::{GMV, Rig, scaled},
    },
};

/// Rows in each second, each a request of its own: 180 for stable, 20 for the canary.
const ROWS: [u64; 2] = [180, 20];

const MILLI: Duration = Duration::from_millis(1);

/// What becomes of row number `row` of all.
#[derive(Clone, Copy)]
struct Fate {
    failed: bool,
    without_number: bool,
    latency: Duration,
}

/// Between one and three times as long as it says, and of two hundred one twenty times.
fn taking(about: Duration, row: u64) -> Fate {
    let spread =
        if below(row ^ 0x5eed, 0.005) { 20.0 } else { 1.0 + f64::from(u8::try_from(row * 7 % 200).unwrap()) / 100.0 };
    Fate { failed: false, without_number: false, latency: about.mul_f64(spread) }
}

/// A second of traffic, of which `fate` says what the canary makes of its rows.
fn second(rig: &Rig, [stable, canary]: [&Arc<Version>; 2], at: u64, fate: impl Fn(u64) -> Fate) {
    let one = |version: &Arc<Version>, fate: Fate, at: Duration| {
        let scored = Scored {
            frames: vec![bytes::Bytes::new()],
            outputs: version.encoder.empty_rows(0),
            failed: fate.failed.then(|| (0, "raised".to_owned())).into_iter().collect(),
            without_number: usize::from(fate.without_number),
            latency: fate.latency,
        };
        rig.trials.on_trial(version, scored, at);
    };
    let moment = |row: u64, rows: u64| {
        Duration::from_secs(at) + Duration::from_secs(1) * u32::try_from(row).unwrap() / u32::try_from(rows).unwrap()
    };
    for row in 0..ROWS[0] {
        one(stable, taking(MILLI, at * ROWS[0] + row), moment(row, ROWS[0]));
    }
    for row in 0..ROWS[1] {
        one(canary, fate(at * ROWS[1] + row), moment(row, ROWS[1]));
    }
}

/// The second in which a canary of such a fate is told of, and why; looked at once a
/// second for `seconds`.
fn told(versions: [Version; 2], seconds: u64, fate: impl Fn(u64) -> Fate) -> Option<(u64, Breach)> {
    let [stable, canary] = versions.map(Arc::new);
    let rig = Rig::new(&[(STABLE, Arc::clone(&stable), 90.0), (CANARY, Arc::clone(&canary), 10.0)]);
    told_by(&rig, [&stable, &canary], seconds, fate)
}

/// The same of versions whose passes cost the canary so many times as much.
fn told_costing(ratio: f64, seconds: u64, fate: impl Fn(u64) -> Fate) -> Option<(u64, Breach)> {
    let [stable, canary] = alike().map(Arc::new);
    let rig = Rig::new(&[(STABLE, Arc::clone(&stable), 90.0), (CANARY, Arc::clone(&canary), 10.0)]);
    let mut comparison = Comparison::new(&stable, &canary);
    comparison.add(Duration::ZERO, &[1.0], &[1.0]);
    comparison.passed(Took::undisturbed(MILLI), Took::undisturbed(MILLI.mul_f64(ratio)));
    let pair = Pair { model: GMV.into(), live: 1, other: 2 };
    let compared = comparison.compared(&pair, Duration::ZERO, SystemTime::UNIX_EPOCH);
    rig.trials.0.shared.compared.store(Arc::new([(GMV.to_owned(), compared)].into()));
    told_by(&rig, [&stable, &canary], seconds, fate)
}

fn told_by(
    rig: &Rig,
    [stable, canary]: [&Arc<Version>; 2],
    seconds: u64,
    fate: impl Fn(u64) -> Fate,
) -> Option<(u64, Breach)> {
    let mut guard = Guard::new(rig.trials.clone());
    (0..seconds).find_map(|at| {
        second(rig, [stable, canary], at, &fate);
        let breaches = guard.look_at(&rig.registry, Duration::from_secs(at + 1));
        breaches.into_iter().next().map(|breach| (at + 1, breach))
    })
}

fn alike() -> [Version; 2] {
    [scaled(1, 1.0), scaled(2, 1.0)]
}

/// Told within 30 s, with this in its reason.
fn within_half_a_minute(told: Option<(u64, Breach)>, reason: &str) {
    let (at, breach) = told.unwrap();
    assert!(at <= 30, "after {at} s");
    assert_eq!((breach.model.as_str(), breach.version), (GMV, 2));
    assert!(breach.broken.reason.contains(reason), "{}", breach.broken.reason);
}

#[test]
fn a_canary_that_raises_is_found() {
    let fate = |row| Fate { failed: true, ..taking(MILLI, row) };
    within_half_a_minute(told(alike(), 30, fate), "the error rate is 100 %");
}

#[test]
fn a_canary_that_gives_no_number_for_one_of_twenty_rows_is_found() {
    for seed in 0..20 {
        let fate = |row| Fate { without_number: below(row + seed * 100_000, 0.05), ..taking(MILLI, row) };
        within_half_a_minute(told(alike(), 30, fate), "no number");
    }
}

#[test]
fn a_canary_that_is_five_times_slower_is_found() {
    within_half_a_minute(told(alike(), 30, |row| taking(MILLI * 5, row)), "the p99 is");
}

#[test]
fn a_canary_that_costs_five_times_as_much_is_found_where_waiting_hides_it() {
    within_half_a_minute(told_costing(5.0, 30, |row| taking(MILLI, row)), "costs 5.0 ×");
}

#[test]
fn a_canary_as_good_as_stable_is_left_alone() {
    // With a failure now and then, and slow requests as stable has them.
    let fate = |row| Fate { failed: below(row, 0.002), without_number: below(row + 7, 0.002), ..taking(MILLI, row) };
    assert_eq!(told_costing(1.2, 3600, fate).map(|(at, breach)| (at, breach.broken.reason)), None);
}

#[test]
fn a_limit_must_be_broken_in_several_looks_in_a_row() {
    let [stable, canary] = alike().map(Arc::new);
    let rig = Rig::new(&[(STABLE, Arc::clone(&stable), 90.0), (CANARY, Arc::clone(&canary), 10.0)]);
    let mut guard = Guard::new(rig.trials.clone());
    let bad = |row| Fate { failed: true, ..taking(MILLI, row) };
    // A hundred rows are the least, which are there after five seconds.
    for at in 0..5 {
        second(&rig, [&stable, &canary], at, bad);
    }
    let mut look = |millis: u64| guard.look_at(&rig.registry, Duration::from_millis(millis)).len();
    assert_eq!([look(5000), look(6000)], [0, 0]);
    // Looks that follow each other at once are one.
    assert_eq!([look(6001), look(6100)], [0, 0]);
    assert_eq!(look(7000), 1);
    // It is told of again where it is still there.
    assert_eq!([look(8000), look(9000), look(10_000)], [0, 0, 1]);
    // Half a minute later nothing of it is left in the window.
    assert_eq!([look(11_000), look(12_000), look(40_000), look(41_000), look(42_000)], [0; 5]);
}

#[test]
fn nobody_is_judged_where_there_is_no_canary() {
    let stable = Arc::new(scaled(1, 1.0));
    let rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0)]);
    let mut guard = Guard::new(rig.trials.clone());
    assert_eq!(guard.look(&rig.registry), []);
}

#[test]
fn an_embedding_of_another_training_is_no_divergence() {
    use std::time::SystemTime;

    use crate::trial::Figures;

    let figures = |relative| Figures {
        rows: 500,
        mean: 0.0,
        mean_absolute: 0.0,
        deviation: 0.0,
        p50: 0.0,
        p90: 0.0,
        p99: 0.0,
        largest: 0.0,
        relative: Some(relative),
        rank_correlation: None,
        top_decile_overlap: None,
    };
    let head = |name: &str, other, relative| Compared {
        live: 1,
        other,
        head: name.into(),
        figures: figures(relative),
        window_rows: 4096,
        since: SystemTime::UNIX_EPOCH,
        latency_ratio: None,
        cost_ratio: None,
    };
    let compared = [head("age", 2, 0.1), head("embedding", 2, 3.0), head("home", 2, 0.2), head("age", 3, 9.0)];
    let [stable, canary] = [1, 2].map(|number| crate::trial::tests::portrait(number, 1.0));
    let found = divergence(&compared, &stable, &canary).unwrap();
    assert_eq!((found.head.as_str(), found.relative, found.rows), ("home", 0.2, 500));
}
