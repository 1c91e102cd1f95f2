//! The three ports: opened before anything else, by TLS and behind a gate where the settings say so.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::{info, warn};

use super::{
    ServerError, admin, http,
    identity::Gate,
    incoming::Incoming,
    tls::{Protocol, Tls},
    watching::{Look, Watching},
};
use crate::{
    config::{ServerConfig, Settings},
    telemetry::{Metrics, Port},
};

/// How many addresses it takes to take all places of the ports that have few, where people give orders and
/// probes come: one host alone, known or not, can't shut out the others.
const ADDRESSES: u32 = 4;

/// Ports that are held, and who may come in. Nobody is let in yet.
pub(super) struct Ports {
    data: TcpListener,
    http: TcpListener,
    admin: TcpListener,
    tls: Option<Tls>,
    gate: Gate,
}

/// Where connections come from, and who is let in.
pub(super) struct Open {
    pub(super) data: Incoming,
    pub(super) http: Incoming,
    pub(super) admin: Incoming,
    pub(super) gate: Gate,
}

impl Ports {
    /// Reads certificates and identities, and opens the ports.
    ///
    /// # Errors
    ///
    /// [`ServerError::Listen`] names the port that can't be had, [`ServerError::Tls`] and
    /// [`ServerError::Identities`] the file.
    pub(super) async fn bind(settings: &Settings) -> Result<Self, ServerError> {
        let tls = Tls::of(&settings.server.tls)?;
        let gate = Gate::of(&settings.auth, settings.server.tls.knows_all_clients())?;
        safe_for_orders(settings, &gate)?;
        let data = listen("server.listen", settings.server.listen).await?;
        let http = listen("server.http_listen", settings.server.http_listen).await?;
        let admin = listen("server.admin_listen", settings.server.admin_listen).await?;
        Ok(Self { data, http, admin, tls, gate })
    }

    /// Where the data port is.
    pub(super) fn data_address(&self) -> Option<SocketAddr> {
        self.data.local_addr().ok()
    }

    /// The number of the admin port.
    pub(super) fn admin_port(&self) -> u16 {
        self.admin.local_addr().map_or(0, |address| address.port())
    }

    pub(super) fn announce(&self, settings: &Settings) {
        info!(
            tls = self.tls.is_some(),
            auth = self.gate.is_kept(),
            grpc = self.data.local_addr().map(tracing::field::display).ok(),
            http = self.http.local_addr().map(tracing::field::display).ok(),
            admin = self.admin.local_addr().map(tracing::field::display).ok(),
            models = %settings.models.root.display(),
            "listening; NOT_SERVING until the models are live"
        );
    }

    /// Looks at what may change while the server runs, where there is such a thing.
    ///
    /// # Errors
    ///
    /// [`ServerError::Watching`].
    pub(super) fn watch_files(&self) -> Result<Option<Watching>, ServerError> {
        let tls = self.tls.as_ref().map(|tls| Box::new(tls.follow()) as Look);
        let gate = self.gate.follow().map(|look| Box::new(look) as Look);
        let looks: Vec<Look> = tls.into_iter().chain(gate).collect();
        if looks.is_empty() {
            return Ok(None);
        }
        Watching::start(looks).map(Some).map_err(ServerError::Watching)
    }

    /// What connections come from, which are counted.
    pub(super) fn open(self, settings: &Settings, metrics: &Metrics) -> Open {
        let Self { data, http, admin, tls, gate } = self;
        if let Some(tls) = tls.clone() {
            metrics.observe_certificate(move || tls.expires());
        }
        let incoming = |listener, connections, port, protocol| {
            Incoming::new(listener, connections, (metrics, port)).secured(tls.as_ref(), protocol)
        };
        Open {
            data: incoming(data, settings.server.max_connections.get(), Port::Data, Protocol::Http2),
            http: incoming(http, http::CONNECTIONS, Port::Http, Protocol::Http1).shared(http::CONNECTIONS / ADDRESSES),
            admin: incoming(admin, admin::CONNECTIONS, Port::Admin, Protocol::Http2)
                .shared(admin::CONNECTIONS / ADDRESSES),
            gate,
        }
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Listen { key, address, source })
}

/// Orders don't come from other machines, or from those alone who may give them.
fn safe_for_orders(settings: &Settings, gate: &Gate) -> Result<(), ServerError> {
    let ServerConfig { listen, http_listen, admin_listen: address, .. } = settings.server;
    let is_safe = address.ip().is_loopback() || gate.knows_publishers() || settings.server.tls.knows_all_clients();
    let tokens_in_plain = gate.is_kept() && settings.server.tls.pair().is_none();
    if tokens_in_plain && [listen, http_listen, address].iter().any(|address| !address.ip().is_loopback()) {
        warn!("tokens travel in plain: server.tls.cert is not set, so whoever sees the traffic can use them");
    }
    if is_safe { Ok(()) } else { Err(ServerError::AdminPort { address }) }
}
