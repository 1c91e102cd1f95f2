//! Bytes that connections make the server keep: the more all of them keep, the less may one keep that
//! asks for more.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A connection's share of all, where half of it is taken.
const SHARES: usize = 64;

/// What is left of it where all is taken, in bytes: what small requests and replies need that are on
/// their way. A window of HTTP/2.
const LEAST: usize = 64 * 1024;

/// What all connections of a port keep.
#[derive(Clone)]
pub(super) struct All {
    bytes: Arc<AtomicUsize>,
    most: usize,
}

/// What one of them keeps.
pub(super) struct Kept {
    bytes: AtomicUsize,
    all: All,
}

impl All {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Arc::default(), most }
    }

    /// What a connection may keep that asks for more.
    fn share(&self) -> usize {
        let (free, half) = (self.most.saturating_sub(self.bytes.load(Relaxed)), self.most / 2);
        if free >= half {
            return usize::MAX;
        }
        let whole = self.most / SHARES;
        // Less than a whole one, as `free` is less than `half`.
        let left = (whole as f64 * free as f64 / half.max(1) as f64) as usize;
        left.max(LEAST.min(whole))
    }
}

impl Kept {
    /// Nothing yet.
    pub(super) fn new(all: &All) -> Self {
        Self { bytes: AtomicUsize::new(0), all: all.clone() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Bytes that this connection keeps, where it may ask for nothing more.
    pub(super) fn too_much(&self) -> Option<usize> {
        let own = self.bytes();
        // Most requests find nothing kept and look no further.
        (own > 0 && own > self.all.share()).then_some(own)
    }

    /// Of something that kept `before` bytes and keeps `now`.
    pub(super) fn change(&self, before: usize, now: usize) {
        for bytes in [&self.bytes, &*self.all.bytes] {
            if now > before {
                bytes.fetch_add(now - before, Relaxed);
            } else {
                bytes.fetch_sub(before - now, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_all_keep_the_less_may_one_keep_who_asks_for_more() {
        const MIB: usize = 1 << 20;
        let all = All::new(64 * MIB);
        let [greedy, modest, small, none] = [(); 4].map(|()| Kept::new(&all));
        let more = |kept: &Kept, bytes: usize| kept.change(0, bytes);
        more(&greedy, 31 * MIB);
        more(&modest, MIB / 2);
        more(&small, LEAST / 2);
        assert_eq!((greedy.too_much(), modest.too_much()), (None, None), "half is free");
        more(&greedy, 10 * MIB);
        assert_eq!((greedy.too_much(), modest.too_much()), (Some(41 * MIB), None));
        more(&greedy, 10 * MIB);
        assert_eq!((modest.too_much(), small.too_much()), (Some(MIB / 2), None));
        more(&greedy, 20 * MIB);
        assert_eq!((small.too_much(), none.too_much()), (None, None), "all is taken");
        greedy.change(71 * MIB, 0);
        assert_eq!(modest.too_much(), None, "it is free again");
    }
}
