//! The slowest requests of one model.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{NotedRequest, windows::Windows};

/// Requests of a window.
pub(super) const SLOWEST: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Slow {
    bar: Bar,
    windows: Mutex<Windows>,
}

/// What a request must take longer than to be looked at, once a window is full: the
/// window's number in the upper half, microseconds in the lower. One number, so that who
/// looks at it needs no lock, and so that the bar of a window that is past keeps nobody out.
#[derive(Default)]
struct Bar(AtomicU64);

impl Slow {
    /// A request ended in this window after so long. The lock is taken by the first
    /// [`SLOWEST`] of a window, and then by those that are among the slowest so far: of a
    /// million, in any order, by less than 200.
    pub(super) fn note(&self, window: u32, took: Duration, request: impl FnOnce() -> Arc<NotedRequest>) {
        if self.bar.keeps_out(window, took) {
            return;
        }
        let mut windows = self.lock();
        let requests = windows.at(window);
        if requests.len() < SLOWEST {
            requests.push(request());
        } else if let Some(least) = requests.iter_mut().min_by_key(|request| request.took)
            && least.took < took
        {
            *least = request();
        }
        let least = requests.iter().map(|request| request.took).min();
        if let Some(least) = least.filter(|_| requests.len() == SLOWEST) {
            self.bar.raise(windows.newest(), least);
        }
    }

    /// Those that are not over in this window.
    pub(super) fn since(&self, window: u32) -> Vec<Arc<NotedRequest>> {
        self.lock().since(window)
    }

    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bar {
    fn keeps_out(&self, window: u32, took: Duration) -> bool {
        let bar = self.0.load(Relaxed);
        bar >> 32 == u64::from(window) && micros(took) <= bar & u64::from(u32::MAX)
    }

    /// To be called with the lock held.
    fn raise(&self, window: u32, least: Duration) {
        self.0.store(u64::from(window) << 32 | micros(least), Relaxed);
    }
}

/// At most 71 minutes.
fn micros(took: Duration) -> u64 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX).into()
}
