//! HTTP/2 as the data port and the admin port speak it: how many connections, how many calls on
//! each, and how long one may be silent.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tower::util::MapResponseLayer;

use super::{incoming::Incoming, observe::ObserveLayer};
use crate::{
    api::{GrpcTimeoutLayer, counted_until_sent, oversize_is_exhausted},
    telemetry::{Journeys, Metrics},
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

/// Serves the data port until `close`, and then until all connections are closed.
pub(super) fn serve(
    incoming: Incoming,
    routes: Routes,
    (metrics, journeys): (Metrics, Journeys),
    close: CancellationToken,
) -> JoinHandle<Result<(), tonic::transport::Error>> {
    let served = patient()
        .max_concurrent_streams(CALLS_PER_CONNECTION)
        .http2_max_pending_accept_reset_streams(Some(RESETS))
        // First, so that it sees codes as callers do.
        .layer(ObserveLayer::new(metrics, journeys))
        .layer(MapResponseLayer::new(oversize_is_exhausted))
        .layer(MapResponseLayer::new(counted_until_sent))
        .layer(GrpcTimeoutLayer)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming.stream(), async move { close.cancelled().await });
    tokio::spawn(served)
}

/// Serves the admin port until `close`, and then until all connections are closed.
/// Its calls are not counted: they are no traffic of the models.
pub(super) fn serve_admin(
    incoming: Incoming,
    routes: Routes,
    close: CancellationToken,
) -> JoinHandle<Result<(), tonic::transport::Error>> {
    let served = patient()
        .max_concurrent_streams(ADMIN_CALLS_PER_CONNECTION)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming.stream(), async move { close.cancelled().await });
    tokio::spawn(served)
}

/// Drops peers that are no longer there.
fn patient() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;
    use crate::telemetry::Port;

    /// HTTP/2's preface and empty settings (RFC 9113, sections 3.4 and 6.5).
    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    async fn client() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let metrics = Metrics::none();
        let incoming = Incoming::new(listener, 8, (&metrics, Port::Data));
        let observed = (metrics.clone(), Journeys::new(metrics));
        serve(incoming, Routes::default(), observed, CancellationToken::new());
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
