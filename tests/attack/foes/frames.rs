//! HTTP/2 by hand, for what no well-behaved library sends (RFC 9113; headers by RFC 7541).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use crate::questions::UNARY;

/// What every client begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Largest frame that a server takes unless it says otherwise.
pub(super) const MOST: usize = 1 << 14;

/// Kinds of frames.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

/// Flags.
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// CANCEL, as what resets a stream.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Appends a frame.
pub(super) fn frame(into: &mut BytesMut, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
    into.put_uint(payload.len() as u64, 3);
    into.put_slice(&[kind, flags]);
    into.put_u32(stream);
    into.put_slice(payload);
}

/// Appends a reset.
pub(super) fn reset(into: &mut BytesMut, stream: u32) {
    frame(into, (RST_STREAM, 0), stream, &CANCEL);
}

/// The preface with empty settings.
pub(super) fn hello() -> BytesMut {
    let mut hello = BytesMut::from(PREFACE);
    frame(&mut hello, (SETTINGS, 0), 0, &[]);
    hello
}

/// The headers of a unary call, without any of the table's state.
pub(super) fn call() -> Bytes {
    let mut block = BytesMut::new();
    // `:method: POST` and `:scheme: http` of the static table; `:path`, `:authority` and `content-type` by name.
    block.put_slice(&[0x83, 0x86]);
    for (name, value) in [(&[0x04][..], UNARY), (&[0x01], "souk"), (&[0x0f, 0x10], "application/grpc")] {
        block.put_slice(name);
        text(&mut block, value.as_bytes());
    }
    block.put_u8(0);
    text(&mut block, b"te");
    text(&mut block, b"trailers");
    block.freeze()
}

/// A string, not Huffman-coded; its length with a prefix of seven bits (RFC 7541, section 5.1).
pub(super) fn text(into: &mut BytesMut, value: &[u8]) {
    let mut rest = value.len();
    if rest < 127 {
        into.put_u8(rest as u8);
    } else {
        into.put_u8(127);
        rest -= 127;
        while rest >= 128 {
            into.put_u8((rest % 128 + 128) as u8);
            rest /= 128;
        }
        into.put_u8(rest as u8);
    }
    into.put_slice(value);
}

/// A connection whose frames are read and thrown away.
pub(super) struct Wire {
    pub(super) out: OwnedWriteHalf,
    said: Arc<Mutex<Said>>,
    reading: JoinHandle<()>,
}

/// What a server said before it closed a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    /// Streams that it reset.
    pub(super) resets: usize,
    /// The error of its GOAWAY, where there was one.
    pub(super) went: Option<u32>,
}

impl Wire {
    /// Connects and says hello.
    pub(super) async fn open(target: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        let (read, mut out) = stream.into_split();
        out.write_all(&hello()).await?;
        let said = Arc::new(Mutex::new(Said::default()));
        let reading = tokio::spawn(listen(read, Arc::clone(&said)));
        Ok(Self { out, said, reading })
    }

    /// Whether the server has closed it.
    pub(super) fn is_over(&self) -> bool {
        self.reading.is_finished()
    }

    /// What the server said so far.
    pub(super) fn said(&self) -> Said {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn listen(mut read: OwnedReadHalf, said: Arc<Mutex<Said>>) {
    // Ends with the connection.
    while let Ok((kind, payload)) = next(&mut read).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            RST_STREAM => said.resets += 1,
            GOAWAY => said.went = payload.get(4..8).and_then(|code| code.try_into().ok()).map(u32::from_be_bytes),
            _ => {}
        }
    }
}

async fn next(read: &mut OwnedReadHalf) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await?;
    let [high, middle, low, kind, ..] = head;
    let mut payload = vec![0; usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)];
    read.read_exact(&mut payload).await?;
    Ok((kind, payload))
}
