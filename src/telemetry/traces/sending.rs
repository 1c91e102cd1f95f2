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

/// Spans and links that are sent in one message, but for the last request's: some hundred
/// kilobytes, of the four megabytes that a collector takes.
const TOGETHER: usize = 4096;

/// See the module.
pub(super) struct Sending {
    fetched: Fetched,
    slowest: Arc<Slowest>,
    spans: Spans,
    metrics: Metrics,
}

/// Requests that are told.
pub(super) struct Fetched {
    pub(super) errors: Receiver<Told>,
    pub(super) others: Receiver<Told>,
}

impl Sending {
    pub(super) fn new(fetched: Fetched, slowest: Arc<Slowest>, (spans, metrics): (Spans, Metrics)) -> Self {
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
                let mut slowest = self.slowest();
                while let Some(spans) = self.some_of(&mut slowest) {
                    collector.spans(spans).await;
                }
            }
            while let Some(spans) = self.next() {
                collector.spans(spans).await;
            }
        }
    }

    /// The spans of some requests, errors first; none where there are none left.
    pub(super) fn next(&self) -> Option<Vec<SpanData>> {
        let Fetched { errors, others } = &self.fetched;
        self.some_of(&mut errors.try_iter().chain(others.try_iter()))
    }

    fn some_of(&self, told: &mut impl Iterator<Item = Told>) -> Option<Vec<SpanData>> {
        let (mut spans, mut weight) = (Vec::new(), 0);
        while weight < TOGETHER {
            let Some(told) = told.next() else { break };
            let made = self.spans(&told);
            weight += made.iter().map(|span| 1 + span.links.len()).sum::<usize>();
            spans.extend(made);
        }
        (!spans.is_empty()).then_some(spans)
    }

    fn slowest(&self) -> impl Iterator<Item = Told> + use<> {
        self.slowest.take().into_iter().map(|ended| Told { ended, why: Why::Slowest })
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
        self.fetched.errors.try_iter().chain(self.fetched.others.try_iter()).count()
    }

    /// The spans of the slowest until now.
    pub(super) fn of_slowest(&self) -> Vec<SpanData> {
        self.some_of(&mut self.slowest()).unwrap_or_default()
    }
}
