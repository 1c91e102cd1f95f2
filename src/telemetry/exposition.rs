//! What was measured, as text for Prometheus.

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::{error::OTelSdkError, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use thiserror::Error;

/// Metrics can't be set up or read.
#[derive(Debug, Error)]
pub enum ExpositionError {
    /// The exporter refused its place.
    #[error("metrics were not set up")]
    SetUp(#[from] OTelSdkError),
    /// What was measured has no form as text.
    #[error("metrics can't be written")]
    Text(#[from] prometheus::Error),
}

/// Reads what was measured. Clones read the same.
#[derive(Clone)]
pub struct Exposition {
    registry: Registry,
    /// Kept: without it there is nothing to read.
    _provider: SdkMeterProvider,
}

impl Exposition {
    /// The value of `content-type` for [`Exposition::text`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub(super) fn new() -> Result<(Self, Meter), ExpositionError> {
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
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("souk");
        Ok((Self { registry, _provider: provider }, meter))
    }

    /// All metrics as they are now, in the text format 0.0.4.
    ///
    /// # Errors
    ///
    /// [`ExpositionError::Text`] where one of them has no form as text.
    pub fn text(&self) -> Result<String, ExpositionError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// The same before it is text.
    pub(super) fn families(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}
