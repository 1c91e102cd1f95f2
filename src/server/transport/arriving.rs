//! A request's body as it arrives: whoever has begun a message has to send it, and whoever makes a
//! call of one message that one. Streams may be quiet between their messages, and have to read replies
//! before they send more of them.
//!
//! What is not sent because nobody reads it here is not the sender's fault: a stream that has to wait
//! for its turn may fill the window of its connection, through which all of its calls come.

mod message;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use self::message::Message;
use super::{
    kept::{All, Kept},
    unsent::{Unsent, unread},
};

/// What is noticed of the time between two parts of a message that are asked for.
const AWAY: Duration = Duration::from_millis(100);

/// What arrives on one connection.
#[derive(Clone)]
pub(super) struct Arrivals(Arc<Shared>);

struct Shared {
    /// Messages that are not whole.
    partial: Kept,
    /// Streams whose next message nobody here has asked for yet.
    held_back: AtomicUsize,
}

impl Arrivals {
    /// On one of the connections that keep `partial` messages.
    pub(super) fn new(partial: &All) -> Self {
        Self(Arc::new(Shared { partial: Kept::new(partial), held_back: AtomicUsize::new(0) }))
    }
}

/// See the module.
pub(super) struct Arriving<B> {
    body: B,
    message: Message,
    /// Whether the call is of one message, for which alone it waits.
    is_of_one: bool,
    unsent: Unsent,
    arrivals: Arrivals,
    /// Bytes of the message that count as partial.
    partial: usize,
    /// Whether the stream counts as held back.
    is_held_back: bool,
    /// When the message began that is not whole.
    since: Option<Instant>,
    /// When a part of it was handed out, until the next is asked for.
    handed_out: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Arriving<B> {
    /// That of a call to `path`, on a connection that keeps these replies.
    pub(super) fn new(body: B, path: &str, (arrivals, unsent): (Arrivals, Unsent)) -> Self {
        let is_of_one = !path.contains("Stream") && !path.ends_with("/ServerReflectionInfo");
        Self {
            body,
            message: Message::default(),
            is_of_one,
            unsent,
            arrivals,
            partial: 0,
            is_held_back: false,
            since: None,
            handed_out: None,
            timer: None,
        }
    }

    /// Bytes that wait to be read by who begins a message, where they are too many. Asked for here and not
    /// when he calls, so that it is counted as every other refusal is.
    fn unread(&self) -> Option<usize> {
        if self.message.is_begun() { None } else { self.unsent.too_much() }
    }

    /// Takes in what is handed out; an error where too much is here that is not whole.
    fn arrived(&mut self, data: &[u8]) -> Result<(), Status> {
        let length = self.message.length;
        if self.message.take(data) {
            self.since = None;
        }
        // By now it may be known that it is a long one.
        if self.since.is_none() || self.message.length != length {
            self.timer = None;
        }
        self.handed_out = self.message.is_begun().then(Instant::now);
        self.hold_back(!self.is_of_one);
        self.keep(self.message.bytes());
        match self.arrivals.0.partial.too_much() {
            Some(bytes) if self.partial > 0 => Err(partial(bytes)),
            _ => Ok(()),
        }
    }

    /// The next part is asked for: what passed meanwhile was not the sender's time.
    fn asked(&mut self) {
        self.hold_back(false);
        let away = self.handed_out.take().map(|handed_out| handed_out.elapsed()).filter(|away| *away > AWAY);
        if let (Some(since), Some(away)) = (&mut self.since, away) {
            *since += away;
            self.timer = None;
        }
    }

    fn hold_back(&mut self, is_held_back: bool) {
        let count = &self.arrivals.0.held_back;
        match (self.is_held_back, is_held_back) {
            (false, true) => count.fetch_add(1, Relaxed),
            (true, false) => count.fetch_sub(1, Relaxed),
            _ => return,
        };
        self.is_held_back = is_held_back;
    }

    fn keep(&mut self, partial: usize) {
        if partial != self.partial {
            self.arrivals.0.partial.change(self.partial, partial);
            self.partial = partial;
        }
    }

    /// Nothing is there: whether that is so for too long.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_of_one && !self.message.is_begun() {
            return Poll::Pending;
        }
        loop {
            let until = *self.since.get_or_insert_with(Instant::now) + self.message.allowed();
            // Only where one has to wait: most requests are there at once.
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            std::task::ready!(timer.as_mut().poll(context));
            if self.arrivals.0.held_back.load(Relaxed) == 0 {
                return Poll::Ready(());
            }
            (self.since, self.timer) = (None, None);
        }
    }
}

impl<B> Drop for Arriving<B> {
    fn drop(&mut self) {
        self.hold_back(false);
        self.keep(0);
    }
}

/// What is said to who has begun too much.
fn partial(bytes: usize) -> Status {
    Status::resource_exhausted(format!(
        "{bytes} bytes of messages on this connection wait for their rest: send fewer of them at a time"
    ))
}

impl<B> Body for Arriving<B>
where
    B: Body<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Unpin,
{
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.asked();
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    if let Some(bytes) = self.unread() {
                        return Poll::Ready(Some(Err(unread(bytes).into())));
                    }
                    if let Err(refused) = self.arrived(data) {
                        return Poll::Ready(Some(Err(refused.into())));
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end.map(|end| end.map_err(Into::into))),
            Poll::Pending => self.poll_late(context).map(|()| {
                let allowed = self.message.allowed();
                let late = Status::deadline_exceeded(format!("the message did not arrive within {allowed:?}"));
                Some(Err(late.into()))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
