//! Moments of this process as times of the world.

use std::time::{Instant, SystemTime};

/// Both clocks at one moment. What is converted by the same one stays in order and as far
/// apart, whatever is done to the system's clock meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    moment: Instant,
    time: SystemTime,
}

impl Clock {
    /// As they are now.
    pub(super) fn now() -> Self {
        Self { moment: Instant::now(), time: SystemTime::now() }
    }

    /// When `moment` was.
    pub(super) fn time(&self, moment: Instant) -> SystemTime {
        let time = match self.moment.checked_duration_since(moment) {
            Some(ago) => self.time.checked_sub(ago),
            None => self.time.checked_add(moment.saturating_duration_since(self.moment)),
        };
        time.unwrap_or(self.time)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_before_and_after_keep_their_distance() {
        let clock = Clock::now();
        let (early, late) = (Instant::now(), clock.moment + Duration::from_hours(1));
        let clocks = Clock { moment: clock.moment + Duration::from_secs(60), time: clock.time };
        let apart = clocks.time(late).duration_since(clocks.time(early)).unwrap();
        assert_eq!(apart, late - early);
        assert_eq!(clock.time(clock.moment), clock.time);
    }
}
