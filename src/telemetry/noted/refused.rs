//! Requests that were refused or failed.
//!
//! Under overload there are more of these than of all others, and all the same: each
//! class of them has a gate that is shut after the first few of a window, and what
//! passes the gates shares the window's places fairly.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{super::kept::Kept, NotedRequest, windows::Windows};

/// Requests of a window.
pub(super) const REFUSED: usize = 32;

/// Of one model or method, with one code and reason.
pub(super) const ALIKE: u64 = 8;

/// The name of a code, and the reason why rows were never run.
type Class = (&'static str, Option<&'static str>);

/// See the module.
#[derive(Default)]
pub(super) struct Refused(Mutex<Windows>);

/// One gate for each class of requests of a model or method.
#[derive(Default)]
pub(super) struct Gates(Kept<Class, Gate>);

/// The window's number in the upper half, how many passed in the lower.
#[derive(Default)]
struct Gate(AtomicU64);

impl Gates {
    /// Lets the first [`ALIKE`] of a window pass: `note` says whether it did.
    pub(super) fn pass(&self, window: u32, class: Class, note: impl FnOnce() -> bool) {
        self.0.with(&class, Gate::default, |gate| gate.pass(window, note));
    }
}

impl Gate {
    fn pass(&self, window: u32, note: impl FnOnce() -> bool) {
        let seen = self.0.load(Relaxed);
        let count = if seen >> 32 == u64::from(window) { seen & u64::from(u32::MAX) } else { 0 };
        let passed = u64::from(window) << 32 | (count + 1);
        // Who is overtaken by another thread stays out: that one is of the same class.
        if count < ALIKE && self.change(seen, passed) && !note() {
            self.change(passed, passed - 1);
        }
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.0.compare_exchange(from, to, Relaxed, Relaxed).is_ok()
    }
}

impl Refused {
    /// Keeps a request, if it gets the lock at once: nobody waits to say that somebody
    /// else was refused. Whether it did.
    pub(super) fn note(&self, window: u32, request: impl FnOnce() -> Arc<NotedRequest>) -> bool {
        let Ok(mut windows) = self.0.try_lock() else { return false };
        admit(windows.at(window), request());
        true
    }

    /// Those that are not over in this window.
    pub(super) fn since(&self, window: u32) -> Vec<Arc<NotedRequest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).since(window)
    }
}

/// Puts a request among those of its window. Where these are [`REFUSED`] already it takes
/// the place of one of a more crowded class.
fn admit(requests: &mut Vec<Arc<NotedRequest>>, newcomer: Arc<NotedRequest>) {
    if requests.len() < REFUSED {
        return requests.push(newcomer);
    }
    let crowds = requests.iter().map(|request| crowd(requests, request));
    let Some((place, most)) = crowds.enumerate().max_by_key(|(_, crowd)| *crowd) else { return };
    let (alike, of_one) = crowd(requests, &newcomer);
    let Some(leaves) = requests.get_mut(place) else { return };
    // One of the same class leaves as many as there were.
    let alike = alike + usize::from(class(leaves) != class(&newcomer));
    if (alike, of_one + 1) < most {
        *leaves = newcomer;
    }
}

/// How many are there of the same class, and of these of the same model or method.
fn crowd(requests: &[Arc<NotedRequest>], of: &NotedRequest) -> (usize, usize) {
    let alike = || requests.iter().filter(|request| class(request) == class(of));
    (alike().count(), alike().filter(|request| request.subject() == of.subject()).count())
}

fn class(request: &NotedRequest) -> Class {
    (request.code, request.reason)
}
