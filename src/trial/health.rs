//! How a version did lately: rows, those that it failed on, and how long requests
//! took, in slots of a second.
//!
//! It is written on the way of requests, so it takes no lock: where a slot is being
//! emptied for a new second, the one or two requests that come at this very moment
//! are left out. It judges nothing; [`super::guard`] does.

use std::{
    fmt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::telemetry::{BUCKETS, Latencies, bucket};

/// The longest window that can be read, in seconds: the longest of
/// `guard.window`. With its buckets a version takes half a megabyte.
const SLOTS: u64 = 600;

/// The second of a slot that is being emptied.
const EMPTYING: u64 = u64::MAX;

/// What one version did, for the last ten minutes.
pub(super) struct Health {
    slots: Box<[Slot]>,
}

/// One second.
struct Slot {
    /// Which one, counted from 1; 0 for none yet.
    second: AtomicU64,
    rows: AtomicU64,
    failed: AtomicU64,
    without_number: AtomicU64,
    latencies: [AtomicU32; BUCKETS],
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Rows that the version was asked for.
    pub(super) rows: u64,
    /// Those that it failed on.
    pub(super) failed: u64,
    /// Those that it answered with something that is no number.
    pub(super) without_number: u64,
    /// From admission to outputs; `None` where it gave none.
    pub(super) latency: Option<Duration>,
}

/// What a version did in a window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Rows that it was asked for.
    pub rows: u64,
    /// Those that it failed on.
    pub failed: u64,
    /// Those that it answered with something that is no number.
    pub without_number: u64,
    /// How long its requests took, from admission to outputs.
    pub latencies: Latencies,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::new()).collect() }
    }

    /// Counts a request that ended at `at`.
    pub(super) fn count(&self, at: Duration, request: &Request) {
        let second = second(at);
        let Some(slot) = self.slot(second).filter(|slot| slot.is_of(second)) else { return };
        slot.rows.fetch_add(request.rows, Ordering::Relaxed);
        if request.failed > 0 {
            slot.failed.fetch_add(request.failed, Ordering::Relaxed);
        }
        if request.without_number > 0 {
            slot.without_number.fetch_add(request.without_number, Ordering::Relaxed);
        }
        let counted = request.latency.and_then(|latency| slot.latencies.get(bucket(latency)));
        if let Some(counted) = counted {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What there was in the seconds of the `window` that ends at `at`, the one that
    /// has just begun included.
    pub(super) fn read(&self, at: Duration, window: Duration) -> Seen {
        let last = second(at);
        let first = (last + 1).saturating_sub(window.as_secs().clamp(1, SLOTS)).max(1);
        let mut seen = Seen::default();
        (first..=last).filter_map(|second| self.slot(second).map(|slot| (second, slot))).for_each(|(second, slot)| {
            slot.add_to(second, &mut seen);
        });
        seen
    }

    fn slot(&self, second: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(second % SLOTS).ok()?)
    }
}

/// Counted from 1.
fn second(at: Duration) -> u64 {
    at.as_secs() + 1
}

impl Slot {
    fn new() -> Self {
        Self {
            second: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            without_number: AtomicU64::new(0),
            latencies: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }

    /// Whether it counts for this second, for which it is emptied where it was of
    /// another one.
    fn is_of(&self, second: u64) -> bool {
        let found = self.second.load(Ordering::Acquire);
        if found == second {
            return true;
        }
        // Who was held up for ten minutes must not take the slot back.
        let older = found != EMPTYING && found < second;
        let mine = || self.second.compare_exchange(found, EMPTYING, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if !older || !mine() {
            return false;
        }
        let counts = [&self.rows, &self.failed, &self.without_number];
        counts.into_iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.latencies.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.second.store(second, Ordering::Release);
        true
    }

    fn add_to(&self, second: u64, seen: &mut Seen) {
        if self.second.load(Ordering::Acquire) != second {
            return;
        }
        seen.rows += self.rows.load(Ordering::Relaxed);
        seen.failed += self.failed.load(Ordering::Relaxed);
        seen.without_number += self.without_number.load(Ordering::Relaxed);
        for (bucket, count) in self.latencies.iter().enumerate() {
            seen.latencies.add(bucket, count.load(Ordering::Relaxed).into());
        }
    }
}

impl Seen {
    /// The 99th percentile of its requests' latencies, to within 4.5 %.
    pub fn p99(&self) -> Option<Duration> {
        self.latencies.percentile(0.99)
    }

    /// Which share of its rows it failed on; 0 where there was none.
    pub fn error_rate(&self) -> f64 {
        self.share(self.failed)
    }

    /// Which share of its rows it answered with something that is no number.
    pub fn non_finite_rate(&self) -> f64 {
        self.share(self.without_number)
    }

    fn share(&self, rows: u64) -> f64 {
        if self.rows == 0 { 0.0 } else { rows as f64 / self.rows as f64 }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn request(rows: u64, millis: u64) -> Request {
        Request { rows, failed: 0, without_number: 0, latency: Some(Duration::from_millis(millis)) }
    }

    #[test]
    fn a_window_slides() {
        let health = Health::new();
        for second in 0..100 {
            health.count(SECOND * second, &request(1, 3));
        }
        assert_eq!(health.read(SECOND * 99, SECOND * 30).rows, 30);
        assert_eq!(health.read(SECOND * 110, SECOND * 30).rows, 19);
        assert_eq!(health.read(SECOND * 129, SECOND * 30).rows, 0);
        // Ten minutes later the same slots are those of other seconds.
        health.count(SECOND * 650, &request(7, 3));
        assert_eq!(health.read(SECOND * 650, SECOND * 600).rows, 49 + 7);
    }

    #[test]
    fn who_comes_with_an_old_moment_takes_no_slot_back() {
        let health = Health::new();
        health.count(SECOND * 601, &request(5, 3));
        health.count(SECOND, &request(2, 3));
        assert_eq!(health.read(SECOND * 601, SECOND * 600).rows, 5);
    }

    #[test]
    fn rates_and_percentiles_are_of_the_window() {
        let health = Health::new();
        for row in 0..200_u64 {
            let latency = Some(Duration::from_millis(if row < 195 { 2 } else { 40 }));
            let request = Request {
                rows: 1,
                failed: u64::from(row % 10 == 0),
                without_number: u64::from(row % 20 == 1),
                latency,
            };
            health.count(SECOND * 5, &request);
        }
        let seen = health.read(SECOND * 6, SECOND * 10);
        assert_eq!((seen.rows, seen.error_rate(), seen.non_finite_rate()), (200, 0.1, 0.05));
        let p99 = seen.p99().unwrap().as_secs_f64();
        assert!((p99 / 0.04 - 1.0).abs() < 0.09, "{p99} s");
        assert_eq!(seen.latencies.above(Duration::from_millis(10)), 5);
        assert_eq!(health.read(SECOND * 60, SECOND * 10), Seen::default());
    }

    #[test]
    fn threads_count_into_one_slot() {
        let health = Health::new();
        health.count(SECOND, &request(1, 1));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| health.count(SECOND, &request(2, 1))));
            }
        });
        let seen = health.read(SECOND, SECOND);
        assert_eq!((seen.rows, seen.latencies.count()), (8001, 4001));
    }
}
