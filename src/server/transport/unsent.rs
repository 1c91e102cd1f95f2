//! What replies wait to be sent: how much of it there is, and since when none of it has moved.
//!
//! Who reads nothing makes the server keep his replies. So each connection is counted.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::kept::{All, Kept};

/// What one connection keeps.
#[derive(Clone)]
pub(super) struct Unsent {
    own: Arc<Own>,
}

struct Own {
    kept: Kept,
    begun: Instant,
    /// When something was last taken, in milliseconds from `begun` on.
    moved: AtomicU64,
}

impl Unsent {
    pub(super) fn new(all: &All) -> Self {
        let own = Own { kept: Kept::new(all), begun: Instant::now(), moved: AtomicU64::new(0) };
        Self { own: Arc::new(own) }
    }

    /// Bytes that this connection keeps, where it may ask for nothing more.
    pub(super) fn too_much(&self) -> Option<usize> {
        self.own.kept.too_much()
    }

    /// Waits until something was unsent, and nothing moved, for so long.
    pub(super) async fn stalled(&self, most: Duration) {
        // Looks often enough that it takes no more than a quarter longer.
        loop {
            sleep(most / 4).await;
            let moved = self.own.begun + Duration::from_millis(self.own.moved.load(Relaxed));
            if self.own.kept.bytes() > 0 && moved.elapsed() >= most {
                return;
            }
        }
    }

    /// A body whose bytes count until they are taken.
    pub(super) fn count<B: Body>(&self, body: B) -> Counted<B> {
        let mut counted = Counted { body, held: 0, unsent: self.clone() };
        let rest = counted.rest();
        if rest > 0 {
            counted.hold(rest);
        }
        counted
    }

    fn moved(&self) {
        let Own { begun, moved, .. } = &*self.own;
        moved.store(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// What is said to who has to read first.
pub(super) fn unread(bytes: usize) -> Status {
    Status::resource_exhausted(format!("{bytes} bytes of replies wait to be read on this connection: read them first"))
}

/// See [`Unsent::count`].
pub(super) struct Counted<B> {
    body: B,
    held: usize,
    unsent: Unsent,
}

impl<B: Body> Counted<B> {
    /// What the body knows to be still in it.
    fn rest(&self) -> usize {
        let known = self.body.size_hint().lower();
        usize::try_from(known).unwrap_or(usize::MAX)
    }
}

impl<B> Counted<B> {
    fn hold(&mut self, now: usize) {
        let kept = &self.unsent.own.kept;
        // What is only added says nothing of a peer that takes none of it.
        if now < self.held || kept.bytes() == 0 {
            self.unsent.moved();
        }
        kept.change(self.held, now);
        self.held = now;
    }
}

impl<B> Drop for Counted<B> {
    fn drop(&mut self) {
        if self.held > 0 {
            self.hold(0);
        }
    }
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    /// Is asked once what it gave before was taken.
    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.held > 0 {
            let rest = self.rest();
            self.hold(rest);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            let now = data.len().saturating_add(self.rest());
            self.hold(now);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // What is known of the rest is no promise of a length to who reads.
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};
    use tokio_test::assert_ready;

    use super::*;

    /// Pieces, and how much there is of them.
    struct Pieces(Vec<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = tonic::Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready((!self.0.is_empty()).then(|| Ok(Frame::data(self.0.remove(0)))))
        }

        fn size_hint(&self) -> SizeHint {
            let mut hint = SizeHint::default();
            hint.set_lower(self.0.iter().map(Bytes::len).sum::<usize>() as u64);
            hint
        }
    }

    fn pieces(bytes: usize) -> Pieces {
        Pieces(vec![Bytes::from(vec![0; bytes / 2]); 2])
    }

    fn take(body: &mut Counted<Pieces>) {
        let _ = assert_ready!(Pin::new(body).poll_frame(&mut Context::from_waker(std::task::Waker::noop())));
    }

    #[tokio::test]
    async fn a_reply_counts_until_it_is_taken_or_left() {
        let unsent = Unsent::new(&All::new(1000));
        let kept = || unsent.own.kept.bytes();
        let mut body = unsent.count(pieces(100));
        let other = unsent.count(pieces(60));
        assert_eq!(kept(), 160);
        // The first piece is given; that it was taken is known when the next is asked for.
        take(&mut body);
        assert_eq!(kept(), 160);
        take(&mut body);
        assert_eq!(kept(), 110);
        take(&mut body);
        assert_eq!(kept(), 60);
        drop((body, other));
        assert_eq!(kept(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stalls_where_nothing_moves_and_something_should() {
        const MOST: Duration = Duration::from_secs(60);
        let unsent = Unsent::new(&All::new(1000));
        assert!(timeout(10 * MOST, unsent.stalled(MOST)).await.is_err(), "nothing is unsent");
        let mut body = unsent.count(pieces(100));
        advance(MOST / 2).await;
        // That the first piece was taken is known when the second is asked for.
        take(&mut body);
        take(&mut body);
        let begun = Instant::now();
        // Who asks for more takes nothing.
        let asking = async {
            let mut more = Vec::new();
            loop {
                sleep(MOST / 3).await;
                more.push(unsent.count(pieces(10)));
            }
        };
        tokio::select! {
            () = unsent.stalled(MOST) => {}
            () = asking => {}
        }
        assert!(begun.elapsed() >= MOST && begun.elapsed() <= MOST * 5 / 4, "{:?}", begun.elapsed());
    }
}
