//! Messages that come in parts, late, or not at all.

use tokio::sync::mpsc;
use tokio_test::{assert_pending, assert_ready, task};

use super::{message::LEAST, *};

/// A body of what is sent to it.
struct Sent(mpsc::UnboundedReceiver<Vec<u8>>);

impl Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
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
    body_among(path, (Arrivals::new(&All::new(1000)), unsent))
}

fn body_among(path: &str, connection: (Arrivals, Unsent)) -> (mpsc::UnboundedSender<Vec<u8>>, Arriving<Sent>) {
    let (send, sent) = mpsc::unbounded_channel();
    (send, Arriving::new(Sent(sent), path, connection))
}

/// What there is now: bytes, or the message of an error.
fn poll(body: &mut Arriving<Sent>) -> Poll<Result<usize, String>> {
    let polled =
        task::spawn(async { std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await }).poll();
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

#[tokio::test(start_paused = true)]
async fn calls_have_longer_while_a_stream_of_their_connection_waits_for_its_turn() {
    let connection = (Arrivals::new(&All::new(1000)), Unsent::new(&All::new(1000)));
    let (send, mut stream) = body_among(STREAM, connection.clone());
    let (_send, mut unary) = body_among(GMV, connection);
    send.send(vec![0, 0, 0, 0, 1, 7]).unwrap();
    // Its next message is not asked for.
    assert_eq!(assert_ready!(poll(&mut stream)), Ok(6));
    for _ in 0..5 {
        assert_pending!(poll(&mut unary));
        tokio::time::advance(LEAST + Duration::from_secs(1)).await;
    }
    assert_pending!(poll(&mut stream));
    tokio::time::advance(LEAST + Duration::from_secs(1)).await;
    assert!(assert_ready!(poll(&mut unary)).unwrap_err().contains("did not arrive"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_read_for_a_while_has_longer_by_that() {
    let (send, mut body) = body(STREAM);
    send.send(vec![0, 0, 0, 0, 9, 7]).unwrap();
    assert_eq!(assert_ready!(poll(&mut body)), Ok(6));
    assert_pending!(poll(&mut body));
    send.send(vec![7]).unwrap();
    assert_eq!(assert_ready!(poll(&mut body)), Ok(1));
    tokio::time::advance(10 * LEAST).await;
    assert_pending!(poll(&mut body));
    tokio::time::advance(LEAST - Duration::from_secs(1)).await;
    assert_pending!(poll(&mut body));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(assert_ready!(poll(&mut body)).is_err());
}

#[tokio::test]
async fn who_begins_too_much_is_refused_until_some_of_it_is_whole() {
    let all = All::new(1000);
    let connection = || (Arrivals::new(&all), Unsent::new(&All::new(1000)));
    let (greedy, other) = (connection(), connection());
    let part = |bytes: usize| [&[0, 0, 0, 9, 9][..], &vec![0; bytes]].concat();
    let (send, mut first) = body_among(GMV, greedy.clone());
    send.send(part(600)).unwrap();
    let said = assert_ready!(poll(&mut first)).unwrap_err();
    assert!(said.contains("600 bytes of messages on this connection"), "{said}");
    // Little is let in, whatever others do.
    let (send, mut small) = body_among(GMV, other);
    send.send(part(10)).unwrap();
    assert_eq!(assert_ready!(poll(&mut small)), Ok(15));
    drop(first);
    let (send, mut second) = body_among(GMV, greedy);
    send.send(part(300)).unwrap();
    assert_eq!(assert_ready!(poll(&mut second)), Ok(305));
}
