//! Frames that cost their sender nothing.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use futures::future::try_join_all;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{sleep, timeout, timeout_at},
};

use super::{
    Size,
    frames::{END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, Wire, call, frame, hello, reset},
};

/// Connections at a time.
const CONNECTIONS: usize = 4;

/// Between two bursts of a connection.
const PAUSE: Duration = Duration::from_millis(10);

/// Frames, or pairs of them, in a burst: with [`PAUSE`] and [`CONNECTIONS`] some 40,000 a second.
const BURST: usize = 100;

/// Streams of a connection that begins anew before it is slowed down.
const FEW: usize = 200;

/// Opens streams and resets them at once: half by connections that stay as long as the server reads them, half by
/// new ones all the time.
pub(super) async fn resets(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let end = size.end();
    let each = (0..CONNECTIONS).map(|number| resetting(target, if number % 2 == 0 { usize::MAX } else { FEW }, end));
    let each = try_join_all(each).await?;
    let (sent, connections) = each.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let went: BTreeSet<u32> = each.into_iter().flat_map(|(_, _, went)| went).collect();
    Ok(format!("{sent} streams, {connections} connections, ended by the server with {went:?}"))
}

async fn resetting(target: SocketAddr, most: usize, end: Instant) -> anyhow::Result<(usize, usize, BTreeSet<u32>)> {
    let (mut sent, mut connections, mut went, block) = (0_usize, 0, BTreeSet::new(), call());
    while Instant::now() < end {
        let mut wire = Wire::open(target).await?;
        connections += 1;
        let (mut stream, until) = (1, sent.saturating_add(most));
        while Instant::now() < end && sent < until && !wire.is_over() {
            let mut frames = BytesMut::new();
            for _ in 0..BURST {
                frame(&mut frames, (HEADERS, END_HEADERS | END_STREAM), stream, &block);
                reset(&mut frames, stream);
                stream += 2;
            }
            // A server that reads slowly is one that holds.
            if !matches!(timeout_at(end.into(), wire.out.write_all(&frames)).await, Ok(Ok(()))) {
                break;
            }
            sent += BURST;
            sleep(PAUSE).await;
        }
        went.extend(wire.said().went);
    }
    Ok((sent, connections, went))
}

/// Asks for answers of the connection itself, and reads none.
pub(super) async fn pings(target: SocketAddr, size: Size) -> anyhow::Result<String> {
    let end = size.end();
    let each = try_join_all((0..CONNECTIONS).map(|_| pinging(target, end))).await?;
    let (sent, connections) = each.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    Ok(format!("{sent} frames, {connections} connections"))
}

async fn pinging(target: SocketAddr, end: Instant) -> anyhow::Result<(usize, usize)> {
    let mut frames = BytesMut::new();
    for _ in 0..BURST {
        frame(&mut frames, (PING, 0), 0, &[7; 8]);
        frame(&mut frames, (SETTINGS, 0), 0, &[]);
    }
    let (mut sent, mut connections) = (0, 0);
    while Instant::now() < end {
        let mut stream = TcpStream::connect(target).await?;
        connections += 1;
        if stream.write_all(&hello()).await.is_err() {
            continue;
        }
        while Instant::now() < end {
            // A server that waits for its answers to be read no longer reads: that is all that it need do.
            match timeout(PAUSE * 10, stream.write_all(&frames)).await {
                Ok(Ok(())) => sent += 2 * BURST,
                Ok(Err(_)) => break,
                Err(_) => sleep(PAUSE).await,
            }
            sleep(PAUSE).await;
        }
    }
    Ok((sent, connections))
}
