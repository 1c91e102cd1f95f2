//! Durations counted in buckets that grow by an eighth of an octave, so that a
//! percentile is found to within some percent without keeping a single duration.

use std::time::Duration;

/// Buckets for each doubling.
const OCTAVE: f64 = 8.0;

/// The shortest duration that is told apart, in seconds.
const SHORTEST: f64 = 1e-6;

/// From 1 µs to a little over 60 s: `8 · log2(60 s / 1 µs)` is 206.7.
pub const BUCKETS: usize = 208;

/// How many durations fell into each bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

/// The bucket of a duration; what is shorter or longer than all is in the first or
/// the last one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the buckets that there are")]
pub fn bucket(latency: Duration) -> usize {
    let octaves = (latency.as_secs_f64() / SHORTEST).max(1.0).log2();
    // As a float first: the cast of what is too large would be the largest number.
    (octaves * OCTAVE).floor().min((BUCKETS - 1) as f64) as usize
}

/// What stands for the durations of a bucket: its geometric middle, at most 4.5 %
/// away from any of them.
fn middle(bucket: usize) -> Duration {
    Duration::try_from_secs_f64(SHORTEST * ((bucket as f64 + 0.5) / OCTAVE).exp2()).unwrap_or_default()
}

/// In milliseconds, to the microsecond, as logs have it.
pub(super) fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

impl Latencies {
    /// Counts `more` durations of this bucket.
    pub fn add(&mut self, bucket: usize, more: u64) {
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += more;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The smallest duration that this share of all does not exceed, to within 4.5 %;
    /// `None` where there is none at all.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        reached.map(middle)
    }

    /// How many are longer than `limit`, its own bucket left out.
    pub fn above(&self, limit: Duration) -> u64 {
        self.counts.iter().skip(bucket(limit) + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latencies: impl IntoIterator<Item = Duration>) -> Latencies {
        let mut all = Latencies::default();
        latencies.into_iter().for_each(|latency| all.add(bucket(latency), 1));
        all
    }

    #[test]
    fn a_percentile_is_found_to_within_some_percent_from_a_microsecond_to_a_minute() {
        for micros in [1_u64, 7, 150, 3_333, 99_000, 1_000_000, 59_000_000] {
            let spread = (1..=1000).map(|i| Duration::from_nanos(micros * i));
            // 990 of a thousand are not longer than this.
            let exact = (micros as f64 * 0.99).max(1.0);
            let found = of(spread).percentile(0.99).unwrap().as_secs_f64() * 1e6;
            assert!((found / exact - 1.0).abs() < 0.09, "{found} µs, wanted {exact}");
        }
    }

    #[test]
    fn what_is_shorter_or_longer_than_all_buckets_is_counted_too() {
        let all = of([Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1000), Duration::MAX]);
        assert_eq!(all.count(), 4);
        assert_eq!(all.above(Duration::from_secs(1)), 2);
        assert!(all.percentile(1.0).unwrap() > Duration::from_secs(55));
        assert_eq!(Latencies::default().percentile(0.99), None);
    }
}
