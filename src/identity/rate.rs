//! Rows per second of one identity: a bucket that holds a second's worth.
//!
//! Kept as the moment at which it would be full again (GCRA, the ATM Forum's generic cell rate
//! algorithm), so that one atomic number is all its state.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, MutexGuard};

/// How much of a rate may be used at once.
const BURST: Duration = Duration::from_secs(1);

/// How much of it those who wait leave to those who don't.
const LEFT: Duration = Duration::from_millis(500);

/// Part of a second's rows that who waits takes at a time: small beside what he may take, so that
/// nothing of the rate is lost where he wakes late.
const PIECES: u32 = 4;

/// Shortest wait: to come again at once would be in vain.
const MOMENT: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Rate {
    rows_per_second: NonZeroU32,
    begun: Instant,
    /// Nanoseconds from `begun` on.
    full_at: AtomicU64,
    /// Of those who wait one takes at a time, in the order in which they came.
    turn: Mutex<()>,
}

impl Rate {
    pub(super) fn new(rows_per_second: NonZeroU32) -> Self {
        Self { rows_per_second, begun: Instant::now(), full_at: AtomicU64::new(0), turn: Mutex::default() }
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
            Err(full_at) => Err(wait(full_at, now + nanos(BURST))),
        }
    }

    /// For who waits: takes as many of these rows as there may be now, and leaves half of a second's
    /// worth to those who don't wait.
    ///
    /// # Errors
    ///
    /// How long until there may be any.
    pub(super) fn save(&self, rows: usize, now: Instant) -> Result<usize, Duration> {
        let now = self.nanos(now);
        let piece = rows.min((self.rows_per_second() / PIECES).max(1) as usize);
        let price = self.price(piece);
        // A piece of a small rate can be more than it may leave empty: it has to be full then.
        let latest = now + nanos(BURST - LEFT).saturating_sub(price);
        let saved = |full_at: u64| (full_at <= latest).then(|| full_at.max(now) + price);
        match self.full_at.fetch_update(Relaxed, Relaxed, saved) {
            Ok(_) => Ok(piece),
            Err(full_at) => Err(wait(full_at, latest)),
        }
    }

    /// Who waits his turn to save.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Rows that were taken and never ran.
    pub(super) fn give_back(&self, rows: usize) {
        let price = self.price(rows);
        // Always some.
        let _ = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| Some(full_at.saturating_sub(price)));
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.begun))
    }

    fn price(&self, rows: usize) -> u64 {
        (rows as u64).saturating_mul(1_000_000_000) / u64::from(self.rows_per_second.get())
    }
}

fn wait(full_at: u64, wanted: u64) -> Duration {
    Duration::from_nanos(full_at.saturating_sub(wanted)).max(MOMENT)
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
    fn who_waits_saves_piece_by_piece_and_leaves_half_to_who_does_not() {
        let (rate, begun) = rate(100);
        assert_eq!((rate.save(1000, begun), rate.save(975, begun)), (Ok(25), Ok(25)));
        assert_eq!(rate.save(950, begun), Err(Duration::from_millis(250)));
        for _ in 0..5 {
            rate.take(10, begun).unwrap();
        }
        assert!(rate.take(1, begun).is_err());
        // He has what others leave of it.
        assert_eq!(rate.save(950, begun), Err(Duration::from_millis(750)));
        assert_eq!(rate.save(950, begun + Duration::from_millis(750)), Ok(25));
        assert_eq!(rate.save(5, begun + Duration::from_millis(950)), Ok(5));
    }

    #[test]
    fn a_row_a_second_can_be_saved_too() {
        let (rate, begun) = rate(1);
        assert_eq!(rate.save(3, begun), Ok(1));
        assert_eq!(rate.save(2, begun), Err(Duration::from_secs(1)));
        assert_eq!(rate.save(2, begun + Duration::from_secs(1)), Ok(1));
    }

    #[test]
    fn what_was_taken_in_vain_comes_back_and_no_more_than_that() {
        let (rate, begun) = rate(100);
        rate.take(1000, begun).unwrap();
        rate.give_back(1000);
        rate.give_back(1000);
        rate.take(100, begun).unwrap();
        assert!(rate.take(1, begun).is_err());
    }
}
