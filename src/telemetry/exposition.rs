//! What was measured, as text for Prometheus.

use std::{fmt, sync::Arc};

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_sdk::{Resource, error::OTelSdkError, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use thiserror::Error;

use super::{exemplars::Exemplars, openmetrics, pushed::Pushed};

/// Metrics can't be set up or read.
#[derive(Debug, Error)]
pub enum ExpositionError {
    /// The exporter refused its place.
    #[error("metrics were not set up")]
    SetUp(#[from] OTelSdkError),
    /// What was measured has no form as text.
    #[error("metrics can't be written")]
    Text(#[from] prometheus::Error),
    /// Nor has it one as OpenMetrics.
    #[error("metrics can't be written as OpenMetrics")]
    OpenMetrics(#[from] fmt::Error),
}

/// Who this server is, to who collects the telemetry of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Souk's version.
    pub version: &'static str,
    /// What no other server is called, e.g. `host:port`.
    pub instance: String,
}

/// Reads what was measured. Clones read the same.
#[derive(Clone)]
pub struct Exposition {
    registry: Registry,
    exemplars: Arc<Exemplars>,
    resource: Resource,
    /// Where metrics are pushed, too.
    pushed: Option<Pushed>,
    /// Kept: without it there is nothing to read.
    _provider: SdkMeterProvider,
}

impl Exposition {
    /// The value of `content-type` for [`Exposition::text`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub(super) fn new(pushes: Option<&Identity>, exemplars: Arc<Exemplars>) -> Result<(Self, Meter), ExpositionError> {
        let registry = Registry::new();
        // The table has the names as they are scraped. What is measured here has
        // one origin, so that labels which name it would only lengthen each line.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_counter_suffixes()
            .without_units()
            .without_target_info()
            .scope_info_enabled(false)
            .build()?;
        let (resource, pushed) = (resource(pushes), pushes.map(|_| Pushed::default()));
        let mut provider = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(exporter);
        if let Some(pushed) = &pushed {
            provider = provider.with_reader(pushed.clone());
        }
        let provider = provider.build();
        let meter = provider.meter("souk");
        Ok((Self { registry, exemplars, resource, pushed, _provider: provider }, meter))
    }

    /// The value of `content-type` for [`Exposition::openmetrics`].
    pub const OPENMETRICS: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All metrics as they are now, in the text format 0.0.4.
    ///
    /// # Errors
    ///
    /// [`ExpositionError::Text`] where one of them has no form as text.
    pub fn text(&self) -> Result<String, ExpositionError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// All metrics as they are now, in the text format of OpenMetrics 1.0, with a trace for
    /// each bucket of how long calls took, as far as there is one.
    ///
    /// # Errors
    ///
    /// [`ExpositionError::OpenMetrics`] where one of them has no form as text.
    pub fn openmetrics(&self) -> Result<String, ExpositionError> {
        Ok(openmetrics::text(&self.registry.gather(), &self.exemplars)?)
    }

    /// Who this server is.
    pub(super) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// What reads metrics to push them, where they are to be.
    pub(super) fn pushed(&self) -> Option<Pushed> {
        self.pushed.clone()
    }
}

/// Not the SDK's own, which reads the environment.
fn resource(identity: Option<&Identity>) -> Resource {
    let known = identity.into_iter().flat_map(|identity| {
        [("service.version", identity.version.to_owned()), ("service.instance.id", identity.instance.clone())]
    });
    let known = known.map(|(key, value)| KeyValue::new(key, value));
    Resource::builder_empty().with_service_name("souk").with_attributes(known).build()
}
