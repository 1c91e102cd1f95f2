//! Compressed messages of requests, unpacked in turns that leave the thread to others: a message that
//! expands to the largest there may be takes some ten milliseconds, and tonic would take them at once.
//!
//! What comes out is the same without compression. What is not right is told in tonic's words.

use std::{
    collections::VecDeque,
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut, buf::Reader};
use flate2::bufread::{GzDecoder, ZlibDecoder};
use http::Request;
use http_body::{Body as _, Frame};
use tonic::{Status, body::Body};

use super::{
    oversize::within,
    turns::{Turn, others_first},
};

/// Bytes before a message: whether it is compressed, and its length (gRPC over HTTP/2, *Length-Prefixed-Message*).
pub const PREFIX: usize = 5;

/// Bytes that are unpacked between two looks at the clock.
const STEP: usize = 8 * 1024;

/// Bytes of a piece of what was unpacked: none is moved because another one comes.
const PIECE: usize = 64 * 1024;

/// Largest window of zstd, as an exponent of two: what every decoder has to have, and none has to exceed
/// (RFC 8878, section 3.1.1.1.2).
const WINDOW: u32 = 23;

const ENCODING: &str = "grpc-encoding";

/// How messages are compressed.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Gzip,
    Deflate,
    Zstd,
}

impl Encoding {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn reader(self, message: Bytes) -> io::Result<Box<dyn Read + Send>> {
        let packed: Reader<Bytes> = message.reader();
        Ok(match self {
            Self::Gzip => Box::new(GzDecoder::new(packed)),
            Self::Deflate => Box::new(ZlibDecoder::new(packed)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(WINDOW)?;
                Box::new(decoder)
            }
        })
    }
}

/// A request whose messages are as if they had never been compressed; each may have so many bytes.
pub fn unpacked(mut request: Request<Body>, most: usize) -> Request<Body> {
    let Some(encoding) = request.headers().get(ENCODING).and_then(|name| Encoding::of(name.as_bytes())) else {
        // None, or one that tonic says no to.
        return request;
    };
    request.headers_mut().remove(ENCODING);
    request.map(|body| {
        let (arrived, turn) = (BytesMut::new(), Turn::begin());
        Body::new(Unpacked { body, encoding, most, arrived, message: None, ready: VecDeque::new(), turn })
    })
}

/// See the module.
struct Unpacked {
    body: Body,
    encoding: Encoding,
    most: usize,
    /// What is not a whole message yet.
    arrived: BytesMut,
    /// What is being unpacked.
    message: Option<Message>,
    /// What may be read.
    ready: VecDeque<Bytes>,
    turn: Turn,
}

/// A message that is being unpacked.
struct Message {
    packed: Box<dyn Read + Send>,
    pieces: VecDeque<Bytes>,
    piece: BytesMut,
    length: usize,
}

impl Message {
    fn of(packed: Box<dyn Read + Send>) -> Self {
        Self { packed, pieces: VecDeque::new(), piece: BytesMut::new(), length: 0 }
    }

    /// Unpacks a bit more; whether that was all, and how much it was.
    fn step(&mut self, most: usize) -> Result<(bool, usize), Status> {
        let before = self.piece.len();
        self.piece.resize(before + STEP, 0);
        let read = self.packed.read(self.piece.get_mut(before..).unwrap_or_default());
        let read = read.map_err(|error| broken(&error))?;
        self.piece.truncate(before + read);
        self.length += read;
        if self.length > most {
            return Err(Status::resource_exhausted(format!(
                "Error decompressing: size limit, of {most} bytes, exceeded while decompressing message"
            )));
        }
        if self.piece.len() + STEP > PIECE {
            let next = BytesMut::with_capacity(PIECE);
            self.pieces.push_back(std::mem::replace(&mut self.piece, next).freeze());
        }
        Ok((read == 0, read))
    }

    /// All of it, as a message that never was compressed.
    fn pieces(mut self) -> Result<VecDeque<Bytes>, Status> {
        self.pieces.push_back(self.piece.freeze());
        let mut prefix = BytesMut::with_capacity(PREFIX);
        prefix.put_u8(0);
        // The bound of messages may be set wider than messages can be.
        prefix.put_u32(u32::try_from(self.length).map_err(|error| broken(&io::Error::other(error)))?);
        self.pieces.push_front(prefix.freeze());
        Ok(self.pieces)
    }
}

fn broken(error: &io::Error) -> Status {
    Status::internal(format!("Error decompressing: {error}, while sending request"))
}

impl Unpacked {
    /// Begins with the next message that is whole; whether there is one.
    fn begin(&mut self) -> Result<bool, Status> {
        let Some([flag, length @ ..]) = self.arrived.first_chunk::<PREFIX>() else { return Ok(false) };
        let (is_packed, length) = (*flag == 1, u32::from_be_bytes(*length) as usize);
        within(length, self.most)?;
        if self.arrived.len() < PREFIX + length {
            return Ok(false);
        }
        let mut message = self.arrived.split_to(PREFIX + length).freeze();
        if is_packed {
            message.advance(PREFIX);
            let packed = self.encoding.reader(message).map_err(|error| broken(&error))?;
            self.message = Some(Message::of(packed));
        } else {
            self.ready.push_back(message);
        }
        Ok(true)
    }

    /// Unpacks until all is there, or the others have their turn.
    fn poll_unpack(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        while let Some(message) = &mut self.message {
            let (is_all, bytes) = message.step(self.most)?;
            if is_all && let Some(message) = self.message.take() {
                self.ready = message.pieces()?;
            }
            ready!(self.poll_turn(bytes, context));
        }
        Poll::Ready(Ok(()))
    }

    /// Whether to go on, after so many bytes.
    fn poll_turn(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<()> {
        if !self.turn.is_over_after(bytes) {
            return Poll::Ready(());
        }
        self.turn = Turn::begin();
        others_first(context);
        Poll::Pending
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Status>> {
        loop {
            ready!(self.poll_unpack(context))?;
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Ok(Some(Frame::data(piece))));
            }
            if self.begin()? {
                continue;
            }
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context)).transpose()?;
            self.turn = Turn::begin();
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => self.arrived.extend_from_slice(&data),
                Some(Err(trailers)) => return Poll::Ready(Ok(Some(trailers))),
                // What was cut short is tonic's to judge.
                None if !self.arrived.is_empty() => self.ready.push_back(self.arrived.split().freeze()),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }
}

impl http_body::Body for Unpacked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.poll_next(context).map(Result::transpose)
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.ready.is_empty() && self.arrived.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Write as _};

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use tokio_test::task;

    use super::*;

    const MOST: usize = 1 << 20;

    fn packed(encoding: &str, message: &[u8]) -> Vec<u8> {
        match encoding {
            "gzip" => {
                let mut into = GzEncoder::new(Vec::new(), Compression::fast());
                into.write_all(message).unwrap();
                into.finish().unwrap()
            }
            "deflate" => {
                let mut into = ZlibEncoder::new(Vec::new(), Compression::fast());
                into.write_all(message).unwrap();
                into.finish().unwrap()
            }
            _ => zstd::encode_all(message, 3).unwrap(),
        }
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        [&[flag][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
    }

    /// A body of these parts.
    struct Parts(VecDeque<Bytes>);

    impl http_body::Body for Parts {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
        }
    }

    /// A request of these bytes, which arrive so many at a time.
    fn request(encoding: &str, bytes: &[u8], cut: usize) -> Request<Body> {
        let parts = bytes.chunks(cut).map(Bytes::copy_from_slice).collect();
        Request::builder().header(ENCODING, encoding).body(Body::new(Parts(parts))).unwrap()
    }

    async fn all(mut body: Body) -> Result<Vec<u8>, Status> {
        let mut read = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            read.extend_from_slice(&frame?.into_data().unwrap());
        }
        Ok(read)
    }

    async fn read(request: Request<Body>) -> Result<Vec<u8>, Status> {
        let request = unpacked(request, MOST);
        assert!(request.headers().get(ENCODING).is_none());
        all(request.into_body()).await
    }

    #[tokio::test]
    async fn messages_are_what_they_were_before_they_were_compressed() {
        let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).take(MOST).collect();
        for encoding in ["gzip", "deflate", "zstd"] {
            let messages = [&long[..], b"short", b""];
            let sent = messages.map(|message| framed(1, &packed(encoding, message))).concat();
            let sent = [sent, framed(0, b"as it is")].concat();
            let wanted = [messages.map(|message| framed(0, message)).concat(), framed(0, b"as it is")].concat();
            for cut in [1000, sent.len()] {
                assert!(read(request(encoding, &sent, cut)).await.unwrap() == wanted, "{encoding} {cut}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_broken_is_refused_in_tonics_words() {
        for encoding in ["gzip", "deflate", "zstd"] {
            let bomb = framed(1, &packed(encoding, &vec![0; 100 * MOST]));
            let refused = read(request(encoding, &bomb, 1 << 20)).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused:?}");
            assert!(refused.message().contains("size limit, of 1048576 bytes"), "{refused:?}");
            let broken = read(request(encoding, &framed(1, &[7; 100]), 100)).await.unwrap_err();
            assert_eq!(broken.code(), tonic::Code::Internal, "{broken:?}");
        }
        let long = read(request("gzip", &[1, 1, 0, 0, 0], 5)).await.unwrap_err();
        assert!(long.message().contains("found 16777216 bytes, the limit is: 1048576"), "{long:?}");
    }

    #[tokio::test]
    async fn what_is_cut_short_stays_so() {
        assert_eq!(read(request("gzip", &[1, 0, 0, 0, 9, 7], 6)).await.unwrap(), [1, 0, 0, 0, 9, 7]);
    }

    #[test]
    fn others_have_their_turn_while_a_message_is_unpacked() {
        let message = framed(1, &packed("gzip", &vec![0; 64 << 20]));
        let mut body = unpacked(request("gzip", &message, message.len()), 64 << 20).into_body();
        let mut next = task::spawn(poll_fn(|context| Pin::new(&mut body).poll_frame(context)));
        let mut turns = 0;
        while next.poll().is_pending() {
            assert!(next.is_woken());
            turns += 1;
        }
        // Nobody unpacks 64 MiB within a turn.
        assert!(turns > 5, "{turns}");
    }

    #[tokio::test]
    async fn what_is_not_compressed_is_left_alone() {
        let plain = Request::new(Body::new(Parts(VecDeque::from([Bytes::from_static(b"abc")]))));
        assert_eq!(all(unpacked(plain, 1).into_body()).await.unwrap(), b"abc");
        let other = unpacked(request("br", b"abc", 3), 1);
        assert_eq!(other.headers().get(ENCODING).unwrap(), "br");
    }
}
