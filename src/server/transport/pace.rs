//! How fast a connection is read: many frames in turns that leave the thread to others, and frames that
//! only make work no faster than anybody needs.
//!
//! Who makes too much of it is slowed down and not sent away: he would come again, and a client whose
//! calls were all too late in an overload resets them without meaning harm. What he has to wait for is
//! his own connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take},
    time::{Instant, Sleep, sleep_until},
};
use tracing::debug;

use super::calls::Calls;
use crate::api::others_first;

/// Bytes before the first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// Bytes before what a frame holds (section 4.1): length, kind, flags, stream.
const HEAD: usize = 9;

/// Kinds of frames (section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Frames of a turn, of which one that opens a call counts twice: about a millisecond's work.
const TURN: usize = 128;

/// Bytes that are read at once, at least.
const LEAST: usize = 512;

/// And at most: a largest frame, and no more short calls than may be reset before they are looked at.
const WIDE: usize = 17 * 1024;

/// Resets in a second that a connection may go on with. Each costs what a call costs, and is of no use;
/// clients reset calls whose deadline has passed, of which there are as many only in an overload.
const RATE: u32 = 200;

/// Resets that it may make at once after it made none for a while: all of its calls.
const MOST: u32 = 1024;

/// The same of a new connection. Who begins anew after each of these pays for more handshakes than he gains.
const FIRST: u32 = 64;

/// What a reset costs. A PING costs one: clients that measure the line send some with each reply.
const RESET: u32 = 16;

/// Where among its frames a connection is.
#[derive(Debug)]
struct Frames {
    /// Bytes of what is of no interest that are still to come.
    skip: usize,
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    read: usize,
}

impl Frames {
    fn new() -> Self {
        Self { skip: PREFACE, head: [0; HEAD], read: 0 }
    }

    /// Takes in what arrived, and names the kind of each frame that begins.
    fn take(&mut self, mut data: &[u8], mut kind: impl FnMut(u8)) {
        loop {
            let passed = self.skip.min(data.len());
            self.skip -= passed;
            let (head, rest) = data.split_at(passed).1.split_at((HEAD - self.read).min(data.len() - passed));
            if head.is_empty() {
                return;
            }
            let until = self.read + head.len();
            if let Some(place) = self.head.get_mut(self.read..until) {
                place.copy_from_slice(head);
            }
            (self.read, data) = (until, rest);
            if until == HEAD {
                let [high, middle, low, found, ..] = self.head;
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.read = 0;
                kind(found);
            }
        }
    }
}

/// What a connection may still cost, in sixteenths of a reset.
#[derive(Debug)]
struct Credit {
    left: u32,
    since: Instant,
}

impl Credit {
    fn new() -> Self {
        Self { left: FIRST * RESET, since: Instant::now() }
    }

    /// Takes so much; until when to wait where there is not as much.
    fn take(&mut self, cost: u32) -> Option<Instant> {
        let now = Instant::now();
        let more = now.saturating_duration_since(self.since).as_secs_f64() * f64::from(RATE * RESET);
        // Rounds towards zero, and saturates.
        let left = self.left.saturating_add(more as u32).min(MOST * RESET);
        // Time that was waited for is spent.
        self.since = self.since.max(now);
        self.left = left.saturating_sub(cost);
        let missing = cost.saturating_sub(left);
        (missing > 0).then(|| {
            self.since += Duration::from_secs_f64(f64::from(missing) / f64::from(RATE * RESET));
            self.since
        })
    }
}

/// A connection that is read at its pace.
pub(super) struct Paced<C> {
    line: Take<C>,
    frames: Frames,
    /// Bytes of the next look at what there is.
    room: usize,
    /// Frames of this turn.
    done: usize,
    credit: Credit,
    rest: Option<Pin<Box<Sleep>>>,
    calls: Calls,
    most_calls: usize,
}

impl<C: AsyncRead + Unpin> Paced<C> {
    /// One that may have so many calls open.
    pub(super) fn new(line: C, calls: Calls, most_calls: u32) -> Self {
        let most_calls = usize::try_from(most_calls).unwrap_or(usize::MAX);
        let (frames, credit, room) = (Frames::new(), Credit::new(), WIDE);
        Self { line: line.take(0), frames, room, done: 0, credit, rest: None, calls, most_calls }
    }

    /// Whether it may be read now.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            self.rest = None;
        }
        if self.done < TURN {
            return Poll::Ready(());
        }
        self.done = 0;
        others_first(context);
        Poll::Pending
    }

    fn arrived(&mut self, data: &[u8]) {
        let (mut done, mut cost) = (0, 0);
        // Those that are opened now are not among them; there is room for a reset or two in the figures.
        let is_full = self.calls.count() >= self.most_calls;
        self.frames.take(data, |kind| {
            done += if kind == HEADERS { 2 } else { 1 };
            cost += match kind {
                RST_STREAM | SETTINGS => RESET,
                // Is reset, by us.
                HEADERS if is_full => RESET,
                // The library bounds empty DATA and CONTINUATION, and windows move with what is read.
                HEADERS | DATA | CONTINUATION | WINDOW_UPDATE => 0,
                // PING, PRIORITY and what nobody knows.
                _ => 1,
            };
        });
        self.done += done;
        if done > TURN {
            self.room = (data.len() * TURN / done).max(LEAST);
        } else if done <= TURN / 2 {
            self.room = (2 * self.room).min(WIDE);
        }
        // The clock is looked at for those only who cost something.
        if cost > 0
            && let Some(until) = self.credit.take(cost)
        {
            debug!("a peer resets more calls than it may; it is read more slowly");
            self.rest = Some(Box::pin(sleep_until(until)));
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Paced<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_turn(context));
        let (before, room) = (buffer.filled().len(), self.room as u64);
        self.line.set_limit(room);
        let read = Pin::new(&mut self.line).poll_read(context, buffer);
        match read {
            Poll::Ready(_) => self.arrived(buffer.filled().get(before..).unwrap_or_default()),
            // All others have their turn anyway.
            Poll::Pending => self.done = 0,
        }
        read
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<C> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.line.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.line.get_mut()).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.line.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.line.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.line.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    const PING: u8 = 6;

    /// A preface and these frames.
    fn bytes(frames: impl IntoIterator<Item = (u8, usize)>) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, length) in frames {
            bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
            bytes.extend_from_slice(&[kind, 0, 0, 0, 0, 1]);
            bytes.extend(vec![7; length]);
        }
        bytes
    }

    fn paced(frames: impl IntoIterator<Item = (u8, usize)>, most_calls: u32) -> Paced<Cursor<Vec<u8>>> {
        Paced::new(Cursor::new(bytes(frames)), Calls::new(), most_calls)
    }

    /// Reads all of it; the time that took.
    async fn took(mut paced: Paced<Cursor<Vec<u8>>>) -> Duration {
        let begun = Instant::now();
        paced.read_to_end(&mut Vec::new()).await.unwrap();
        begun.elapsed()
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let kinds = [(SETTINGS, 0), (HEADERS, 20), (DATA, 300), (RST_STREAM, 4), (PING, 8), (DATA, 0)];
        let whole = bytes(kinds);
        for cut in 1..=whole.len() {
            let (mut frames, mut found) = (Frames::new(), Vec::new());
            for part in whole.chunks(cut) {
                frames.take(part, |kind| found.push(kind));
            }
            assert_eq!(found, kinds.map(|(kind, _)| kind), "{cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_resets_more_than_his_share_is_read_more_slowly() {
        let calls = |count| (0..count).flat_map(|_| [(HEADERS, 20), (RST_STREAM, 4)]);
        assert_eq!(took(paced(calls(FIRST), 1024)).await, Duration::ZERO);
        let (resets, seconds) = (FIRST + 20 * RATE, 20.0);
        let took = took(paced(calls(resets), 1024)).await.as_secs_f64();
        assert!((seconds - 0.1..seconds + 0.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_good_for_a_while_may_reset_all_of_its_calls() {
        let mut credit = Credit::new();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(credit.take(MOST * RESET), None);
        let until = credit.take(RATE * RESET).unwrap();
        assert_eq!(until, Instant::now() + Duration::from_secs(1));
        // Waiting was for what is past.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(credit.take(RATE * RESET).unwrap(), Instant::now() + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_opens_more_calls_than_he_may_is_read_more_slowly() {
        assert!(took(paced(vec![(HEADERS, 20); 1064], 0)).await >= Duration::from_secs(4));
        assert_eq!(took(paced(vec![(HEADERS, 20); 1064], 1024)).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_replies_and_what_measures_the_line_cost_nothing() {
        let message = [(HEADERS, 50), (DATA, 16 * 1024), (DATA, 0), (WINDOW_UPDATE, 4)];
        assert_eq!(took(paced(message.into_iter().cycle().take(4000), 1024)).await, Duration::ZERO);
        assert_eq!(took(paced(vec![(PING, 8); 1000], 1024)).await, Duration::ZERO);
    }

    #[test]
    fn many_frames_are_read_in_turns() {
        let mut paced = paced(vec![(HEADERS, 20); 10_000], 1024);
        let mut turn = || {
            let (mut task, mut into) = (task::spawn(()), vec![0; 1 << 20]);
            let mut buffer = ReadBuf::new(&mut into);
            let polled = task.enter(|context, _| Pin::new(&mut paced).poll_read(context, &mut buffer));
            (polled.map(Result::unwrap), task.is_woken(), buffer.filled().len())
        };
        let (first, ..) = turn();
        assert_ready!(first);
        let mut most = 0;
        for _ in 0..10 {
            let (held, woken, _) = turn();
            assert_pending!(held);
            assert!(woken, "it has its next turn");
            let (next, _, read) = turn();
            assert_ready!(next);
            most = most.max(read);
        }
        // 29 bytes a frame, which counts twice.
        assert!(most <= 29 * TURN / 2 + 29, "{most}");
    }
}
