//! The slowest requests of each method since somebody last took them.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::super::{Ended, kept::Kept};

/// How many of each method.
const EACH: usize = 5;

/// See the module. Its methods are of a bounded set.
#[derive(Default)]
pub(super) struct Slowest(Kept<&'static str, OfMethod>);

#[derive(Default)]
struct OfMethod {
    /// What a request must take longer than, in nanoseconds: almost all are done here.
    least: AtomicU64,
    requests: Mutex<Vec<Ended>>,
}

impl Slowest {
    /// Keeps a request where it is one of the slowest; whether it is.
    pub(super) fn consider(&self, ended: &Ended) -> bool {
        let mut is_kept = false;
        self.0.with(&ended.method, OfMethod::default, |of_method| is_kept = of_method.consider(ended));
        is_kept
    }

    /// The slowest until now; it begins anew.
    pub(super) fn take(&self) -> Vec<Ended> {
        self.0.values().iter().flat_map(|of_method| of_method.take()).collect()
    }
}

impl OfMethod {
    fn consider(&self, ended: &Ended) -> bool {
        nanos(ended.took) > self.least.load(Ordering::Relaxed) && self.requests(|requests| self.keep(requests, ended))
    }

    fn keep(&self, requests: &mut Vec<Ended>, ended: &Ended) -> bool {
        let is_full = requests.len() >= EACH;
        match requests.iter_mut().min_by_key(|kept| kept.took).filter(|_| is_full) {
            None => requests.push(ended.clone()),
            // Somebody was faster on the way here.
            Some(fastest) if fastest.took >= ended.took => return false,
            Some(fastest) => *fastest = ended.clone(),
        }
        if requests.len() >= EACH {
            let least = requests.iter().map(|kept| nanos(kept.took)).min();
            self.least.store(least.unwrap_or_default(), Ordering::Relaxed);
        }
        true
    }

    fn take(&self) -> Vec<Ended> {
        self.requests(|requests| {
            self.least.store(0, Ordering::Relaxed);
            std::mem::take(requests)
        })
    }

    fn requests<T>(&self, change: impl FnOnce(&mut Vec<Ended>) -> T) -> T {
        change(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn ended(method: &'static str, millis: u64) -> Ended {
        Ended { took: Duration::from_millis(millis), ..Ended::of(method, "OK", Instant::now()) }
    }

    fn took(ended: &[Ended], method: &str) -> Vec<u128> {
        let of_method = ended.iter().filter(|ended| ended.method == method);
        let mut took: Vec<_> = of_method.map(|ended| ended.took.as_millis()).collect();
        took.sort_unstable();
        took
    }

    #[test]
    fn the_slowest_of_each_method_are_kept() {
        let slowest = Slowest::default();
        for millis in 1..=20 {
            // Up and down by turns.
            slowest.consider(&ended("a", if millis % 2 == 0 { millis } else { 21 - millis }));
        }
        slowest.consider(&ended("b", 1));
        assert!(!slowest.consider(&ended("a", 3)));
        let kept = slowest.take();
        assert_eq!(took(&kept, "a"), [16, 18, 18, 20, 20]);
        assert_eq!(took(&kept, "b"), [1]);
    }

    #[test]
    fn a_new_window_begins_with_any() {
        let slowest = Slowest::default();
        for _ in 0..10 {
            slowest.consider(&ended("a", 1000));
        }
        assert_eq!(slowest.take().len(), EACH);
        assert!(slowest.consider(&ended("a", 1)));
        assert_eq!(took(&slowest.take(), "a"), [1]);
        assert!(slowest.take().is_empty());
    }
}
