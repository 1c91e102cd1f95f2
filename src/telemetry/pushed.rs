//! Reads what was measured to push it: a second reader beside that of `/metrics`.
//!
//! Only there where somebody takes it: each update is counted for each reader.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{InstrumentKind, ManualReader, Pipeline, Temporality, data::ResourceMetrics, reader::MetricReader},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::otlp::Collector;

/// Time between two pushes.
const EVERY: Duration = Duration::from_secs(10);

/// The reader. The provider has one clone, who pushes another one.
#[derive(Debug, Clone, Default)]
pub(super) struct Pushed(Arc<ManualReader>);

impl Pushed {
    /// Pushes at once, so that trouble shows at the start, then again and again, and a last
    /// time when `stopping` is cancelled.
    pub(super) async fn push(self, collector: Collector, stopping: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stops = false;
        while !stops {
            stops = stopping.run_until_cancelled(ticks.tick()).await.is_none();
            let mut measured = ResourceMetrics::default();
            // It fails only once the provider is gone.
            if self.0.collect(&mut measured).is_ok() {
                collector.metrics(&measured).await;
            }
        }
    }
}

impl MetricReader for Pushed {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, measured: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(measured)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
