//! Calls as HTTP/2 frames, so that what became of each is known exactly: a status, nothing that a
//! server ever took, or a broken promise. tonic's client makes statuses of its own of all three.

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::{
    Reason, RecvStream, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tonic::Code;

use crate::questions::PREFIX;

/// Windows wide enough never to be waited for.
const WINDOW: u32 = 16 << 20;

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(2);

/// A server, of the several that one after the other are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Which start of the server it is.
    pub(crate) generation: u64,
}

/// One connection; ends when it is dropped.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    driver: JoinHandle<()>,
    pub(crate) target: Target,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) enum End {
    /// The server said so. The message is without its frame.
    Answered(Code, String, Bytes),
    /// No server took it: there was no connection, or it said that it did not look at the call.
    NotTaken,
    /// It ended without a status.
    Broken(String),
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(target: Target) -> anyhow::Result<Self> {
        timeout(CONNECTING, Self::opened(target)).await?
    }

    async fn opened(target: Target) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(target.address).await?;
        socket.set_nodelay(true)?;
        let mut builder = client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(socket).await?;
        let driver = tokio::spawn(async {
            // Callers see that it broke.
            let _ = connection.await;
        });
        Ok(Self { sender, driver, target })
    }

    /// Opens a call.
    pub(crate) async fn begin(&self, head: Request<()>) -> Result<(ResponseFuture, SendStream<Bytes>), End> {
        // Before the call has a number, no server can have seen it.
        let mut sender = self.sender.clone().ready().await.map_err(|_| End::NotTaken)?;
        sender.send_request(head, false).map_err(|_| End::NotTaken)
    }

    /// Sends one message and waits for the answer.
    pub(crate) async fn ask(&self, head: Request<()>, frame: Bytes) -> End {
        match self.answer(head, frame).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn answer(&self, head: Request<()>, frame: Bytes) -> Result<End, End> {
        let (response, mut body) = self.begin(head).await?;
        // What can't be sent may be answered already.
        let _ = body.send_data(frame, true);
        let (head, mut body) = response.await.map_err(|error| broken(&error))?.into_parts();
        let mut pieces = BytesMut::new();
        while let Some(message) = piece(&mut body).await? {
            pieces.extend_from_slice(&message);
        }
        let trailers = body.trailers().await.map_err(|error| broken(&error))?;
        ended(trailers.as_ref().unwrap_or(&head.headers), pieces.split_off(PREFIX.min(pieces.len())).freeze())
    }
}

/// The head of a call to `method`; with `deadline` as its `grpc-timeout`, which nobody here enforces.
pub(crate) fn head(target: Target, method: &str, deadline: Option<Duration>) -> anyhow::Result<Request<()>> {
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = format!("http://{}{method}", target.address).parse::<Uri>()?;
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    head.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    if let Some(deadline) = deadline {
        head.headers_mut().insert("grpc-timeout", format!("{}m", deadline.as_millis()).parse()?);
    }
    Ok(head)
}

/// The status at the end of a call.
pub(crate) fn ended(status: &HeaderMap, message: Bytes) -> Result<End, End> {
    let code = status.get("grpc-status").ok_or_else(|| End::Broken(format!("no grpc-status in {status:?}")))?;
    let said = status.get("grpc-message").and_then(|said| said.to_str().ok()).unwrap_or_default();
    Ok(End::Answered(Code::from_bytes(code.as_bytes()), said.to_owned(), message))
}

/// The next piece of a body, for which the server's window is opened again.
pub(crate) async fn piece(body: &mut RecvStream) -> Result<Option<Bytes>, End> {
    let Some(piece) = body.data().await.transpose().map_err(|error| broken(&error))? else { return Ok(None) };
    // Fails only where the stream has ended.
    let _ = body.flow_control().release_capacity(piece.len());
    Ok(Some(piece))
}

/// The next whole message of a stream, without its frame.
pub(crate) async fn message(body: &mut RecvStream, pieces: &mut BytesMut) -> Result<Option<Bytes>, End> {
    loop {
        if let Some(mut prefix) = pieces.get(1..PREFIX) {
            let whole = PREFIX + prefix.get_u32() as usize;
            if pieces.len() >= whole {
                return Ok(Some(pieces.split_to(whole).split_off(PREFIX).freeze()));
            }
        }
        let Some(piece) = piece(body).await? else { return Ok(None) };
        pieces.extend_from_slice(&piece);
    }
}

/// RFC 9113, sections 6.8 and 8.7: a stream that is refused, or beyond the last one of a GOAWAY without an
/// error, was not looked at.
pub(crate) fn broken(error: &h2::Error) -> End {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let beyond = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    if refused || beyond { End::NotTaken } else { End::Broken(error.to_string()) }
}
