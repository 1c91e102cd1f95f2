//! The open calls of one connection: how many, and since when there is none.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::{Instant, sleep_until};

/// Runs the tasks of a connection's calls, and counts them: hyper has one for each call, which ends
/// once its reply was handed to the connection.
#[derive(Clone)]
pub(super) struct Calls {
    shared: Arc<Shared>,
}

struct Shared {
    open: AtomicUsize,
    begun: Instant,
    /// When the last one ended, in milliseconds from `begun` on.
    ended: AtomicU64,
}

/// Counts until it is dropped.
struct Open(Arc<Shared>);

impl Calls {
    pub(super) fn new() -> Self {
        let (open, ended) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { open, begun: Instant::now(), ended }) }
    }

    /// Waits until there was no call for so long.
    pub(super) async fn idle(&self, most: Duration) {
        loop {
            // Where one is open, no sooner than if it ended now.
            let since = self.quiet_since().unwrap_or_else(Instant::now);
            let Some(until) = since.checked_add(most) else { return std::future::pending().await };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// How many there are now.
    pub(super) fn count(&self) -> usize {
        self.shared.open.load(Relaxed)
    }

    fn quiet_since(&self) -> Option<Instant> {
        let Shared { open, begun, ended } = &*self.shared;
        (open.load(Acquire) == 0).then(|| *begun + Duration::from_millis(ended.load(Relaxed)))
    }

    fn open(&self) -> Open {
        self.shared.open.fetch_add(1, Relaxed);
        Open(Arc::clone(&self.shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Shared { open, begun, ended } = &*self.0;
        ended.store(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
        open.fetch_sub(1, Release);
    }
}

impl<F> Executor<F> for Calls
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        let open = self.open();
        tokio::spawn(async move {
            call.await;
            drop(open);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const MOST: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_it_had_no_call_for_so_long() {
        let (calls, begun) = (Calls::new(), Instant::now());
        let open = calls.open();
        assert!(timeout(10 * MOST, calls.idle(MOST)).await.is_err(), "a call is open");
        drop(open);
        advance(MOST / 2).await;
        drop(calls.open());
        calls.idle(MOST).await;
        let took = begun.elapsed();
        assert!(took >= 10 * MOST + MOST / 2 + MOST && took < 12 * MOST, "{took:?}");
    }
}
