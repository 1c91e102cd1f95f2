//! HTTP/2 as the data port and the admin port speak it: how many connections, how many calls on
//! each, and how long one may be silent.

mod arriving;
mod calls;
mod connection;
mod kept;
mod pace;
mod unsent;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use bytesize::ByteSize;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, service::Routes};
use tower::{
    ServiceBuilder,
    util::{MapRequestLayer, MapResponseLayer},
};

use self::{connection::Answers, kept::All};
use super::{
    identity::{Gate, IdentifyLayer},
    incoming::Incoming,
    observe::ObserveLayer,
};
use crate::{
    api::{GrpcTimeoutLayer, counted_until_sent, oversize_is_exhausted, unpacked},
    config::ServerConfig,
};

/// How long a connection may be silent before its peer is asked whether it is
/// there: often enough that a place of a dead peer is free again within a minute,
/// seldom enough to cost nothing.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long the peer may take to say so; gRPC's and hyper's own default.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Open calls on one connection. One with a single row is the smallest there is,
/// and as many as the largest request has rows are plenty; without a bound a
/// client can open calls until memory ends.
const CALLS_PER_CONNECTION: u32 = 1024;

/// The same on the admin port, where a person or a script asks for one thing after
/// the other.
const ADMIN_CALLS_PER_CONNECTION: u32 = 64;

/// Calls of one connection that were cancelled before they were looked at. Beyond
/// this the connection is closed as an attack, with all others on it; clients cancel
/// each call whose deadline passes, so that in an overload all of them may be. h2's
/// default is 20.
const RESETS: usize = 1024;

/// Longest list of headers, as HTTP/2 counts them: a token, a trace's context and what else a caller may
/// want to say. A longer one is answered with 431.
const HEADERS: u32 = 16 * 1024;

/// Bytes of one reply that a connection takes before its peer has taken those before: what 1024 calls of
/// a client that reads nothing may cost, and more than a reply usually has.
const SEND_BUFFER: usize = 32 * 1024;

/// Bytes of a request that come before anybody has read those before. More would be of use where the
/// way there and back takes longer than a few milliseconds.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same of all requests of a connection: some streams that have to wait for their turn leave room for
/// other calls, and thousands of connections don't fill the memory.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// How long a place is kept for a peer of whom nobody knows who he is, where that has to be said. A client
/// whose first call comes later begins a new connection.
const STRANGE: Duration = Duration::from_secs(10);

/// By how much connections' ages differ, in thousandths: those that began together, as after a
/// restart, don't end together.
const SPREAD: u16 = 100;

/// Bounds on connections.
#[derive(Clone)]
pub(super) struct Rules {
    /// Open calls on one.
    calls: u32,
    /// Bytes of a message.
    message: usize,
    /// Whether calls are told whose they are.
    tells_peers: bool,
    /// How long the peer of one may be nobody who is known.
    strange: Option<Duration>,
    /// How long one may have no call.
    idle: Option<Duration>,
    /// How old one becomes.
    age: Option<Duration>,
    /// How long its calls may take then.
    grace: Duration,
    /// How long replies may lie unread.
    stall: Option<Duration>,
    /// What lies unread.
    unsent: All,
    /// What has not arrived in full.
    partial: All,
}

impl Rules {
    /// Of a port, by the settings.
    pub(super) fn of(server: &ServerConfig) -> Self {
        let given = |bound: Duration| (!bound.is_zero()).then_some(bound);
        let bytes = |bound: ByteSize| usize::try_from(bound.as_u64()).unwrap_or(usize::MAX);
        Self {
            calls: CALLS_PER_CONNECTION,
            message: bytes(server.max_message_bytes),
            tells_peers: false,
            strange: None,
            idle: given(server.max_connection_idle),
            age: given(server.max_connection_age),
            grace: server.max_connection_grace,
            stall: given(server.max_reply_stall),
            unsent: All::new(bytes(server.max_unsent_bytes)),
            partial: All::new(bytes(server.max_partial_bytes)),
        }
    }

    /// The same where some are known and others are not.
    fn behind(self, gate: &Gate) -> Self {
        Self { strange: gate.is_kept().then_some(STRANGE), ..self }
    }

    /// The age of a connection from this address, whose port is as good as any chance.
    fn age(&self, peer: Option<SocketAddr>) -> Option<Duration> {
        let chance = peer.map_or(0, |address| address.port() % (2 * SPREAD + 1));
        self.age.map(|age| age / 1000 * u32::from(1000 - SPREAD + chance))
    }
}

/// Serves the data port until `close`, and then until all connections are closed.
pub(super) fn serve(
    incoming: Incoming,
    routes: Routes,
    (gate, observe, rules): (Gate, ObserveLayer, Rules),
    close: CancellationToken,
) -> JoinHandle<()> {
    let most = rules.message;
    let rules = Rules { tells_peers: gate.wants_peers(), ..rules.behind(&gate) };
    let calls = ServiceBuilder::new()
        // First, so that it sees codes as callers do.
        .layer(observe)
        .layer(MapResponseLayer::new(oversize_is_exhausted))
        .layer(MapResponseLayer::new(counted_until_sent))
        // Before anything of a request is read.
        .layer(IdentifyLayer::new(gate))
        .layer(GrpcTimeoutLayer)
        .layer(MapRequestLayer::new(move |request| unpacked(request, most)))
        .service(routes.prepare());
    tokio::spawn(accept(incoming, calls, rules, close))
}

/// Serves the admin port until `close`, and then until all connections are closed.
/// Its calls are not counted: they are no traffic of the models.
pub(super) fn serve_admin(
    incoming: Incoming,
    routes: Routes,
    (gate, rules): (Gate, Rules),
    close: CancellationToken,
) -> JoinHandle<()> {
    // The history says where an order came from.
    let rules = Rules { calls: ADMIN_CALLS_PER_CONNECTION, tells_peers: true, ..rules.behind(&gate) };
    let calls = ServiceBuilder::new().layer(IdentifyLayer::new(gate)).layer(GrpcTimeoutLayer).service(routes.prepare());
    tokio::spawn(accept(incoming, calls, rules, close))
}

/// Not tonic's server: it ends old connections without a word where they have a time to finish, ends
/// idle ones never, and bounds nothing of what a client leaves unread.
async fn accept<S, B>(incoming: Incoming, calls: S, rules: Rules, close: CancellationToken)
where
    S: Answers<B>,
    B: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static,
{
    let open = TaskTracker::new();
    while let Some(connection) = close.run_until_cancelled(incoming.accept()).await {
        open.spawn(connection::serve(connection, calls.clone(), rules.clone(), close.clone()));
    }
    // Nobody else may connect.
    drop(incoming);
    open.close();
    open.wait().await;
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;
    use crate::config::AuthConfig;
    use crate::telemetry::{Journeys, Metrics, Port};

    /// HTTP/2's preface and empty settings (RFC 9113, sections 3.4 and 6.5).
    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    async fn client() -> TcpStream {
        client_of(Gate::default(), ServerConfig::default()).await
    }

    async fn client_of(gate: Gate, config: ServerConfig) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let metrics = Metrics::none();
        let incoming = Incoming::new(listener, 8, (&metrics, Port::Data));
        let observe = ObserveLayer::new(metrics.clone(), Journeys::new(metrics));
        let rules = Rules::of(&config);
        serve(incoming, Routes::default(), (gate, observe, rules), CancellationToken::new());
        client
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_no_longer_answers_is_dropped() {
        let (begun, mut client) = (Instant::now(), client().await);
        client.write_all(HELLO).await.unwrap();
        let mut said = Vec::new();
        // Reads to the end, and answers nothing. The end may be a reset.
        let _ = client.read_to_end(&mut said).await;
        assert!(begun.elapsed() >= KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT, "{:?}", begun.elapsed());
        assert!(begun.elapsed() < 2 * (KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_who_is_nobody_loses_his_place_where_callers_have_to_be_known() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let gate = Gate::of(&AuthConfig { file: file.path().into(), open_health: true }, false).unwrap();
        let config = ServerConfig { max_connection_grace: Duration::ZERO, ..ServerConfig::default() };
        let (begun, mut client) = (Instant::now(), client_of(gate, config).await);
        client.write_all(HELLO).await.unwrap();
        let _ = client.read_to_end(&mut Vec::new()).await;
        assert!(begun.elapsed() >= STRANGE && begun.elapsed() < KEEPALIVE_INTERVAL, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn clients_are_told_how_many_calls_a_connection_may_have() {
        let mut client = client().await;
        client.write_all(HELLO).await.unwrap();
        let mut frame = [0; 9];
        client.read_exact(&mut frame).await.unwrap();
        let [0, 0, length, 4, ..] = frame else { panic!("no settings: {frame:?}") };
        let mut settings = vec![0; usize::from(length)];
        client.read_exact(&mut settings).await.unwrap();
        let (setting, value) = (3_u16.to_be_bytes(), CALLS_PER_CONNECTION.to_be_bytes());
        let wanted = [&setting[..], &value[..]].concat();
        assert!(settings.chunks(6).any(|found| found == wanted), "{settings:?}");
    }
}
