//! Whether a canary keeps its limits: figures in, a sentence out.
//!
//! Few rows say little, so a rate must be above its limit by more than chance
//! explains, as far as that can be said of so many rows. Some rows no version can answer,
//! so it must be above that of the stable version too.

use std::time::Duration;

use crate::{
    registry::{Broken, GuardLimit, GuardLimits},
    trial::health::Seen,
};

/// How many standard deviations above what the limit allows a rate must be. A canary
/// at a third of its limit breaks it by chance in one of some thousand windows.
const RATE_DEVIATIONS: f64 = 2.0;

/// Above the stable version's rate it must be by more: rows of one request fail together.
const BESIDE_DEVIATIONS: f64 = 4.0;

/// Of slow requests it must be more: one that holds a core up slows several.
const SLOW_DEVIATIONS: f64 = 4.0;

/// Which share of requests may be slower than the 99th percentile.
const SLOW_SHARE: f64 = 0.01;

/// What is known of a canary and of the version beside it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// What the canary did in the window.
    pub canary: Seen,
    /// What the stable version did.
    pub stable: Seen,
    /// What a row in a pass costs, the canary's by the stable one's.
    pub cost_ratio: Option<f64>,
    /// How far the canary's answers are from those of the stable version.
    pub divergence: Option<Divergence>,
}

/// The head in which a canary's answers differ most.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// Its name.
    pub head: String,
    /// The sum of the absolute differences by that of the stable version's answers.
    pub relative: f64,
    /// Rows that both answered.
    pub rows: u64,
}

/// The first limit that the canary breaks; `None` where it keeps them all or where too few
/// rows were seen.
pub fn broken(limits: &GuardLimits, found: &Evidence) -> Option<Broken> {
    if !limits.enabled || found.canary.rows < limits.min_rows.max(1) {
        return None;
    }
    let (failed, not_finite) = (|seen: &Seen| seen.failed, |seen: &Seen| seen.without_number);
    let no_number = "the rate of answers that are no number";
    let is = |limit: GuardLimit| move |reason: String| Broken { limit, reason };
    let lately =
        |limit: GuardLimit| move |reason| Broken { limit, reason: format!("{reason}, in {:?}", limits.window) };
    rate("the error rate", found, failed, limits.max_error_rate)
        .map(lately(GuardLimit::ErrorRate))
        .or_else(|| {
            rate(no_number, found, not_finite, limits.max_non_finite_rate).map(lately(GuardLimit::NonFiniteRate))
        })
        .or_else(|| slow(limits, found).map(lately(GuardLimit::P99Ratio)))
        .or_else(|| expensive(limits, found).map(is(GuardLimit::CostRatio)))
        .or_else(|| far_away(limits, found).map(is(GuardLimit::Divergence)))
}

/// A sentence where more of the canary's rows are `bad` than `limit` and chance explain,
/// and more than stable's.
fn rate(what: &str, found: &Evidence, bad: impl Fn(&Seen) -> u64, limit: f64) -> Option<String> {
    let (bad, rows, theirs) = (bad(&found.canary), found.canary.rows, bad(&found.stable));
    let share = bad as f64 / rows as f64;
    let limited = format!("at most {} % are allowed", percent(limit));
    (is_more(bad, rows, limit, RATE_DEVIATIONS) && is_worse([bad, rows], [theirs, found.stable.rows]))
        .then(|| format!("{what} is {} %, {limited}: {bad} of {rows} rows", percent(share)))
}

/// Whether so many of the canary's rows are more than stable's make expected, which are
/// as much by chance as these. Where stable had no rows, or no bad ones, any are.
fn is_worse([bad, rows]: [u64; 2], [theirs, of]: [u64; 2]) -> bool {
    let ratio = rows as f64 / of.max(1) as f64;
    let expected = theirs as f64 * ratio;
    bad as f64 > expected + BESIDE_DEVIATIONS * (expected * (1.0 + ratio)).sqrt()
}

/// Whether so many of `all` are more than `share` of them, by so many standard
/// deviations (of a Poisson distribution).
fn is_more(found: u64, all: u64, share: f64, deviations: f64) -> bool {
    let expected = all as f64 * share;
    found as f64 > expected + deviations * expected.sqrt()
}

/// Two digits after the point.
fn percent(share: f64) -> f64 {
    (share * 1e4).round() / 1e2
}

/// Not the ratio of two percentiles, of which the canary's would be that of its one
/// or two slowest requests: more of them than one in a hundred must be slower than
/// the limit.
fn slow(limits: &GuardLimits, found: &Evidence) -> Option<String> {
    let (canary, stable) = (&found.canary.latencies, &found.stable.latencies);
    let enough = limits.min_rows.max(1);
    if canary.count() < enough || stable.count() < enough {
        return None;
    }
    let (ours, theirs) = (canary.percentile(0.99)?, stable.percentile(0.99)?);
    let most = Duration::try_from_secs_f64(theirs.as_secs_f64() * limits.max_p99_ratio).unwrap_or(Duration::MAX);
    let above = canary.above(most);
    (ours > most && is_more(above, canary.count(), SLOW_SHARE, SLOW_DEVIATIONS)).then(|| {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        format!(
            "the p99 is {ratio:.1} × that of stable ({ours:.1?} by {theirs:.1?}), at most {} × is allowed: \
             {above} of {} requests took longer",
            limits.max_p99_ratio,
            canary.count()
        )
    })
}

fn expensive(limits: &GuardLimits, found: &Evidence) -> Option<String> {
    let ratio = found.cost_ratio.filter(|ratio| *ratio > limits.max_cost_ratio)?;
    let rows = found.canary.rows;
    Some(format!(
        "a pass costs {ratio:.1} × that of the same rows by stable, at most {} × is allowed: {rows} rows",
        limits.max_cost_ratio
    ))
}

fn far_away(limits: &GuardLimits, found: &Evidence) -> Option<String> {
    let (most, found) = (limits.max_divergence?, found.divergence.as_ref()?);
    let (relative, head, rows) = (found.relative, &found.head, found.rows);
    (relative > most && rows >= limits.min_rows).then(|| {
        format!(
            "the answers of {head} differ by {} % from those of stable, at most {} % are allowed: {rows} rows",
            percent(relative),
            percent(most)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::latencies::bucket;

    fn seen(rows: u64, failed: u64, without_number: u64) -> Seen {
        Seen { rows, failed, without_number, ..Seen::default() }
    }

    /// So many requests of 1 ms, and so many that took longer.
    fn requests(fast: u64, slow: u64, millis: u64) -> Seen {
        let mut seen = seen(fast + slow, 0, 0);
        seen.latencies.add(bucket(Duration::from_millis(1)), fast);
        seen.latencies.add(bucket(Duration::from_millis(millis)), slow);
        seen
    }

    fn of(canary: Seen) -> Option<String> {
        said(&GuardLimits::default(), &Evidence { canary, ..Evidence::default() })
    }

    fn said(limits: &GuardLimits, found: &Evidence) -> Option<String> {
        broken(limits, found).map(|broken| broken.reason)
    }

    #[test]
    fn rates_above_their_limits_are_told_with_their_figures() {
        assert_eq!(
            of(seen(600, 30, 0)).unwrap(),
            "the error rate is 5 %, at most 1 % are allowed: 30 of 600 rows, in 30s"
        );
        assert_eq!(
            of(seen(600, 6, 30)).unwrap(),
            "the rate of answers that are no number is 5 %, at most 1 % are allowed: 30 of 600 rows, in 30s"
        );
        assert_eq!(of(seen(600, 6, 6)), None);
    }

    #[test]
    fn few_rows_are_not_judged_and_chance_breaks_no_limit() {
        assert_eq!(of(seen(99, 99, 0)), None);
        // 2 of 100 are above 1 %, and nothing that a canary at 0.5 % would not show.
        assert_eq!(of(seen(100, 2, 0)), None);
        assert!(of(seen(100, 4, 0)).is_some());
        let none = GuardLimits { max_error_rate: 0.0, ..GuardLimits::default() };
        assert!(broken(&none, &Evidence { canary: seen(100, 1, 0), ..Evidence::default() }).is_some());
    }

    #[test]
    fn rows_that_stable_can_not_answer_either_are_not_the_canarys_fault() {
        let judged = |canary, stable| {
            broken(&GuardLimits::default(), &Evidence { canary, stable, ..Evidence::default() }).is_some()
        };
        // A tenth of all rows, which are out of a table's range or no number.
        assert!(!judged(seen(600, 60, 0), seen(5400, 540, 0)));
        assert!(!judged(seen(600, 0, 75), seen(5400, 0, 540)));
        assert!(judged(seen(600, 120, 0), seen(5400, 540, 0)));
        assert!(judged(seen(600, 60, 0), seen(5400, 54, 540)), "stable's failures are others");
        // Few rows of stable say little of what to expect.
        assert!(!judged(seen(5400, 540, 0), seen(100, 8, 0)));
        assert!(judged(seen(5400, 540, 0), seen(0, 0, 0)));
    }

    #[test]
    fn a_guard_that_is_switched_off_finds_nothing() {
        let off = GuardLimits { enabled: false, ..GuardLimits::default() };
        assert_eq!(broken(&off, &Evidence { canary: seen(600, 600, 0), ..Evidence::default() }), None);
    }

    #[test]
    fn a_slow_canary_is_found_and_a_few_slow_requests_are_not() {
        let judged =
            |canary, stable| said(&GuardLimits::default(), &Evidence { canary, stable, ..Evidence::default() });
        let said = judged(requests(0, 600, 5), requests(5000, 0, 0)).unwrap();
        assert!(said.starts_with("the p99 is 5."), "{said}");
        assert!(said.ends_with("at most 3 × is allowed: 600 of 600 requests took longer, in 30s"), "{said}");
        // Two of a hundred: their percentile is 50 times the other's, and says nothing.
        assert_eq!(judged(requests(98, 2, 50), requests(5000, 0, 0)), None);
        assert!(judged(requests(550, 50, 50), requests(5000, 0, 0)).is_some());
        assert_eq!(judged(requests(0, 600, 2), requests(5000, 0, 0)), None);
        assert_eq!(judged(requests(0, 600, 5), requests(99, 0, 0)), None);
    }

    #[test]
    fn cost_and_divergence_are_told_with_their_figures() {
        let limits = GuardLimits { max_divergence: Some(0.2), ..GuardLimits::default() };
        let divergence = |relative, rows| Some(Divergence { head: "expected_gmv".into(), relative, rows });
        let judged = |cost_ratio, divergence| {
            said(&limits, &Evidence { canary: seen(600, 0, 0), stable: Seen::default(), cost_ratio, divergence })
        };
        assert_eq!(
            judged(Some(5.04), None).unwrap(),
            "a pass costs 5.0 × that of the same rows by stable, at most 3 × is allowed: 600 rows"
        );
        assert_eq!(
            judged(Some(2.9), divergence(0.25, 300)).unwrap(),
            "the answers of expected_gmv differ by 25 % from those of stable, at most 20 % are allowed: 300 rows"
        );
        assert_eq!(judged(None, divergence(0.25, 99)), None);
        assert_eq!(judged(None, divergence(0.2, 300)), None);
    }
}
