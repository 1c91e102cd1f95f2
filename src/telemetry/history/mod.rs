//! The last quarter of an hour, a point a second: since when is it as it is?
//!
//! It is told what was counted so far and keeps what came of it: rates, and
//! percentiles of what each second added. Plain data: no clock, no thread, no lock.
//!
//! A point is taken each second, also where nobody looks, and costs what a scrape costs
//! before its text: a quarter of a millisecond where ten models have three versions each
//! (release build), without what the system is asked of the process, which is read once
//! for all of its figures.
//!
//! A figure takes no memory before it is first something else than nothing, nor once
//! it was nothing for all of the time that is kept: most reasons of refusals never
//! come, and versions come and go.

mod buckets;
mod point;
mod reading;
mod series;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{
    point::point,
    series::{Series, is_nothing},
};
pub use self::{
    point::{Figure, Name},
    reading::Reading,
};

/// Points that are kept: 15 minutes. A figure takes 4 bytes of each, 3.6 kB in all, and
/// two models that are asked all the time have some 50 figures.
pub(super) const KEPT: usize = 900;

/// Most figures at a time, 3.7 MB with all their points. Names are of bounded sets, but
/// somebody may put a thousand versions into a folder.
const MOST: usize = 1024;

/// What figures of "lately" are of, at least, where so much has passed: readings are
/// kept for it in steps of [`STEP`].
const LATELY: Duration = Duration::from_secs(60);

/// See [`LATELY`].
const STEP: Duration = Duration::from_secs(10);

/// What was measured, over time.
#[derive(Default)]
pub struct History {
    /// When, in milliseconds since 1970.
    times: VecDeque<u64>,
    series: BTreeMap<Name, Series>,
    /// The number of the oldest point.
    first: u64,
    last: Option<Dated>,
    /// Some of the last readings, oldest first.
    steps: VecDeque<Dated>,
}

/// A reading, and when it was taken by a clock that nobody sets.
#[derive(Clone)]
struct Dated {
    at: Duration,
    reading: Arc<Reading>,
}

/// Some of the points.
#[derive(Debug, PartialEq)]
pub struct Stretch<'h> {
    /// The number of its first point. Points are counted from 0.
    pub first: u64,
    /// The number that the next point will have.
    pub next: u64,
    /// When each was taken, in milliseconds since 1970.
    pub times: Vec<u64>,
    /// The figures that are something in this stretch, with a value for each point.
    /// What was not measured is NaN.
    pub series: Vec<(&'h Name, Vec<f32>)>,
}

impl History {
    /// Takes in what was counted until `now`, which is `at` by a clock that nobody sets.
    pub fn add(&mut self, now: SystemTime, at: Duration, reading: Reading) {
        let taken = Dated { at, reading: Arc::new(reading) };
        if let Some(last) = &self.last {
            let figures = point(&last.reading, &taken.reading, at.saturating_sub(last.at));
            self.push(millis(now), figures);
        }
        self.step(&taken);
        self.last = Some(taken);
    }

    /// The points from this number on; all where it is none that was ever given, such as
    /// one of a server that was here before.
    pub fn since(&self, number: u64) -> Stretch<'_> {
        let next = self.first + self.times.len() as u64;
        let wanted = if number > next { 0 } else { number };
        let first = wanted.max(self.first);
        let skipped = usize::try_from(first - self.first).unwrap_or(usize::MAX);
        let series = self.series.iter().filter_map(|(name, series)| Some((name, series.since(skipped)?)));
        Stretch { first, next, times: self.times.iter().skip(skipped).copied().collect(), series: series.collect() }
    }

    /// The figures of about a minute up to the last point as a whole, and how long it was.
    pub fn lately(&self) -> (Duration, BTreeMap<Name, f32>) {
        let (Some(from), Some(last)) = (self.steps.front(), &self.last) else { return Default::default() };
        let took = last.at.saturating_sub(from.at);
        (took, point(&from.reading, &last.reading, took))
    }

    /// How many calls there were since the start, by method and code.
    pub fn calls(&self) -> BTreeMap<(String, String), u64> {
        self.last.as_ref().map(|last| last.reading.calls()).unwrap_or_default()
    }

    fn push(&mut self, now: u64, mut figures: BTreeMap<Name, f32>) {
        self.times.push_back(now);
        if self.times.len() > KEPT {
            self.times.pop_front();
            self.first += 1;
        }
        for (name, series) in &mut self.series {
            series.push(figures.remove(name));
        }
        self.series.retain(|_, series| !series.is_nothing());
        let room = MOST.saturating_sub(self.series.len());
        let points = self.times.len();
        // A gauge of 0 comes again each second, and must not be given room each time.
        let fresh = figures.into_iter().filter(|(_, value)| !is_nothing(*value)).take(room);
        self.series.extend(fresh.map(|(name, value)| {
            let blank = name.figure.blank();
            (name, Series::begun(blank, points, value))
        }));
    }

    /// Keeps a reading every [`STEP`], and the newest that is [`LATELY`] old.
    fn step(&mut self, taken: &Dated) {
        if self.steps.back().is_none_or(|last| taken.at.saturating_sub(last.at) >= STEP) {
            self.steps.push_back(taken.clone());
        }
        let old = |dated: &Dated| taken.at.saturating_sub(dated.at) >= LATELY;
        while self.steps.get(1).is_some_and(old) {
            self.steps.pop_front();
        }
    }
}

fn millis(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
