//! Accepts connections, as many at a time as there are places for, each in plain or by TLS.
//!
//! What comes over the bound waits in the system's backlog and not in here: it
//! costs no descriptor and no task, and is served once another one leaves.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tracing::{debug, warn};

use super::{
    identity::Peer,
    shares::{Share, Shares},
    tls::{Protocol, Secured, Tls},
};
use crate::telemetry::{Metrics, Port, Presence, Present};

/// How long a new connection may take to begin, the handshake of TLS included. Keepalive asks only
/// peers that did, so that without this a silent one would hold its place for ever.
const GREETING: Duration = Duration::from_secs(10);

/// Bytes of HTTP/2's preface (RFC 9113, section 3.4); a request by HTTP/1.1 has
/// at least as many.
const GREETING_BYTES: usize = 24;

/// Pause after the system refused to accept, e.g. for lack of descriptors: trying
/// again at once would only burn a core until somebody leaves.
const REFUSED: Duration = Duration::from_secs(1);

/// A listener with a bound.
pub(super) struct Incoming {
    listener: TcpListener,
    places: Arc<Semaphore>,
    shares: Shares,
    tls: Option<(Tls, Protocol)>,
    open: Presence,
}

/// What bytes travel by.
#[derive(Debug)]
enum Line {
    Plain(TcpStream),
    Secured(Box<Secured>),
}

/// A connection, and its place until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    line: Line,
    peer: Peer,
    /// Until the greeting was read.
    greeting: Option<Pin<Box<Sleep>>>,
    read: usize,
    // Before the place, so that who comes for that finds it.
    _share: Share,
    _place: OwnedSemaphorePermit,
    _open: Present,
}

impl Incoming {
    /// At most `connections` at a time, which are counted as those of `port`.
    pub(super) fn new(listener: TcpListener, connections: u32, (metrics, port): (&Metrics, Port)) -> Self {
        let open = metrics.connections(port, connections);
        // Rather fewer than the system's word allows than a panic.
        let places = usize::try_from(connections).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        let (places, shares) = (Arc::new(Semaphore::new(places)), Shares::new(connections));
        Self { listener, places, shares, tls: None, open }
    }

    /// The same by TLS, where there are certificates.
    pub(super) fn secured(self, tls: Option<&Tls>, protocol: Protocol) -> Self {
        Self { tls: tls.map(|tls| (tls.clone(), protocol)), ..self }
    }

    /// The same with so many for each address; what comes over them is closed at once.
    pub(super) fn shared(self, most: u32) -> Self {
        Self { shares: Shares::new(most), ..self }
    }

    /// The next connection, once there is a place for it.
    pub(super) async fn accept(&self) -> Connection {
        loop {
            // First, so that what finds no place stays in the backlog.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                // Nobody closes the semaphore.
                std::future::pending().await
            };
            match self.listener.accept().await {
                Ok((stream, address)) => match self.shares.take(address.ip()) {
                    Some(share) => return self.connection(stream, address, (share, place)),
                    None => debug!(%address, "has as many connections as one address may have"),
                },
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    warn!(%error, "can't accept connections");
                    sleep(REFUSED).await;
                }
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        (share, place): (Share, OwnedSemaphorePermit),
    ) -> Connection {
        // Replies are small and wanted now. Where the socket is gone, the next read says so.
        let _ = stream.set_nodelay(true);
        let (line, shown) = match &self.tls {
            Some((tls, protocol)) => {
                let secured = tls.secure(stream, *protocol);
                let shown = secured.shown();
                (Line::Secured(Box::new(secured)), Some(shown))
            }
            None => (Line::Plain(stream), None),
        };
        let peer = Peer::new(address, shown);
        Connection {
            line,
            peer,
            greeting: Some(Box::pin(sleep(GREETING))),
            read: 0,
            _share: share,
            _place: place,
            _open: self.open.one(),
        }
    }
}

/// Whether the connection broke before it was accepted; the next one may be fine.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

impl Connection {
    /// Who is at the other end.
    pub(super) fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// What there is to read and write by, as long as the peer did not take too long to begin.
    fn poll_line(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut dyn Duplex>> {
        if let Some(greeting) = &mut self.greeting
            && greeting.as_mut().poll(context).is_ready()
        {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not begin"));
        }
        Ok(self.line())
    }

    fn line(&mut self) -> Pin<&mut dyn Duplex> {
        match &mut self.line {
            Line::Plain(stream) => Pin::new(stream),
            Line::Secured(stream) => Pin::new(&mut **stream),
        }
    }
}

/// Read and written.
trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.poll_line(context)?.poll_read(context, buffer))?;
        if self.greeting.is_some() {
            self.read += buffer.filled().len() - before;
            if self.read >= GREETING_BYTES {
                self.greeting = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_line(context)?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_line(context)?.poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.line {
            Line::Plain(stream) => stream.is_write_vectored(),
            Line::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_line(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_test::{assert_pending, task};

    use super::*;

    async fn incoming(places: u32) -> (Incoming, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Incoming::new(listener, places, (&Metrics::none(), Port::Data)), address)
    }

    #[tokio::test]
    async fn one_too_many_waits_until_another_leaves() {
        let (incoming, address) = incoming(2).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let (first, _second) = (incoming.accept().await, incoming.accept().await);
        let mut third = task::spawn(incoming.accept());
        assert_pending!(third.poll());
        drop(first);
        assert!(third.is_woken());
        third.await;
    }

    #[tokio::test]
    async fn one_address_leaves_places_for_others() {
        let (incoming, address) = incoming(3).await;
        let incoming = incoming.shared(2);
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let (first, _second) = (incoming.accept().await, incoming.accept().await);
        let mut next = task::spawn(incoming.accept());
        assert_pending!(next.poll());
        // The third is closed, whether that is an end or a reset.
        let (mut third, mut said) = (clients.pop().unwrap(), [0]);
        tokio::select! {
            _ = &mut next => panic!("it was let in"),
            said = third.read(&mut said) => assert!(!matches!(said, Ok(1..))),
        }
        drop(first);
        let _fourth = TcpStream::connect(address).await.unwrap();
        next.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_begin_is_sent_away() {
        let (incoming, address) = incoming(1).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[b'x'; GREETING_BYTES - 1]).await.unwrap();
        let mut connection = incoming.accept().await;
        connection.read_exact(&mut [0; GREETING_BYTES - 1]).await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_began_may_be_silent() {
        let (incoming, address) = incoming(1).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[b'x'; GREETING_BYTES]).await.unwrap();
        let mut connection = incoming.accept().await;
        connection.read_exact(&mut [0; GREETING_BYTES]).await.unwrap();
        let mut next = task::spawn(connection.read_u8());
        assert_pending!(next.poll());
        tokio::time::advance(10 * GREETING).await;
        assert_pending!(next.poll());
    }
}
