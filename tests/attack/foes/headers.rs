//! 16 MB of headers.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{io::AsyncWriteExt as _, time::sleep};

use super::{
    Size,
    frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, MOST, Wire, call, frame, text},
};

/// In bytes.
const WHOLE: usize = 16 << 20;

/// Between two connections.
const PAUSE: Duration = Duration::from_millis(50);

/// Frames between two looks at whether the server is still there.
const TOGETHER: usize = 16;

/// One connection after the other, each with another kind of block.
pub(super) async fn run(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let whole = size.count(WHOLE);
    let blocks = [one(whole), small(whole), repeated(whole)];
    let (end, mut sent, mut connections, mut went) = (size.end(), 0, 0, BTreeSet::new());
    for block in blocks.iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        let mut wire = Wire::open(target).await?;
        connections += 1;
        sent += send(&mut wire, block, end).await;
        // Time to say why.
        sleep(PAUSE).await;
        went.extend(wire.said().went);
    }
    Ok(format!("{connections} connections, {} MB sent, ended by the server with {went:?}", sent >> 20))
}

/// Sends a block of headers as one HEADERS and many CONTINUATION, as far as the server lets it.
async fn send(wire: &mut Wire, block: &Bytes, end: Instant) -> usize {
    let pieces = block.chunks(MOST).collect::<Vec<_>>();
    let last = pieces.len();
    let mut sent = 0;
    for (batch, together) in pieces.chunks(TOGETHER).enumerate() {
        let mut frames = BytesMut::new();
        for (index, piece) in together.iter().enumerate() {
            let number = batch * TOGETHER + index + 1;
            let kind = if number == 1 { HEADERS } else { CONTINUATION };
            let ended = if number == last { END_HEADERS } else { 0 };
            let flags = if number == 1 { ended | END_STREAM } else { ended };
            frame(&mut frames, (kind, flags), 1, piece);
        }
        if wire.is_over() || Instant::now() >= end || wire.out.write_all(&frames).await.is_err() {
            break;
        }
        sent += frames.len();
        tokio::task::yield_now().await;
    }
    sent
}

/// One header with a value of that size.
fn one(whole: usize) -> Bytes {
    let mut block = BytesMut::from(&call()[..]);
    block.put_u8(0);
    text(&mut block, b"x");
    text(&mut block, &vec![b'x'; whole]);
    block.freeze()
}

/// Headers of a few bytes.
fn small(whole: usize) -> Bytes {
    let mut block = BytesMut::from(&call()[..]);
    let mut thousand = BytesMut::new();
    for number in 1000..2000 {
        thousand.put_u8(0);
        text(&mut thousand, format!("x-{number}").as_bytes());
        text(&mut thousand, b"");
    }
    block.put_slice(&thousand.repeat(whole / thousand.len()));
    block.freeze()
}

/// One of 4,000 bytes that goes into the table, and then its number, a byte each: 60 GB once they are written
/// out.
fn repeated(whole: usize) -> Bytes {
    let mut block = BytesMut::from(&call()[..]);
    block.put_u8(0x40);
    text(&mut block, b"x");
    text(&mut block, &[b'x'; 4000]);
    block.put_bytes(0x80 | 62, whole);
    block.freeze()
}
