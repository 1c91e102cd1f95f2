//! Rows on their way from a request that was answered to the thread that scores them
//! again: bounded, and never waited for.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use bytes::{Bytes, BytesMut};

use crate::{model::Version, rows::Rows};

/// Most rows that wait: a good second's worth of what one core scores beside others,
/// and all of the largest request.
const MOST_ROWS: usize = 2048;

/// Most bytes that they hold.
const MOST_BYTES: usize = 16 << 20;

/// Rows that one version answered and another one is to score too.
pub(super) struct Entry {
    pub(super) answered: Weak<Version>,
    pub(super) scorer: Weak<Version>,
    pub(super) why: Why,
    /// The rows, as they came.
    pub(super) frames: Vec<Bytes>,
    /// The outputs for those that did not fail.
    pub(super) outputs: Rows,
    /// Those that failed, ascending.
    pub(super) failed: Vec<usize>,
    /// Given back once the rows were compared.
    pub(super) _place: Place,
}

/// What the second scoring is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The shadow version is compared with the stable one, which answered.
    Shadow,
    /// The canary, which answered, is compared with the stable one.
    Canary,
}

/// Where entries are put.
pub(super) struct Queue {
    room: Arc<Room>,
    entries: mpsc::Sender<Entry>,
}

/// What is taken of the bounds.
#[derive(Debug, Default)]
struct Room {
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

/// Some rows' part of the bounds, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    rows: usize,
    bytes: usize,
}

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<Entry>) {
        let (entries, received) = mpsc::channel();
        (Self { room: Arc::default(), entries }, received)
    }

    /// A place for these frames, or for as many of the first ones as there is room
    /// for; they are copied into it. `None` where there is room for none.
    ///
    /// Copied, since each frame is a slice that keeps its whole request in memory.
    pub(super) fn take(&self, frames: &[Bytes]) -> Option<(Vec<Bytes>, Place)> {
        let rows = some_of(&self.room.rows, frames.len(), MOST_ROWS);
        let mut place = Place { room: Arc::clone(&self.room), rows, bytes: 0 };
        let frames = frames.get(..rows).filter(|frames| !frames.is_empty())?;
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        place.bytes = all_of(&self.room.bytes, bytes, MOST_BYTES)?;
        let mut copies = BytesMut::with_capacity(bytes);
        frames.iter().for_each(|frame| copies.extend_from_slice(frame));
        let mut copies = copies.freeze();
        Some((frames.iter().map(|frame| copies.split_to(frame.len())).collect(), place))
    }

    /// Puts an entry in. Nobody is woken, since that is a system call: the thread
    /// looks by itself.
    pub(super) fn put(&self, entry: Entry) {
        // Where the thread is gone, so is the server.
        let _ = self.entries.send(entry);
    }
}

/// Takes as much of what `most` leaves as there is, up to `wanted`.
fn some_of(taken: &AtomicUsize, wanted: usize, most: usize) -> usize {
    let free = |taken: usize| wanted.min(most.saturating_sub(taken));
    let update = |taken| Some(taken + free(taken));
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).map_or(0, free)
}

/// Takes all of `wanted` or nothing.
fn all_of(taken: &AtomicUsize, wanted: usize, most: usize) -> Option<usize> {
    let update = |taken: usize| (taken.saturating_add(wanted) <= most).then(|| taken + wanted);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).ok().map(|_| wanted)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.rows.fetch_sub(self.rows, Ordering::Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(rows: usize, bytes: usize) -> Vec<Bytes> {
        (0..rows).map(|_| Bytes::from(vec![7; bytes])).collect()
    }

    #[test]
    fn no_more_rows_wait_than_may_and_places_come_back() {
        let (queue, _entries) = Queue::new();
        let (first, place) = queue.take(&frames(2000, 1)).unwrap();
        assert_eq!((first.len(), place.rows), (2000, 2000));
        let (second, _kept) = queue.take(&frames(100, 1)).unwrap();
        assert_eq!(second.len(), 48);
        assert!(queue.take(&frames(1, 1)).is_none());
        drop(place);
        assert_eq!(queue.take(&frames(3000, 1)).unwrap().0.len(), 2000);
    }

    #[test]
    fn no_more_bytes_wait_than_may() {
        let (queue, _entries) = Queue::new();
        let (_, place) = queue.take(&frames(2, 8 << 20)).unwrap();
        assert!(queue.take(&frames(1, 1)).is_none());
        drop(place);
        assert!(queue.take(&frames(1, (16 << 20) + 1)).is_none());
        assert_eq!(queue.take(&frames(2048, 1)).unwrap().1.rows, 2048);
    }

    #[test]
    fn frames_are_copied_and_keep_no_request_in_memory() {
        let (queue, _entries) = Queue::new();
        let request = Bytes::from_static(b"abcdef");
        let (copies, _place) = queue.take(&[request.slice(0..2), request.slice(3..6)]).unwrap();
        assert_eq!(copies, [Bytes::from_static(b"ab"), Bytes::from_static(b"def")]);
        assert_ne!(copies[0].as_ptr(), request.as_ptr());
    }
}
