//! What a version has done since it is in memory: requests, rows and passes, and where
//! their time went. Counters that only grow; reading them takes no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Counts of one version.
#[derive(Debug, Default)]
pub struct Served {
    answered: Sum,
    failed: Sum,
    rows: AtomicU64,
    passes: AtomicU64,
    queue_nanos: AtomicU64,
    compute_nanos: AtomicU64,
    last_pass_millis: AtomicU64,
}

/// A request that was answered in all of its rows.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// How many rows it had.
    pub rows: usize,
    /// From admission to outputs.
    pub took: Duration,
    /// How long its rows waited.
    pub queue: Duration,
    /// The passes that it had a part in.
    pub compute: Duration,
}

/// Requests, and the time that they took together.
#[derive(Debug, Default)]
struct Sum {
    count: AtomicU64,
    nanos: AtomicU64,
}

/// [`Served`] as read at a moment, field after field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Requests that were answered in all of their rows, and the nanoseconds that they took.
    pub answered: (u64, u64),
    /// All others, and the nanoseconds until they were refused, given up or had failed.
    pub failed: (u64, u64),
    /// Rows that were answered.
    pub rows: u64,
    /// Forward passes.
    pub passes: u64,
    /// How long the rows of answered requests waited, in nanoseconds.
    pub queue_nanos: u64,
    /// The passes of answered requests, in nanoseconds.
    pub compute_nanos: u64,
    /// When the last pass ended, in milliseconds since 1970; 0 before the first one.
    pub last_pass_millis: u64,
}

impl Served {
    /// Counts a request that was answered.
    pub fn answered(&self, request: Answered) {
        self.answered.add(request.took);
        add(&self.rows, request.rows as u64);
        add(&self.queue_nanos, nanos(request.queue));
        add(&self.compute_nanos, nanos(request.compute));
    }

    /// Counts a request that was not, or not in all of its rows; `rows` were answered.
    pub fn failed(&self, rows: usize, took: Duration) {
        self.failed.add(took);
        add(&self.rows, rows as u64);
    }

    /// Counts a forward pass that just ended.
    pub fn pass(&self) {
        add(&self.passes, 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_pass_millis.store(u64::try_from(now.as_millis()).unwrap_or_default(), Ordering::Relaxed);
    }

    /// All counts.
    pub fn tally(&self) -> Tally {
        Tally {
            answered: self.answered.read(),
            failed: self.failed.read(),
            rows: read(&self.rows),
            passes: read(&self.passes),
            queue_nanos: read(&self.queue_nanos),
            compute_nanos: read(&self.compute_nanos),
            last_pass_millis: read(&self.last_pass_millis),
        }
    }
}

impl Sum {
    fn add(&self, took: Duration) {
        add(&self.count, 1);
        add(&self.nanos, nanos(took));
    }

    fn read(&self) -> (u64, u64) {
        (read(&self.count), read(&self.nanos))
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// 584 years fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_rows_and_passes_add_up() {
        let served = Served::default();
        assert_eq!(served.tally(), Tally::default());
        let (took, queue, compute) = (Duration::from_nanos(9), Duration::from_nanos(5), Duration::from_nanos(3));
        for rows in [1, 64] {
            served.answered(Answered { rows, took, queue, compute });
        }
        served.failed(2, took);
        served.pass();
        let tally = served.tally();
        assert_eq!((tally.answered, tally.failed), ((2, 18), (1, 9)));
        assert_eq!((tally.rows, tally.passes), (67, 1));
        assert_eq!((tally.queue_nanos, tally.compute_nanos), (10, 6));
        assert!(tally.last_pass_millis > 0);
    }
}
