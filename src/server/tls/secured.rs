//! A connection by TLS whose handshake is made by whoever reads or writes first.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::handshake::{Handshake, Opened, Shown};

/// See the module.
pub(in crate::server) struct Secured {
    state: State,
    shown: ShownSoon,
}

/// The client's certificate, once the handshake has come so far.
pub(in crate::server) type ShownSoon = Arc<ArcSwapOption<Shown>>;

enum State {
    Handshake(BoxFuture<'static, io::Result<Opened>>),
    Open(Box<TlsStream<TcpStream>>),
    Failed,
}

impl fmt::Debug for Secured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secured").field("shown", &self.shown.load()).finish_non_exhaustive()
    }
}

impl Secured {
    pub(super) fn new(handshake: Handshake) -> Self {
        Self { state: State::Handshake(Box::pin(handshake.done())), shown: Arc::default() }
    }

    /// The client's certificate; nothing before the handshake's end, which is before anything
    /// can be read.
    pub(in crate::server) fn shown(&self) -> ShownSoon {
        Arc::clone(&self.shown)
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let State::Handshake(handshake) = &mut self.state {
            self.state = match ready!(handshake.as_mut().poll(context)) {
                Ok(Opened { stream, shown }) => {
                    self.shown.store(shown.map(Arc::new));
                    State::Open(Box::new(stream))
                }
                Err(error) => {
                    self.state = State::Failed;
                    return Poll::Ready(Err(error));
                }
            };
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?.poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(context),
            // Nothing was said that would have to be ended.
            _ => Poll::Ready(Ok(())),
        }
    }
}
