//! Rows per second of one identity: a bucket that holds a second's worth.
//!
//! Kept as the moment at which it would be full again (GCRA, the ATM Forum's generic cell rate
//! algorithm), so that one atomic number is all its state.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// How much of a rate may be used at once.
const BURST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Rate {
    rows_per_second: NonZeroU32,
    begun: Instant,
    /// Nanoseconds from `begun` on.
    full_at: AtomicU64,
}

impl Rate {
    pub(super) fn new(rows_per_second: NonZeroU32) -> Self {
        Self { rows_per_second, begun: Instant::now(), full_at: AtomicU64::new(0) }
    }

    pub(super) fn rows_per_second(&self) -> u32 {
        self.rows_per_second.get()
    }

    /// Takes rows as long as there is any left: a request of more than a second's worth is paid for
    /// by those after it.
    ///
    /// # Errors
    ///
    /// How long until there is.
    pub(super) fn take(&self, rows: usize, now: Instant) -> Result<(), Duration> {
        let now = self.nanos(now);
        let taken = |full_at: u64| (full_at < now + nanos(BURST)).then(|| full_at.max(now) + self.price(rows));
        match self.full_at.fetch_update(Relaxed, Relaxed, taken) {
            Ok(_) => Ok(()),
            // At least a moment: to come again at once would be in vain.
            Err(full_at) => Err(Duration::from_nanos(full_at - now - nanos(BURST)).max(Duration::from_millis(1))),
        }
    }

    /// Takes rows; how long until they would have been there.
    pub(super) fn owe(&self, rows: usize, now: Instant) -> Duration {
        let now = self.nanos(now);
        let price = self.price(rows);
        let owed = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| Some(full_at.max(now) + price));
        let full_at = owed.unwrap_or_else(|full_at| full_at);
        Duration::from_nanos(full_at.saturating_sub(now + nanos(BURST)))
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.begun))
    }

    fn price(&self, rows: usize) -> u64 {
        (rows as u64).saturating_mul(1_000_000_000) / u64::from(self.rows_per_second.get())
    }
}

/// Five centuries at most.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(rows_per_second: u32) -> (Rate, Instant) {
        let rate = Rate::new(NonZeroU32::new(rows_per_second).unwrap());
        let begun = rate.begun;
        (rate, begun)
    }

    #[test]
    fn a_second_s_worth_is_there_at_once_and_comes_back_in_a_second() {
        let (rate, begun) = rate(100);
        for _ in 0..10 {
            rate.take(10, begun).unwrap();
        }
        assert!(rate.take(1, begun).is_err());
        let later = begun + Duration::from_millis(100);
        for _ in 0..10 {
            rate.take(1, later + Duration::from_nanos(1)).unwrap();
        }
        let wait = rate.take(1, later).unwrap_err();
        assert!(wait <= Duration::from_millis(11), "{wait:?}");
    }

    #[test]
    fn what_is_more_than_a_second_s_worth_is_paid_for_by_what_follows() {
        let (rate, begun) = rate(100);
        rate.take(1000, begun).unwrap();
        assert_eq!(rate.take(1, begun), Err(Duration::from_secs(9)));
        rate.take(1, begun + Duration::from_millis(9001)).unwrap();
    }

    #[test]
    fn who_waits_takes_in_any_case() {
        let (rate, begun) = rate(100);
        assert_eq!(rate.owe(100, begun), Duration::ZERO);
        assert_eq!(rate.owe(50, begun), Duration::ZERO);
        assert_eq!(rate.owe(50, begun), Duration::from_millis(500));
        assert_eq!(rate.owe(50, begun), Duration::from_secs(1));
    }
}
