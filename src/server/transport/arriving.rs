//! A request's body as it arrives: whoever has begun a message has to send it, and whoever makes a
//! call of one message that one. Streams may be quiet between their messages, and have to read replies
//! before they send more of them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use super::unsent::{Unsent, unread};

/// How long any message may take, and what comes on top of it for a long one.
const LEAST: Duration = Duration::from_secs(10);

/// Bytes in a second of that.
const RATE: u64 = 64 * 1024;

/// Bytes before a message: whether it is compressed, and its length (gRPC over HTTP/2, *Length-Prefixed-Message*).
const PREFIX: usize = 5;

/// What was read of the message that arrives.
#[derive(Debug, Default)]
struct Message {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are there.
    read: usize,
    /// Bytes of the message that are not.
    missing: u64,
    length: u64,
}

impl Message {
    fn is_begun(&self) -> bool {
        self.read > 0
    }

    /// Takes in what arrived; whether it has ended a message.
    fn take(&mut self, mut data: &[u8]) -> bool {
        let mut has_ended = false;
        while !data.is_empty() {
            if let Some(place) = self.prefix.get_mut(self.read)
                && self.read < PREFIX
                && let Some((first, rest)) = data.split_first()
            {
                *place = *first;
                self.read += 1;
                data = rest;
                if self.read == PREFIX {
                    let [_, length @ ..] = self.prefix;
                    self.length = u32::from_be_bytes(length).into();
                    self.missing = self.length;
                }
            } else {
                let here = usize::try_from(self.missing).unwrap_or(usize::MAX).min(data.len());
                self.missing -= here as u64;
                data = data.get(here..).unwrap_or_default();
            }
            if self.read == PREFIX && self.missing == 0 {
                *self = Self::default();
                has_ended = true;
            }
        }
        has_ended
    }

    /// How long it may take.
    fn allowed(&self) -> Duration {
        LEAST + Duration::from_secs(self.length / RATE)
    }
}

/// See the module.
pub(super) struct Arriving<B> {
    body: B,
    message: Message,
    /// Whether the call is of one message, for which alone it waits.
    is_of_one: bool,
    unsent: Unsent,
    /// When the message began that is not whole.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Arriving<B> {
    /// That of a call to `path`, on a connection that keeps these replies.
    pub(super) fn new(body: B, path: &str, unsent: Unsent) -> Self {
        let is_of_one = !path.contains("Stream") && !path.ends_with("/ServerReflectionInfo");
        Self { body, message: Message::default(), is_of_one, unsent, since: None, timer: None }
    }

    /// Bytes that wait to be read by who begins the next message of a stream, where they are too many.
    fn unread(&self) -> Option<usize> {
        // Who makes a call was asked when he did.
        if self.is_of_one || self.message.is_begun() { None } else { self.unsent.too_much() }
    }

    fn arrived(&mut self, data: &[u8]) {
        let length = self.message.length;
        if self.message.take(data) {
            self.since = None;
        }
        // By now it may be known that it is a long one.
        if self.since.is_none() || self.message.length != length {
            self.timer = None;
        }
    }

    /// Nothing is there: whether that is so for too long.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_of_one && !self.message.is_begun() {
            return Poll::Pending;
        }
        let until = *self.since.get_or_insert_with(Instant::now) + self.message.allowed();
        // Only where one has to wait: most requests are there at once.
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(until))).as_mut().poll(context)
    }
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
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    if let Some(bytes) = self.unread() {
                        return Poll::Ready(Some(Err(unread(bytes).into())));
                    }
                    self.arrived(data);
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::{super::unsent::All, *};

    /// A body of what is sent to it.
    struct Sent(mpsc::UnboundedReceiver<Vec<u8>>);

    impl Body for Sent {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data.into()))))
        }
    }

    /// A reply of so many bytes.
    struct Reply(u64);

    impl Body for Reply {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(None)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    fn body(path: &str) -> (mpsc::UnboundedSender<Vec<u8>>, Arriving<Sent>) {
        body_beside(path, Unsent::new(&All::new(1000)))
    }

    fn body_beside(path: &str, unsent: Unsent) -> (mpsc::UnboundedSender<Vec<u8>>, Arriving<Sent>) {
        let (send, sent) = mpsc::unbounded_channel();
        (send, Arriving::new(Sent(sent), path, unsent))
    }

    /// What there is now: bytes, or the message of an error.
    fn poll(body: &mut Arriving<Sent>) -> Poll<Result<usize, String>> {
        let polled =
            task::spawn(async { std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await })
                .poll();
        polled.map(|frame| match frame.unwrap() {
            Ok(frame) => Ok(frame.data_ref().unwrap().len()),
            Err(error) => Err(error.to_string()),
        })
    }

    const GMV: &str = "/souk.v1.MerchantGmvService/PredictGmv";
    const STREAM: &str = "/souk.v1.MerchantGmvService/StreamGmv";

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let messages = [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0, 0], &[1, 0, 0, 0, 1, 9]].concat();
        for cut in 1..=messages.len() {
            let (mut message, mut begun) = (Message::default(), Vec::new());
            for part in messages.chunks(cut) {
                message.take(part);
                begun.push(message.is_begun());
            }
            assert_eq!(begun.last(), Some(&false), "{cut}");
            assert_eq!(begun.first(), Some(&![8, 13, 19].contains(&cut)), "{cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_arrive_ends_its_call_however_slowly_it_goes_on() {
        for path in [GMV, STREAM] {
            let (send, mut body) = body(path);
            send.send(vec![0, 0, 0, 0, 100]).unwrap();
            assert_eq!(assert_ready!(poll(&mut body)), Ok(5));
            for _ in 0..LEAST.as_secs() {
                assert_pending!(poll(&mut body));
                send.send(vec![7]).unwrap();
                assert_eq!(assert_ready!(poll(&mut body)), Ok(1));
                assert_pending!(poll(&mut body));
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            let late = assert_ready!(poll(&mut body)).unwrap_err();
            assert!(late.contains("did not arrive within 10s"), "{late}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_message_has_longer() {
        let (send, mut body) = body(GMV);
        // 640 KiB
        send.send(vec![0, 0, 10, 0, 0]).unwrap();
        assert_eq!(assert_ready!(poll(&mut body)), Ok(5));
        assert_pending!(poll(&mut body));
        tokio::time::advance(Duration::from_secs(19)).await;
        assert_pending!(poll(&mut body));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(assert_ready!(poll(&mut body)).unwrap_err().contains("within 20s"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_be_quiet_between_messages_and_a_call_of_one_may_not() {
        let ((send, mut stream), (_send, mut unary)) = (body(STREAM), body(GMV));
        for _ in 0..3 {
            assert_pending!(poll(&mut stream));
            tokio::time::advance(100 * LEAST).await;
            assert_pending!(poll(&mut stream));
            send.send(vec![0, 0, 0, 0, 1, 7]).unwrap();
            assert_eq!(assert_ready!(poll(&mut stream)), Ok(6));
        }
        assert_pending!(poll(&mut unary));
        tokio::time::advance(LEAST + Duration::from_secs(1)).await;
        assert!(assert_ready!(poll(&mut unary)).is_err());
    }

    #[tokio::test]
    async fn a_stream_goes_on_only_where_its_replies_are_read() {
        let unsent = Unsent::new(&All::new(1000));
        let (send, mut body) = body_beside(STREAM, unsent.clone());
        send.send(vec![0, 0, 0, 0, 9, 7]).unwrap();
        assert_eq!(assert_ready!(poll(&mut body)), Ok(6));
        let kept = unsent.count(Reply(2000));
        // What is begun may end.
        send.send(vec![7; 8]).unwrap();
        assert_eq!(assert_ready!(poll(&mut body)), Ok(8));
        assert_pending!(poll(&mut body));
        send.send(vec![0, 0, 0, 0, 1, 7]).unwrap();
        let refused = assert_ready!(poll(&mut body)).unwrap_err();
        assert!(refused.contains("2000 bytes of replies wait"), "{refused}");
        drop(kept);
        send.send(vec![0, 0, 0, 0, 1, 7]).unwrap();
        assert_eq!(assert_ready!(poll(&mut body)), Ok(6));
    }
}
