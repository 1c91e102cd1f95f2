//! One connection of HTTP/2 from its first byte to its last.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming as Arrived, server::conn::http2};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower::Service;
use tracing::debug;

use super::{
    CONNECTION_WINDOW, HEADERS, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, RESETS, Rules, SEND_BUFFER, STREAM_WINDOW,
    arriving::{Arrivals, Arriving},
    calls::Calls,
    pace::Paced,
    unsent::{Counted, Unsent},
};
use crate::server::{identity::Peer, incoming::Connection};

/// What answers calls, whatever its body is.
pub(super) trait Answers<B>:
    Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<S, B> Answers<B> for S where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// Answers the calls of a connection until its peer leaves, or `close` and its calls are answered.
pub(super) async fn serve<S, B>(connection: Connection, calls: S, rules: Rules, close: CancellationToken)
where
    S: Answers<B>,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    let (open, unsent, age) = (Calls::new(), Unsent::new(&rules.unsent), rules.age(connection.peer().address));
    let stranger = connection.peer();
    let peer = rules.tells_peers.then(|| connection.peer());
    let arrivals = Arrivals::new(&rules.partial);
    let service = TowerToHyperService::new(OfPeer { calls, peer, arrivals, unsent: unsent.clone() });
    let paced = Paced::new(connection, open.clone(), rules.calls);
    let serving = http2(&rules, open.clone()).serve_connection(TokioIo::new(paced), service);
    let past = async {
        tokio::select! {
            () = bounded(rules.idle, |most| open.idle(most)) => {}
            () = bounded(age, sleep) => {}
            () = bounded(rules.strange, |most| stranger.strange(most)) => {}
        }
    };
    let mut ending = Ending::None;
    tokio::pin!(serving, past);
    loop {
        tokio::select! {
            // First, since there is most to do here.
            biased;
            // Where it fails the peer is gone, or spoke something else: there is nobody to tell.
            _ended = &mut serving => return,
            // No call is waited for that nobody reads.
            () = bounded(rules.stall, |most| unsent.stalled(most)) => return debug!("a peer reads nothing; left"),
            () = ending.over() => return debug!("the calls of a connection took too long to end; left"),
            () = &mut past, if ending.is_none() => {
                serving.as_mut().graceful_shutdown();
                ending = Ending::Until(Instant::now() + rules.grace);
            }
            () = close.cancelled(), if !matches!(ending, Ending::Closing) => {
                serving.as_mut().graceful_shutdown();
                ending = Ending::Closing;
            }
        }
    }
}

/// Whether the peer was told to make no more calls.
enum Ending {
    None,
    /// What is open then is cut off.
    Until(Instant),
    /// All of the server ends, and says when.
    Closing,
}

impl Ending {
    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    async fn over(&self) {
        match self {
            Self::Until(until) => sleep_until(*until).await,
            Self::None | Self::Closing => std::future::pending().await,
        }
    }
}

/// Waits as it is told to, where there is a bound at all.
async fn bounded<F: Future<Output = ()>>(most: Option<Duration>, wait: impl FnOnce(Duration) -> F) {
    match most {
        Some(most) => wait(most).await,
        None => std::future::pending().await,
    }
}

fn http2(rules: &Rules, calls: Calls) -> http2::Builder<Calls> {
    let mut builder = http2::Builder::new(calls);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(rules.calls)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_header_list_size(HEADERS)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// The calls of one connection: each knows its peer, where anybody wants to, has to arrive, and its
/// reply counts until it was sent.
#[derive(Clone)]
struct OfPeer<S> {
    calls: S,
    peer: Option<Peer>,
    arrivals: Arrivals,
    unsent: Unsent,
}

impl<S, B> Service<Request<Arrived>> for OfPeer<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body<Data = Bytes, Error = Status>,
{
    type Response = Response<Counted<B>>;
    type Error = S::Error;
    type Future = Replied<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.calls.poll_ready(context)
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        let (head, body) = request.into_parts();
        let body = Body::new(Arriving::new(body, head.uri.path(), (self.arrivals.clone(), self.unsent.clone())));
        let mut request = Request::from_parts(head, body);
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        Replied { reply: self.calls.call(request), unsent: self.unsent.clone() }
    }
}

pin_project! {
    /// A reply that counts.
    struct Replied<F> {
        #[pin]
        reply: F,
        unsent: Unsent,
    }
}

impl<F, B, E> Future for Replied<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body<Data = Bytes>,
{
    type Output = Result<Response<Counted<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let reply = ready!(this.reply.poll(context))?;
        Poll::Ready(Ok(reply.map(|body| this.unsent.count(body))))
    }
}
