//! What is measured of this server, and to whom it is told: whoever scrapes it, and a
//! collector where there is one.

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::ServerError;
use crate::{
    api::Drain,
    config::TelemetryConfig,
    registry::{Arm, Registry, Resident, is_ready},
    telemetry::{Exposition, Identity, Journeys, Live, Metrics, Otlp, Sampling, Traces},
};

/// Metrics, and who is told of them.
pub(super) struct Measured {
    pub(super) metrics: Metrics,
    pub(super) exposition: Exposition,
    pub(super) journeys: Journeys,
    /// Where there is a collector.
    pub(super) otlp: Option<Otlp>,
}

impl Measured {
    /// Measures from now on; `address` is that of the data port, by which servers of one
    /// machine are told apart.
    pub(super) fn new(telemetry: &TelemetryConfig, address: Option<SocketAddr>) -> Result<Self, ServerError> {
        let endpoint = &telemetry.otlp_endpoint;
        if endpoint.is_empty() {
            let (metrics, exposition) = Metrics::new()?;
            let journeys = journeys(telemetry, &metrics);
            return Ok(Self { metrics, exposition, journeys, otlp: None });
        }
        let (metrics, exposition) = Metrics::pushed_as(&identity(address))?;
        let otlp = Otlp::start(endpoint, &metrics, &exposition)?;
        let traces = Traces::start(&otlp, &metrics, sampling(telemetry, address));
        let journeys = journeys(telemetry, &metrics).traced(traces);
        Ok(Self { metrics, exposition, journeys, otlp: Some(otlp) })
    }

    /// Has shown what is read when somebody wants to know: this build and its threads of
    /// sockets, on which it is called, which versions answer, and whether all is well.
    pub(super) fn show(&self, registry: &Arc<Registry>, drain: &Drain, release: &str) {
        self.metrics.build(env!("CARGO_PKG_VERSION"), release);
        self.metrics.observe_process();
        self.metrics.observe_io(&Handle::current());
        let [answering, resident, prepared] = [(); 3].map(|()| Arc::clone(registry));
        self.metrics.observe_live(move || live(&answering));
        self.metrics.observe_age(move || ages(&resident));
        let [stops, draining] = [(); 2].map(|()| drain.clone());
        let ready = move || is_ready(&prepared.models()) && !stops.has_begun();
        self.metrics.observe_state(ready, move || draining.has_begun());
    }
}

/// Follows requests as far as the settings allow.
fn journeys(telemetry: &TelemetryConfig, metrics: &Metrics) -> Journeys {
    let journeys = Journeys::new(metrics.clone());
    if telemetry.log_entities { journeys.with_entities() } else { journeys }
}

/// By host and port, as Prometheus tells them apart; a container's host is its own.
fn identity(address: Option<SocketAddr>) -> Identity {
    let host = host();
    let instance = address.map_or(host.clone(), |address| format!("{host}:{}", address.port()));
    Identity { version: env!("CARGO_PKG_VERSION"), instance }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Traces name the address; where that is any of the host's, the host.
fn sampling(telemetry: &TelemetryConfig, address: Option<SocketAddr>) -> Sampling {
    let one = address.map(|address| address.ip()).filter(|address| !address.is_unspecified());
    Sampling {
        ratio: telemetry.sample_ratio,
        address: one.map_or_else(host, |address| address.to_string()),
        port: address.map_or(0, |address| address.port()),
    }
}

fn live(registry: &Registry) -> Vec<Live> {
    let models = registry.models();
    let arms = models.iter().flat_map(|(name, model)| model.traffic.iter().map(move |traffic| (name, traffic)));
    let arms = arms.flat_map(|(name, traffic)| traffic.arms().iter().map(move |arm| (name, arm)));
    let live = |(name, arm): (&String, &Arm)| Live {
        model: name.clone(),
        version: arm.version.manifest.version,
        label: arm.label.to_string(),
    };
    arms.map(live).collect()
}

/// How long ago each version in memory was trained, in seconds.
fn ages(registry: &Registry) -> Vec<((String, u64), u64)> {
    let (models, now) = (registry.models(), Timestamp::now());
    let residents = models.iter().flat_map(|(name, model)| model.residents().map(move |resident| (name, resident)));
    let age = |(name, resident): (&String, &Resident)| {
        let manifest = &resident.version.manifest;
        let created: Timestamp = manifest.created_at.parse().ok()?;
        let age = now.duration_since(created).as_secs();
        Some(((name.clone(), manifest.version), u64::try_from(age).unwrap_or_default()))
    };
    residents.filter_map(age).collect()
}
