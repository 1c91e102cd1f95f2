//! A clock for sending: tokio's timers round up to milliseconds, which at 9,000
//! requests a second would be nine at a time.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// The shortest tick: waking more often costs more than it tells.
const SHORTEST: Duration = Duration::from_micros(50);

/// Ticks of a timer of the kernel.
pub(crate) struct Pace {
    timer: AsyncFd<OwnedFd>,
    start: Instant,
    rate: f64,
}

impl Pace {
    /// `rate` sends a second from now on.
    pub(crate) fn new(rate: f64) -> anyhow::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let tick = Timespec::try_from(Duration::from_secs_f64(1.0 / rate).max(SHORTEST))?;
        let ticks = Itimerspec { it_interval: tick, it_value: tick };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
        Ok(Self { timer: registered(timer)?, start: Instant::now(), rate })
    }

    /// Waits for the next tick; how many sends were due by then, in all.
    pub(crate) async fn due(&self) -> anyhow::Result<u64> {
        let mut expired = [0; 8];
        let mut ready = self.timer.readable().await?;
        // How often it expired is not asked: the schedule counts, not the ticks.
        let _ = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expired)?));
        Ok((self.start.elapsed().as_secs_f64() * self.rate) as u64)
    }

    /// When send number `turn` was due.
    pub(crate) fn moment(&self, turn: u64) -> Instant {
        self.start + Duration::from_secs_f64(turn as f64 / self.rate)
    }
}

#[expect(deprecated, reason = "its successor is unsafe, for types that change their descriptor; an OwnedFd can't")]
fn registered(timer: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}
