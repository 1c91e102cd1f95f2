//! The ports, and what their clients may cost.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::{TlsConfig, at_least_one};

/// Listeners and limits of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Where the domain services, tensors, health and reflection listen.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` listen, for probes, Prometheus and people.
    pub http_listen: SocketAddr,
    /// Where `ModelService` listens, by which versions are loaded and given traffic.
    /// Whoever reaches it may do so, unless `auth.file` says who there is. Beyond this
    /// machine it listens only where clients have to be known.
    pub admin_listen: SocketAddr,
    /// Largest message that is read. A larger one is refused with `RESOURCE_EXHAUSTED`.
    pub max_message_bytes: ByteSize,
    /// Most rows in one request or message of a stream.
    pub max_rows_per_request: NonZeroUsize,
    /// Most connections to `listen` at a time. Further ones wait, unanswered,
    /// until another one leaves.
    pub max_connections: NonZeroU32,
    /// How long a connection to a gRPC port may have no open call before its peer is told to
    /// leave; `0s`: for ever.
    #[serde(with = "humantime_serde")]
    pub max_connection_idle: Duration,
    /// How old a connection becomes before its peer is told to make its next calls by another
    /// one, give or take a tenth; `0s`: any age.
    #[serde(with = "humantime_serde")]
    pub max_connection_age: Duration,
    /// How long the calls may take that are open then.
    #[serde(with = "humantime_serde")]
    pub max_connection_grace: Duration,
    /// How long a client may read nothing of replies that wait for it before its
    /// connection is closed; `0s`: for ever.
    #[serde(with = "humantime_serde")]
    pub max_reply_stall: Duration,
    /// Bytes of replies that may wait to be read, over all connections of a port. Where half of it is
    /// taken, connections that have more than a 64th of it unread are refused further calls and messages
    /// of streams, and with ever less of it, down to 64 KiB, the more is taken.
    pub max_unsent_bytes: ByteSize,
    /// Bytes of messages that have not arrived in full, over all connections of a port; by the same
    /// shares.
    pub max_partial_bytes: ByteSize,
    /// How long accepted work may take after a SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Certificates, for all three ports.
    pub tls: TlsConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 50051).into(),
            http_listen: (Ipv4Addr::LOCALHOST, 9464).into(),
            admin_listen: (Ipv4Addr::LOCALHOST, 50052).into(),
            max_message_bytes: ByteSize::mib(8),
            max_rows_per_request: at_least_one(1024),
            // gRPC clients share one connection among all their calls.
            max_connections: NonZeroU32::MIN.saturating_add(4095),
            // Far longer than callers pause, and soon enough that places of those who forgot
            // to close don't run out.
            max_connection_idle: Duration::from_secs(15 * 60),
            // An operator knows whether something in between spreads connections.
            max_connection_age: Duration::ZERO,
            max_connection_grace: Duration::from_secs(60),
            max_reply_stall: Duration::from_secs(60),
            max_unsent_bytes: ByteSize::mib(256),
            max_partial_bytes: ByteSize::mib(256),
            drain_timeout: Duration::from_secs(30),
            tls: TlsConfig::default(),
        }
    }
}
