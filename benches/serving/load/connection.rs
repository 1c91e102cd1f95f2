//! gRPC calls as HTTP/2 frames: no codec, no timer, no retry.
//!
//! tonic's client would cost as much as a small server does, and would answer an
//! expired deadline by itself.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::{Code, Status};
use tonic_types::{RetryInfo, StatusExt as _};

use super::requests::Encoded;

/// Connections of one load generator, as a balanced client would hold them.
const CONNECTIONS: usize = 4;

/// Windows wide enough never to be waited for.
const WINDOW: u32 = 16 << 20;

pub(crate) const STREAM: &str = "/souk.v1.MerchantGmvService/StreamGmv";

/// Connections to one server.
pub(crate) struct Connections {
    all: Vec<Connection>,
    headers: HeaderMap,
    origin: String,
    method: &'static str,
}

/// One connection; ends when it is dropped, in the middle of whatever happens.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

/// One request with its answer.
pub(crate) struct Call<'a> {
    /// What was sent.
    pub(crate) request: &'a Encoded,
    /// When it should have been sent.
    pub(crate) intended: Instant,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When all of the answer was there.
    pub(crate) done: Instant,
    /// What came back; `None` where the connection or the stream broke.
    pub(crate) answer: Option<Answer>,
}

/// What a server answered.
pub(crate) struct Answer {
    /// The gRPC code.
    pub(crate) code: Code,
    /// The frame of the message, where there is one.
    pub(crate) body: Bytes,
    /// Where the status was: in the trailers, or alone in the headers.
    pub(crate) status: HeaderMap,
}

impl Answer {
    /// When to come again, where the server says so.
    pub(crate) fn retry_info(&self) -> Option<RetryInfo> {
        Status::from_header_map(&self.status)?.get_details_retry_info()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(target: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(target).await.with_context(|| format!("connecting to {target}"))?;
        socket.set_nodelay(true)?;
        let (sender, connection) = client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(socket)
            .await?;
        let driver = tokio::spawn(async {
            // Callers see that it broke.
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    /// Opens a stream.
    pub(crate) async fn begin(&self, head: Request<()>) -> anyhow::Result<(ResponseFuture, SendStream<Bytes>)> {
        let mut sender = self.sender.clone().ready().await?;
        Ok(sender.send_request(head, false)?)
    }
}

impl Connections {
    /// Opens all; each call will be of `method` and carry `deadline`.
    pub(crate) async fn open(
        target: SocketAddr,
        method: &'static str,
        deadline: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        if let Some(deadline) = deadline {
            headers.insert("grpc-timeout", format!("{}u", deadline.as_micros()).parse()?);
        }
        let mut all = Vec::new();
        for _ in 0..CONNECTIONS {
            all.push(Connection::open(target).await?);
        }
        Ok(Self { all, headers, origin: format!("http://{target}"), method })
    }

    /// The connection of this caller.
    pub(crate) fn of(&self, caller: usize) -> anyhow::Result<&Connection> {
        self.all.get(caller % CONNECTIONS).context("no connection")
    }

    /// The head of a call to `method`.
    pub(crate) fn head(&self, method: &str) -> anyhow::Result<Request<()>> {
        let mut head = Request::new(());
        *head.method_mut() = Method::POST;
        *head.uri_mut() = format!("{}{method}", self.origin).parse::<Uri>()?;
        *head.headers_mut() = self.headers.clone();
        Ok(head)
    }

    /// Sends one request and waits for its answer.
    pub(crate) async fn call<'a>(&self, caller: usize, request: &'a Encoded, intended: Option<Instant>) -> Call<'a> {
        let sent = Instant::now();
        let answer = self.answer(caller, request).await.ok();
        Call { request, intended: intended.unwrap_or(sent), sent, done: Instant::now(), answer }
    }

    async fn answer(&self, caller: usize, request: &Encoded) -> anyhow::Result<Answer> {
        let (response, mut body) = self.of(caller)?.begin(self.head(self.method)?).await?;
        body.send_data(request.frame.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        let message = read(&mut body).await?;
        let status = body.trailers().await?.unwrap_or(head.headers);
        Ok(Answer { code: code(&status)?, body: message, status })
    }
}

/// The body of an answer, which is mostly one piece.
async fn read(body: &mut RecvStream) -> anyhow::Result<Bytes> {
    let mut pieces = BytesMut::new();
    let mut first = Bytes::new();
    while let Some(piece) = next(body).await? {
        if first.is_empty() {
            first = piece;
        } else {
            pieces.extend_from_slice(&piece);
        }
    }
    if pieces.is_empty() {
        return Ok(first);
    }
    Ok([first, pieces.freeze()].concat().into())
}

/// The next piece of a body, for which the server's window is opened again.
pub(crate) async fn next(body: &mut RecvStream) -> anyhow::Result<Option<Bytes>> {
    let Some(piece) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(piece.len())?;
    Ok(Some(piece))
}

fn code(status: &HeaderMap) -> anyhow::Result<Code> {
    match status.get("grpc-status") {
        Some(code) => Ok(Code::from_bytes(code.as_bytes())),
        None => bail!("no grpc-status in {status:?}"),
    }
}
