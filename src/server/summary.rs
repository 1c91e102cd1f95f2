//! Once a minute the log says what became of that minute's requests.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::telemetry::Journeys;

/// How often: seldom enough to read a day's log, often enough to see since when.
const EVERY: Duration = Duration::from_secs(60);

/// Says so until it is told to finish.
pub(super) struct Summaries {
    finish: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Summaries {
    pub(super) fn start(journeys: Journeys) -> Self {
        let finish = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(say(journeys, finish.clone())));
        Self { finish, task }
    }

    /// Says what became of the last requests.
    pub(super) async fn finish(self) {
        self.finish.cancel();
        // Nothing is lost with it but a line.
        let _ = self.task.await;
    }
}

async fn say(journeys: Journeys, finish: CancellationToken) {
    let (mut minutes, mut since) = (interval(EVERY), Instant::now());
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    minutes.tick().await;
    let mut is_over = false;
    while !is_over {
        is_over = tokio::select! {
            _ = minutes.tick() => false,
            () = finish.cancelled() => true,
        };
        if let Some(summary) = journeys.tally().take() {
            summary.log(since.elapsed());
        }
        since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{pause, sleep};

    use super::*;
    use crate::telemetry::Metrics;

    #[tokio::test]
    async fn requests_are_summed_up_each_minute_and_at_the_end() {
        pause();
        let journeys = Journeys::new(Metrics::none());
        let summaries = Summaries::start(journeys.clone());
        journeys.begin("x", None).end("INTERNAL");
        sleep(EVERY + Duration::from_millis(1)).await;
        assert_eq!(journeys.tally().take(), None, "it was said");
        journeys.begin("x", None).end("INTERNAL");
        summaries.finish().await;
        assert_eq!(journeys.tally().take(), None, "it was said");
    }
}
