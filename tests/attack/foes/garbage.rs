//! Bytes that are no HTTP/2.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{BufMut as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    Size,
    frames::{CONTINUATION, DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, call, frame, hello},
};

/// Between two connections.
const PAUSE: Duration = Duration::from_millis(5);

/// One connection after the other, each with other bytes.
pub(super) async fn run(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let (end, mut sent, mut open) = (size.end(), 0, 0);
    let mut random = 1_u64;
    while Instant::now() < end {
        let bytes = bytes(sent, &mut random);
        let mut stream = TcpStream::connect(target).await?;
        sent += 1;
        // The server may have had enough before the end.
        let _ = stream.write_all(&bytes).await;
        let mut said = Vec::new();
        open += usize::from(timeout(20 * PAUSE, stream.read_to_end(&mut said)).await.is_err());
        sleep(PAUSE).await;
    }
    Ok(format!("{sent} connections, {open} of them not ended within {:?}", 20 * PAUSE))
}

fn bytes(turn: usize, random: &mut u64) -> BytesMut {
    let mut bytes = BytesMut::new();
    match turn % 9 {
        0 => noise(&mut bytes, random),
        1 => bytes.put_slice(b"GET / HTTP/1.1\r\nHost: souk\r\n\r\n"),
        // The begin of a TLS handshake.
        2 => bytes.put_slice(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]),
        3 => {
            bytes.put_slice(PREFACE);
            noise(&mut bytes, random);
        }
        4 => {
            bytes.put_slice(PREFACE);
            frame(&mut bytes, (SETTINGS, 0), 0, &[0; 5]);
        }
        5 => {
            bytes = hello();
            frame(&mut bytes, (DATA, 0), 0, &[0; 8]);
        }
        6 => {
            bytes = hello();
            bytes.put_slice(&[0xff, 0xff, 0xff, HEADERS, END_HEADERS, 0, 0, 0, 1]);
        }
        7 => {
            bytes = hello();
            frame(&mut bytes, (CONTINUATION, END_HEADERS), 1, &call());
        }
        // A message that is none, in a call that is one.
        _ => {
            bytes = hello();
            frame(&mut bytes, (HEADERS, END_HEADERS), 1, &call());
            let mut body = BytesMut::from(&[0, 0, 0, 4, 0][..]);
            (0..128).for_each(|_| noise(&mut body, random));
            body.truncate(5 + 1024);
            frame(&mut bytes, (DATA, 1), 1, &body);
        }
    }
    bytes
}

/// xorshift64 (Marsaglia 2003): the same bytes each time.
fn noise(into: &mut BytesMut, random: &mut u64) {
    for _ in 0..16 {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        into.put_u64(*random);
    }
}
