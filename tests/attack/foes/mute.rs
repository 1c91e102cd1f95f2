//! Connections that ask for replies of megabytes and read none of them.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::client;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::Size;
use crate::{
    honest::connection::{Target, head},
    questions::{Merchants, UNARY},
};

/// How many.
const CONNECTIONS: usize = 100;

/// Requests of each that is still read, which are half of them: replies of 1.7 MB, 350 in all, which is 595 MB.
const REQUESTS: usize = 6;

/// Rows of each, as many as a request may have.
const ROWS: usize = 1024;

/// The widest windows that there are.
const WIDE: u32 = (1 << 31) - 1;

/// Half of them never open their windows, the other half stop to read the socket.
pub(super) async fn run(target: SocketAddr, size: Size, golden: &Path) -> anyhow::Result<String> {
    let (count, end) = (size.count(CONNECTIONS), Instant::from(size.end()));
    let request = Merchants::golden(golden)?.large(size.count(ROWS));
    let mut open = JoinSet::new();
    // Scoring what they ask for is honest work, of which there is not to be too much at a time.
    let apart = Duration::from_secs_f64(0.7 * size.seconds / count as f64);
    for number in 0..count {
        open.spawn(ask(target, request.clone(), number % 2 == 0, end));
        sleep(apart).await;
    }
    let each = open.join_all().await;
    let begun: usize = each.iter().flatten().sum();
    let gone = each.iter().filter(|asked| asked.is_err()).count();
    Ok(format!("{count} connections, {begun} replies begun, {gone} connections ended by the server"))
}

/// How many of the replies began.
async fn ask(target: SocketAddr, request: Bytes, closed: bool, end: Instant) -> Result<usize, ()> {
    let deaf = Arc::new(AtomicBool::new(false));
    let stream = TcpStream::connect(target).await.map_err(|_| ())?;
    let socket = Deaf { stream, deaf: Arc::clone(&deaf) };
    let mut builder = client::Builder::new();
    builder.initial_window_size(if closed { 0 } else { WIDE }).initial_connection_window_size(WIDE);
    let (sender, connection) = builder.handshake::<_, Bytes>(socket).await.map_err(|_| ())?;
    let driver = tokio::spawn(connection);
    let mut held = Vec::new();
    for _ in 0..REQUESTS {
        let target = Target { address: target, generation: 0 };
        let mut sender = sender.clone().ready().await.map_err(|_| ())?;
        let (answer, mut out) =
            sender.send_request(head(target, UNARY, None).map_err(|_| ())?, false).map_err(|_| ())?;
        let _ = out.send_data(request.clone(), true);
        let patience = Duration::from_secs(5).min(end.saturating_duration_since(Instant::now()));
        if let Ok(Ok(answer)) = timeout(patience, answer).await {
            held.push((answer, out));
        }
        // From the first reply on.
        deaf.store(!closed, Ordering::Relaxed);
        if (!closed && !held.is_empty()) || Instant::now() >= end {
            break;
        }
    }
    sleep_until(end).await;
    let gone = driver.is_finished();
    driver.abort();
    if gone { Err(()) } else { Ok(held.len()) }
}

/// A socket that is not read any more.
struct Deaf {
    stream: TcpStream,
    deaf: Arc<AtomicBool>,
}

impl AsyncRead for Deaf {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Nobody wakes it again, which is what deaf means.
        if self.deaf.load(Ordering::Relaxed) {
            Poll::Pending
        } else {
            Pin::new(&mut self.stream).poll_read(context, into)
        }
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
