//! What a request costs somebody whose rate is bounded: its rows.
//!
//! Admission asks for it last, so that what is refused for another reason was never taken, and what
//! was taken goes back where the rows never run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    select,
    time::{self, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Caller, rate::Rate};
use crate::error::{ScoreError, Shortage};

/// Rows of one request. Clones are of the same one: parts of it that go to several versions pay once.
#[derive(Debug, Clone)]
pub struct Fare(Arc<Request>);

#[derive(Debug)]
struct Request {
    caller: Caller,
    model: String,
    rows: usize,
    /// Of somebody who waits until he has his rows, or until this.
    patience: Option<CancellationToken>,
    taken: AtomicUsize,
    spent: AtomicBool,
}

impl Fare {
    /// Of a caller whose rate is bounded. Who has patience waits for his rows, until it ends.
    pub(super) fn new(caller: Caller, model: &str, rows: usize, patience: Option<CancellationToken>) -> Self {
        let (taken, spent) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self(Arc::new(Request { caller, model: model.to_owned(), rows, patience, taken, spent }))
    }

    /// Takes the rows, now or not at all.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Overloaded`] with when to come again; else as [`Caller::may_use`].
    pub fn take(&self) -> Result<(), ScoreError> {
        self.0.take()
    }

    /// Takes the rows; for who has patience as soon as they may be had.
    ///
    /// # Errors
    ///
    /// As [`Fare::take`], also while he waits: who is withdrawn meanwhile gets nothing.
    /// [`ScoreError::Draining`] where his patience ends.
    pub async fn paid(&self) -> Result<(), ScoreError> {
        let Some(end) = &self.0.patience else { return self.0.take() };
        select! {
            // First, so that what needs no wait passes at the end too.
            biased;
            saved = self.0.saved() => saved,
            () = end.cancelled() => Err(ScoreError::Draining),
        }
    }

    /// The rows run, or show that they can't: from now on they are charged, whoever leaves.
    pub fn spend(&self) {
        self.0.spent.store(true, Relaxed);
    }
}

impl Request {
    fn take(&self) -> Result<(), ScoreError> {
        let Some(rate) = self.rate()?.filter(|_| self.left() > 0) else { return Ok(()) };
        rate.take(self.rows, now()).map_err(|retry_after| ScoreError::Overloaded {
            shortage: Shortage::Rate { rows: self.rows, limit: rate.rows_per_second() },
            retry_after,
        })?;
        self.taken.store(self.rows, Relaxed);
        Ok(())
    }

    async fn saved(&self) -> Result<(), ScoreError> {
        let Some(rate) = self.rate()? else { return Ok(()) };
        let _turn = rate.turn().await;
        while let Some(wait) = self.save()? {
            sleep(wait).await;
        }
        Ok(())
    }

    /// Takes what may be had now; how long until there may be more, where not all may.
    fn save(&self) -> Result<Option<Duration>, ScoreError> {
        // Asked each time: the file may say something else by now.
        let Some(rate) = self.rate()? else { return Ok(None) };
        while self.left() > 0 {
            match rate.save(self.left(), now()) {
                Ok(rows) => drop(self.taken.fetch_add(rows, Relaxed)),
                Err(wait) => return Ok(Some(wait)),
            }
        }
        Ok(None)
    }

    fn left(&self) -> usize {
        self.rows.saturating_sub(self.taken.load(Relaxed))
    }

    fn rate(&self) -> Result<Option<Arc<Rate>>, ScoreError> {
        self.caller.may_use(&self.model)?;
        self.caller.rate()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let taken = self.taken.load(Relaxed);
        if taken == 0 || self.spent.load(Relaxed) {
            return;
        }
        // Who is no longer known has no rate to mend.
        if let Ok(Some(rate)) = self.caller.rate() {
            rate.give_back(taken);
        }
    }
}

/// By the clock of `sleep`.
fn now() -> Instant {
    time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, task};

    use super::*;

    fn fare(caller: &Caller, rows: usize, patience: Option<&CancellationToken>) -> Fare {
        Fare::new(caller.clone(), "m", rows, patience.cloned())
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_never_locks_out_who_does_not() {
        let (caller, patience) = (Caller::bound_to(1000), CancellationToken::new());
        let bulk = async {
            for _ in 0..4 {
                let fare = fare(&caller, 8000, Some(&patience));
                fare.paid().await.unwrap();
                fare.spend();
            }
        };
        let begun = time::Instant::now();
        let unary = async {
            loop {
                let fare = fare(&caller, 10, None);
                fare.take().unwrap();
                fare.spend();
                sleep(Duration::from_millis(100)).await;
            }
        };
        select! {
            () = bulk => {}
            () = unary => {}
        }
        // 32,000 rows of what the unary calls leave: 900 a second, but for half a second's worth at the start.
        let took = begun.elapsed().as_secs_f64();
        assert!((34.0..37.0).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_while_he_waits_or_before_he_runs_is_not_charged() {
        let (caller, patience) = (Caller::bound_to(100), CancellationToken::new());
        let waiting = fare(&caller, 1000, Some(&patience));
        let mut paid = task::spawn(waiting.paid());
        assert_pending!(paid.poll());
        sleep(Duration::from_millis(300)).await;
        assert_pending!(paid.poll());
        drop(paid);
        drop(waiting);
        let refused = fare(&caller, 1000, None);
        refused.take().unwrap();
        drop(refused);
        let ran = fare(&caller, 100, None);
        ran.take().unwrap();
        ran.spend();
        drop(ran);
        assert!(fare(&caller, 1, None).take().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn they_wait_in_their_order_until_patience_ends() {
        let (caller, patience) = (Caller::bound_to(100), CancellationToken::new());
        let (first, second) = (fare(&caller, 100, Some(&patience)), fare(&caller, 1, Some(&patience)));
        let ahead = tokio::spawn(async move { first.paid().await.map(|()| time::Instant::now()) });
        tokio::task::yield_now().await;
        second.paid().await.unwrap();
        assert!(ahead.await.unwrap().unwrap() <= time::Instant::now());
        let late = fare(&caller, 1000, Some(&patience));
        let mut waiting = task::spawn(late.paid());
        assert_pending!(waiting.poll());
        patience.cancel();
        assert!(waiting.is_woken());
        assert_eq!(waiting.await, Err(ScoreError::Draining));
        drop(late);
        // What needs no wait passes.
        sleep(Duration::from_secs(2)).await;
        fare(&caller, 1, Some(&patience)).paid().await.unwrap();
    }

    #[tokio::test]
    async fn parts_of_one_request_pay_once() {
        let (caller, patience) = (Caller::bound_to(100), CancellationToken::new());
        let unary = fare(&caller, 50, None);
        unary.take().unwrap();
        unary.clone().take().unwrap();
        unary.clone().paid().await.unwrap();
        fare(&caller, 40, None).take().unwrap();
        let stream = fare(&caller, 0, Some(&patience));
        stream.paid().await.unwrap();
    }
}
