//! The measured part of a load, and what the server used in it.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::process::{Process, Usage};

/// From one moment to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// When measuring begins.
    pub(crate) begin: Instant,
    /// When both end.
    pub(crate) end: Instant,
}

/// What was used within a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// Processor time of the server.
    pub(crate) server: Duration,
    /// Processor time of the load generator.
    pub(crate) load: Duration,
    /// Most memory of the server, of what was seen ten times a second, in KiB.
    pub(crate) peak_kib: u64,
    /// Longest time between two looks: far more than [`LOOK`] where the machine stood still.
    pub(crate) longest_gap: Duration,
    /// How long the window was, which is less where somebody had enough.
    pub(crate) length: Duration,
}

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl Window {
    /// Begins after `warm_up` and lasts for `length`.
    pub(crate) fn after(warm_up: Duration, length: Duration) -> Self {
        let begin = Instant::now() + warm_up;
        Self { begin, end: begin + length }
    }

    /// Whether a moment is measured.
    pub(crate) fn holds(&self, moment: Instant) -> bool {
        moment >= self.begin && moment < self.end
    }
}

/// Looks at the server and at this process while the window lasts.
pub(crate) async fn watch(window: Window, server: u32, enough: CancellationToken) -> anyhow::Result<Used> {
    let (server, own) = (Process::of(server), Process::own());
    sleep_until(window.begin.into()).await;
    let before = (server.usage()?, own.usage()?);
    let (mut peak_kib, mut longest_gap, mut looked) = (0, Duration::ZERO, Instant::now());
    while looked < window.end && !enough.is_cancelled() {
        peak_kib = peak_kib.max(server.usage()?.resident_kib);
        sleep_until((looked + LOOK).min(window.end).into()).await;
        longest_gap = longest_gap.max(looked.elapsed());
        looked = Instant::now();
    }
    let after = (server.usage()?, own.usage()?);
    let busy = |before: &Usage, after: &Usage| after.busy.saturating_sub(before.busy);
    let length = looked.min(window.end).saturating_duration_since(window.begin);
    Ok(Used { server: busy(&before.0, &after.0), load: busy(&before.1, &after.1), peak_kib, longest_gap, length })
}
