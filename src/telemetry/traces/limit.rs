//! So many a second and no more, for all threads together, without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Limit {
    most: u32,
    begun: Instant,
    /// The second since `begun` in the upper half, and what it admitted in the lower one.
    counted: AtomicU64,
}

impl Limit {
    /// Admits `most` in each second from `begun` on.
    pub(super) fn new(most: u32, begun: Instant) -> Self {
        Self { most, begun, counted: AtomicU64::new(0) }
    }

    /// Whether there is room for one more at `now`.
    pub(super) fn admits(&self, now: Instant) -> bool {
        // The second wraps after a century, and then one second is short.
        let second = now.saturating_duration_since(self.begun).as_secs() << 32;
        let one_more = |counted: u64| {
            let begun = if counted >> 32 == second >> 32 { counted } else { second };
            (begun & u64::from(u32::MAX) < u64::from(self.most)).then_some(begun + 1)
        };
        // Where there is no room nothing is written.
        self.counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_second_admits_as_many() {
        let begun = Instant::now();
        let limit = Limit::new(3, begun);
        for second in [0, 1, 2, 100] {
            let now = begun + Duration::from_secs(second);
            let admitted = (0..10).filter(|_| limit.admits(now)).count();
            assert_eq!(admitted, 3, "{second}");
        }
    }

    #[test]
    fn threads_share_it() {
        let begun = Instant::now();
        let limit = Limit::new(1000, begun);
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = (0..1000).filter(|_| limit.admits(begun)).count();
                    admitted.fetch_add(mine as u64, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(admitted.into_inner(), 1000);
    }
}
