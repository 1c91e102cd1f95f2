//! What two versions answered to the same rows, for a sliding window.
//!
//! It keeps numbers only: no version, so that none stays in memory for being
//! compared.

mod figures;
mod order;

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use self::figures::Pairs;
use super::answers::Common;
use crate::{cost::Took, model::Version};

pub use figures::Figures;

/// Most rows in a window: enough for a 99th percentile of differences, few enough to
/// be sorted for each tag of a portrait within milliseconds.
const MOST_ROWS: usize = 4096;

/// Most numbers of one side of a window, 4 MB: versions with wide answers have fewer
/// rows. 4096 rows of 128 tags and coordinates.
const MOST_NUMBERS: usize = 1 << 19;

/// How long a row counts.
const MOST_AGE: Duration = Duration::from_secs(600);

/// How much of its weight a pass keeps with every later one, as in
/// [`crate::cost::Cost`].
const MEMORY: f64 = 0.99;

/// Two versions of a model, by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) model: String,
    /// The version that answers.
    pub(super) live: u64,
    /// The one that is compared with it.
    pub(super) other: u64,
}

/// What is known of one pair.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    /// Of both versions, live first.
    digests: [String; 2],
    common: Common,
    window: Window,
    speed: Speed,
}

/// The answers of both versions, row by row, all heads side by side.
#[derive(Debug, Clone, Default)]
struct Window {
    at: VecDeque<Duration>,
    live: VecDeque<f64>,
    other: VecDeque<f64>,
}

/// What the passes of both cost.
#[derive(Debug, Clone, Copy, Default)]
struct Speed {
    /// Seconds of each, live first: as they passed, and as the thread ran.
    wall: [f64; 2],
    running: [f64; 2],
}

/// How two versions differ in one head.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The number of the version that answers.
    pub live: u64,
    /// The number of the one that is compared with it.
    pub other: u64,
    /// `expected_gmv`, or the name of a portrait's group.
    pub head: String,
    /// How their answers differ.
    pub figures: Figures,
    /// Most rows that the window holds.
    pub window_rows: usize,
    /// When the oldest row in the window was answered.
    pub since: SystemTime,
    /// Time that a pass of the same rows takes, the other's by the live one's.
    pub latency_ratio: Option<f64>,
    /// The same in time that the thread runs.
    pub cost_ratio: Option<f64>,
}

impl Comparison {
    pub(super) fn new(live: &Version, other: &Version) -> Self {
        Self::of(Common::new(live, other), [live, other].map(|version| version.digest.clone()))
    }

    fn of(common: Common, digests: [String; 2]) -> Self {
        Self { digests, common, window: Window::default(), speed: Speed::default() }
    }

    /// Whether it is of these two, and not of others by the same numbers.
    pub(super) fn is_of(&self, live: &Version, other: &Version) -> bool {
        self.digests.iter().eq([&live.digest, &other.digest])
    }

    /// Takes in the answers to one row that was scored at `at`.
    pub(super) fn add(&mut self, at: Duration, live: &[f64], other: &[f64]) {
        let Some((live, other)) = self.common.of_row(live, other) else { return };
        self.window.forget(at.saturating_sub(MOST_AGE), self.most_rows().saturating_sub(1));
        self.window.at.push_back(at);
        self.window.live.extend(live);
        self.window.other.extend(other);
    }

    /// Takes in what the same rows took in a pass of each version.
    pub(super) fn passed(&mut self, live: Took, other: Took) {
        let keep = |sums: &mut [f64; 2], new: [Duration; 2]| {
            for (sum, new) in sums.iter_mut().zip(new) {
                *sum = *sum * MEMORY + new.as_secs_f64();
            }
        };
        keep(&mut self.speed.wall, [live.wall, other.wall]);
        keep(&mut self.speed.running, [live.running, other.running]);
    }

    /// When the last row was taken in.
    pub(super) fn last(&self) -> Option<Duration> {
        self.window.at.back().copied()
    }

    /// Forgets what is too old at `at`; whether there was any.
    pub(super) fn forget(&mut self, at: Duration) -> bool {
        let before = self.window.at.len();
        self.window.forget(at.saturating_sub(MOST_AGE), MOST_ROWS);
        self.window.at.len() < before
    }

    /// The figures of each head, where there is a row. `at` is `now`.
    pub(super) fn compared(&self, pair: &Pair, at: Duration, now: SystemTime) -> Vec<Compared> {
        let Some(oldest) = self.window.at.front() else { return Vec::new() };
        let since = now.checked_sub(at.saturating_sub(*oldest)).unwrap_or(now);
        let heads = self.common.heads().filter_map(|(head, columns)| {
            Some(Compared {
                live: pair.live,
                other: pair.other,
                head: head.to_owned(),
                figures: self.window.pairs(columns, self.common.width()).figures()?,
                window_rows: self.most_rows(),
                since,
                latency_ratio: ratio(self.speed.wall),
                cost_ratio: ratio(self.speed.running),
            })
        });
        heads.collect()
    }

    fn most_rows(&self) -> usize {
        (MOST_NUMBERS / self.common.width().max(1)).clamp(1, MOST_ROWS)
    }
}

impl Window {
    /// Drops rows that are older than `before`, and the oldest beyond `most`.
    fn forget(&mut self, before: Duration, most: usize) {
        let rows = self.at.len();
        let old = self.at.iter().take_while(|at| **at < before).count();
        let gone = old.max(rows.saturating_sub(most));
        if gone > 0 {
            let numbers = self.live.len() / rows * gone;
            self.at.drain(..gone);
            self.live.drain(..numbers);
            self.other.drain(..numbers);
        }
    }

    /// Some columns of all.
    fn pairs(&self, columns: std::ops::Range<usize>, width: usize) -> Pairs {
        let cut = |numbers: &VecDeque<f64>| {
            let rows = (0..self.at.len()).map(|row| row * width);
            let all = rows.flat_map(|row| columns.clone().filter_map(move |column| numbers.get(row + column)));
            all.copied().collect()
        };
        Pairs { width: columns.len(), live: cut(&self.live), other: cut(&self.other) }
    }
}

fn ratio([live, other]: [f64; 2]) -> Option<f64> {
    (other > 0.0 && live > 0.0).then(|| other / live)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pair() -> Pair {
        Pair { model: "m".into(), live: 1, other: 2 }
    }

    fn compared(comparison: &Comparison) -> Vec<Compared> {
        comparison.compared(&pair(), SECOND * 700, SystemTime::UNIX_EPOCH + SECOND * 10_000)
    }

    fn of_names(live: &[(&str, &str)], other: &[(&str, &str)]) -> Comparison {
        Comparison::of(Common::of_names(live, other), [String::new(), String::new()])
    }

    fn gmv() -> Comparison {
        of_names(&[("expected_gmv", "")], &[("expected_gmv", "")])
    }

    #[test]
    fn rows_count_for_ten_minutes() {
        let mut comparison = gmv();
        comparison.add(SECOND * 50, &[1.0], &[100.0]);
        comparison.add(SECOND * 200, &[1.0], &[3.0]);
        comparison.add(SECOND * 700, &[1.0], &[2.0]);
        let found = compared(&comparison);
        assert_eq!((found[0].figures.rows, found[0].figures.mean), (2, 1.5));
        assert_eq!(found[0].since, SystemTime::UNIX_EPOCH + SECOND * 9500);
        assert!(comparison.forget(SECOND * 1000));
        assert_eq!(compared(&comparison)[0].figures.mean, 1.0);
        assert!(!comparison.forget(SECOND * 1300));
        assert!(comparison.forget(SECOND * 1301));
        assert_eq!((compared(&comparison), comparison.last()), (vec![], None));
    }

    #[test]
    fn the_last_rows_count_and_wide_answers_have_fewer() {
        let mut comparison = gmv();
        (0..5000).for_each(|row| comparison.add(SECOND, &[0.0], &[f64::from(row)]));
        let figures = &compared(&comparison)[0].figures;
        assert_eq!((figures.rows, figures.largest, figures.mean), (4096, 4999.0, f64::midpoint(904.0, 4999.0)));

        let names: Vec<String> = (0..1024).map(|column| column.to_string()).collect();
        let names: Vec<(&str, &str)> = names.iter().map(|name| ("embedding", name.as_str())).collect();
        let mut wide = of_names(&names, &names);
        (0..600).for_each(|_| wide.add(SECOND, &[1.0; 1024], &[1.0; 1024]));
        assert_eq!(compared(&wide)[0].figures.rows, 512);
    }

    #[test]
    fn each_head_is_compared_for_itself_over_the_tags_that_both_know() {
        let live = [("age", "young"), ("age", "old"), ("home", "yes"), ("gone", "x")];
        let other = [("home", "yes"), ("age", "old"), ("age", "young"), ("age", "other"), ("new", "y")];
        let mut comparison = of_names(&live, &other);
        comparison.add(SECOND, &[0.25, 0.75, 0.5, 9.0], &[0.75, 0.5, 0.25, 0.25, 9.0]);
        let found: Vec<_> =
            compared(&comparison).into_iter().map(|head| (head.head, head.figures.mean_absolute)).collect();
        assert_eq!(found, [("age".to_owned(), 0.125), ("home".to_owned(), 0.25)]);
    }

    #[test]
    fn ratios_are_of_the_last_passes() {
        let mut comparison = gmv();
        comparison.add(SECOND, &[1.0], &[1.0]);
        assert_eq!((compared(&comparison)[0].latency_ratio, compared(&comparison)[0].cost_ratio), (None, None));
        let (live, other) = (Took::undisturbed(SECOND), Took { wall: SECOND * 2, running: SECOND * 3 });
        (0..1000).for_each(|_| comparison.passed(live, other));
        let found = &compared(&comparison)[0];
        assert!((found.latency_ratio.unwrap() - 2.0).abs() < 1e-9);
        assert!((found.cost_ratio.unwrap() - 3.0).abs() < 1e-9);
    }
}
