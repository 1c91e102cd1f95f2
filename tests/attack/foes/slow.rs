//! Connections that send a byte a second.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Size,
    frames::{self, DATA, END_HEADERS, HEADERS, call, frame, hello},
};

/// How many.
const CONNECTIONS: usize = 1000;

/// How many connect in a moment.
const TOGETHER: usize = 20;

/// A quarter sends its preface so, a quarter its headers, half its body.
pub(super) async fn run(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let (count, end) = (size.count(CONNECTIONS), size.end().into());
    let mut open = JoinSet::new();
    for number in 0..count {
        let (at_once, slowly) = script(number);
        open.spawn(trickle(target, at_once, slowly, end));
        if number % TOGETHER == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let stayed = open.join_all().await.into_iter().filter(|stayed| *stayed).count();
    Ok(format!("{count} connections, {} sent away", count - stayed))
}

/// What is sent at once, and what byte by byte.
fn script(number: usize) -> (Bytes, Bytes) {
    let mut whole = hello();
    let headers = whole.len();
    frame(&mut whole, (HEADERS, END_HEADERS), 1, &call());
    let body = whole.len();
    frame(&mut whole, (DATA, 0), 1, &[0; 1000]);
    let at_once = match number % 4 {
        0 => 1,
        1 => headers + 9,
        // A whole frame's head promises what follows.
        _ => body + 9,
    };
    let slowly = whole.split_off(at_once.min(whole.len()));
    (BytesMut::freeze(whole), slowly.freeze())
}

/// Whether the server still has it at the end.
async fn trickle(target: SocketAddr, at_once: Bytes, slowly: Bytes, end: Instant) -> bool {
    let Ok(mut stream) = TcpStream::connect(target).await else { return false };
    if stream.write_all(&at_once).await.is_err() {
        return false;
    }
    for byte in slowly {
        let next = Instant::now() + Duration::from_secs(1);
        if next >= end {
            break;
        }
        let mut said = [0; frames::MOST];
        // What it says is read, so that its end is seen.
        while let Ok(read) = timeout(next.saturating_duration_since(Instant::now()), stream.read(&mut said)).await {
            if !matches!(read, Ok(1..)) {
                return false;
            }
        }
        if stream.write_all(&[byte]).await.is_err() {
            return false;
        }
    }
    sleep_until(end).await;
    true
}
