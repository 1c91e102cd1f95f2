//! Connections that come and go, and those that go by halves.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use super::{
    Size,
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, call, frame, hello},
};

/// A thousand a second.
const EVERY: Duration = Duration::from_millis(1);

/// Connections that go by halves.
const HALF: usize = 500;

/// Connects and leaves, every other time after a hello.
pub(super) async fn run(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let (begun, end) = (Instant::now(), size.end());
    let (mut came, mut open) = (0_u32, JoinSet::new());
    while Instant::now() < end {
        while begun + EVERY * came < Instant::now() {
            open.spawn(come_and_go(target, came % 2 == 0));
            came += 1;
        }
        while open.try_join_next().is_some() {}
        sleep(EVERY).await;
    }
    open.join_all().await;
    Ok(format!("{came} connections"))
}

async fn come_and_go(target: SocketAddr, hello_first: bool) {
    let connected = timeout(Duration::from_secs(5), TcpStream::connect(target)).await;
    if let (Ok(Ok(mut stream)), true) = (connected, hello_first) {
        // It may be closed already.
        let _ = stream.write_all(&hello()).await;
    }
}

/// Half send a whole request, half nothing; all stop sending then, and stay.
pub(super) async fn half_closed(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let (count, end) = (size.count(HALF), size.end());
    let mut open = JoinSet::new();
    for number in 0..count {
        open.spawn(by_halves(target, number % 2 == 0, end));
        sleep(EVERY).await;
    }
    let each = open.join_all().await;
    let answered = each.iter().filter(|(bytes, _)| *bytes > 0).count();
    let ended = each.iter().filter(|(_, ended)| *ended).count();
    Ok(format!("{count} connections, {answered} answered, {ended} ended by the server"))
}

/// Bytes that came back, and whether the server closed its half too.
async fn by_halves(target: SocketAddr, asks: bool, end: Instant) -> (usize, bool) {
    let Ok(mut stream) = TcpStream::connect(target).await else { return (0, true) };
    let mut frames = BytesMut::new();
    if asks {
        frames = hello();
        frame(&mut frames, (HEADERS, END_HEADERS), 1, &call());
        frame(&mut frames, (DATA, END_STREAM), 1, &[0; 5]);
    }
    if stream.write_all(&frames).await.is_err() || stream.shutdown().await.is_err() {
        return (0, true);
    }
    let mut said = Vec::new();
    let left = end.saturating_duration_since(Instant::now());
    let ended = timeout(left, stream.read_to_end(&mut said)).await.is_ok();
    sleep_until(end.into()).await;
    (said.len(), ended)
}
