//! Makes spans of the requests that are told, and sends them; on the thread for that.

use std::{
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use opentelemetry_sdk::trace::SpanData;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Told, Why, slowest::Slowest, spans::Spans};
use crate::telemetry::{Ended, Metrics, otlp::Collector};

/// How often requests are fetched: seldom enough that nothing is woken for each of them, often
/// enough that few wait.
const EVERY: Duration = Duration::from_millis(500);

/// The slowest of so long are told.
const WINDOW: Duration = Duration::from_secs(5);

/// Requests whose spans are sent in one message: some hundred kilobytes.
const TOGETHER: usize = 128;

/// See the module.
pub(super) struct Sending {
    fetched: Receiver<Told>,
    slowest: Arc<Slowest>,
    spans: Spans,
    metrics: Metrics,
}

impl Sending {
    pub(super) fn new(fetched: Receiver<Told>, slowest: Arc<Slowest>, (spans, metrics): (Spans, Metrics)) -> Self {
        Self { fetched, slowest, spans, metrics }
    }

    /// Sends what there is again and again, and a last time when `stopping` is cancelled.
    pub(super) async fn run(self, collector: Collector, stopping: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut stops, mut window) = (false, Instant::now());
        while !stops {
            stops = stopping.run_until_cancelled(ticks.tick()).await.is_none();
            if stops || window.elapsed() >= WINDOW {
                window = Instant::now();
                send(&collector, self.slowest()).await;
            }
            while let Some(spans) = self.next() {
                send(&collector, spans).await;
            }
        }
    }

    /// The spans of some requests; none where there are none left.
    pub(super) fn next(&self) -> Option<Vec<SpanData>> {
        let told: Vec<Told> = self.fetched.try_iter().take(TOGETHER).collect();
        (!told.is_empty()).then(|| told.iter().flat_map(|told| self.spans(told)).collect())
    }

    pub(super) fn slowest(&self) -> Vec<SpanData> {
        let slowest = self.slowest.take().into_iter().map(|ended| Told { ended, why: Why::Slowest });
        slowest.flat_map(|told| self.spans(&told)).collect()
    }

    /// The spans of a request. A call among those that took as long leads to them.
    fn spans(&self, told: &Told) -> Vec<SpanData> {
        let Ended { method, took, context, is_message, .. } = told.ended;
        if let Some(context) = context.filter(|_| !is_message) {
            self.metrics.exemplar(method, took, (context.trace, context.span));
        }
        self.spans.of(told)
    }
}

#[cfg(test)]
impl Sending {
    /// How many requests wait; they are fetched by that.
    pub(super) fn count(&self) -> usize {
        self.fetched.try_iter().count()
    }
}

async fn send(collector: &Collector, spans: Vec<SpanData>) {
    if !spans.is_empty() {
        collector.spans(spans).await;
    }
}
