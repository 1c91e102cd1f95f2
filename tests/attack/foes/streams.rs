//! A hundred thousand streams on one connection.

use std::{
    collections::VecDeque,
    future::poll_fn,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use h2::{
    SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::yield_now,
    time::{sleep, timeout, timeout_at},
};

use super::{
    Size,
    frames::{END_HEADERS, HEADERS, Wire, call, frame},
};
use crate::{
    honest::connection::{Target, head},
    questions::UNARY,
};

/// How many.
const STREAMS: usize = 100_000;

/// Streams that are opened, or ended, in one go.
const TOGETHER: usize = 100;

/// How long the server may take to let one more be opened, before the oldest ones are ended.
const PATIENCE: Duration = Duration::from_millis(1);

/// As many at a time as the server allows, all without a message; the oldest end where there is no place.
pub(super) async fn within(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let (count, end) = (size.count(STREAMS), size.end());
    let head = head(Target { address: target, generation: 0 }, UNARY, None)?;
    let mut sender = connect(target).await?;
    let (mut open, mut opened, mut most, mut connections) = (VecDeque::new(), 0, 0, 1);
    while opened < count && Instant::now() < end {
        // One sender for all: it is ready once what it opened last has its place.
        let ready = timeout(PATIENCE, poll_fn(|context| sender.poll_ready(context))).await;
        let sent = ready.map(|ready| ready.and_then(|()| sender.send_request(head.clone(), false)));
        match sent {
            Ok(Ok(stream)) => {
                open.push_back(stream);
                opened += 1;
                most = most.max(open.len());
                // What is sent has its place, or none, only once the connection had its turn.
                yield_now().await;
            }
            // The connection is gone.
            Ok(Err(_)) => {
                open.clear();
                sender = connect(target).await?;
                connections += 1;
            }
            Err(_) => finish(open.drain(..open.len().min(TOGETHER)).collect()).await,
        }
    }
    // Those that are left stay for as long as the others.
    sleep(end.saturating_duration_since(Instant::now())).await;
    Ok(format!("{opened} streams, at most {most} at a time, {connections} connections"))
}

/// Ends streams, and waits until the server has.
async fn finish(streams: Vec<(ResponseFuture, SendStream<Bytes>)>) {
    let answers = streams.into_iter().map(|(answer, mut out)| {
        // It may have ended by itself.
        let _ = out.send_data(Bytes::new(), true);
        answer
    });
    let _ = timeout(Duration::from_secs(1), join_all(answers)).await;
}

async fn connect(target: SocketAddr) -> anyhow::Result<SendRequest<Bytes>> {
    let (sender, connection) = client::handshake(TcpStream::connect(target).await?).await?;
    tokio::spawn(connection);
    // The server's bound is in its settings, which come first.
    sleep(PATIENCE * 50).await;
    Ok(sender)
}

/// One after the other, without waiting for anything.
pub(super) async fn beyond(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let (count, end, block) = (size.count(STREAMS), size.end(), call());
    let (mut sent, mut refused, mut connections) = (0, 0, 0);
    while sent < count && Instant::now() < end {
        let mut wire = Wire::open(target).await?;
        connections += 1;
        let mut stream = 1;
        while sent < count && Instant::now() < end && !wire.is_over() {
            let mut frames = BytesMut::new();
            for _ in 0..TOGETHER {
                frame(&mut frames, (HEADERS, END_HEADERS), stream, &block);
                stream += 2;
            }
            if !matches!(timeout_at(end.into(), wire.out.write_all(&frames)).await, Ok(Ok(()))) {
                break;
            }
            sent += TOGETHER;
            sleep(Duration::from_millis(2)).await;
        }
        refused += wire.said().resets;
    }
    Ok(format!("{sent} streams, {refused} refused, {connections} connections"))
}
