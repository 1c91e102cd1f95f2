//! What requests hand over once their reply is made: it is counted, and some of it goes
//! on to be scored again.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Trials,
    health::Request,
    queue::{Entry, Why},
    watch::Watch,
};
use crate::{model::Version, rows::Rows};

/// What a version made of rows, once their reply is made.
pub struct Scored {
    /// The rows that could be encoded, as they came.
    pub frames: Vec<Bytes>,
    /// The outputs for those that did not fail, in their order.
    pub outputs: Rows,
    /// Those that the version failed on, ascending, with what it said.
    pub failed: Vec<(usize, String)>,
    /// How many it answered with something that is no number.
    pub without_number: usize,
    /// From admission to outputs.
    pub latency: Duration,
}

/// What a version made of rows that came as tensors.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// How many there were.
    pub rows: usize,
    /// How many it failed on.
    pub failed: usize,
    /// How many it answered with something that is no number.
    pub without_number: usize,
    /// From admission to outputs.
    pub latency: Duration,
}

impl Trials {
    /// Takes in what a version made of rows of one request, or of those of them that
    /// are its own. To be called once their reply is made: it takes some nanoseconds
    /// where nothing is on trial, and copies the rows that are to be scored again.
    pub fn scored(&self, version: &Arc<Version>, scored: Scored) {
        if let Some(turn) = self.0.shared.recent.turn() {
            self.0.shared.keep_recent(version, &scored.frames, turn);
        }
        if self.0.shared.watching.load(Ordering::Relaxed) {
            self.on_trial(version, scored, self.0.shared.now());
        }
    }

    /// The same of rows that came as tensors: they are counted, and nobody scores them
    /// again.
    pub fn answered(&self, version: &Arc<Version>, made: Made) {
        if self.0.shared.watching.load(Ordering::Relaxed) {
            let Made { rows, failed, without_number, latency } = made;
            let (rows, failed, without_number) = (rows as u64, failed as u64, without_number as u64);
            let request = Request { rows, failed, without_number, latency: Some(latency) };
            self.count(version, &request, self.0.shared.now());
        }
    }

    pub(super) fn count(&self, version: &Arc<Version>, request: &Request, at: Duration) {
        let watches = self.0.shared.watches.load();
        let watch = watches.get(&version.manifest.model);
        if let Some(health) = watch.and_then(|watch| watch.health(version)) {
            health.count(at, request);
        }
    }

    pub(super) fn on_trial(&self, version: &Arc<Version>, scored: Scored, at: Duration) {
        let watches = self.0.shared.watches.load();
        let Some(watch) = watches.get(&version.manifest.model) else { return };
        if let Some(health) = watch.health(version) {
            health.count(at, &scored.request());
        }
        self.compare(watch, version, scored, at);
    }

    /// Has another version score the rows, where one is to.
    fn compare(&self, watch: &Watch, version: &Arc<Version>, mut scored: Scored, at: Duration) {
        let wanted = scored.frames.len();
        if let Some(shadow) = watch.shadow(version) {
            let put = self.put(version, shadow, Why::Shadow, scored);
            if put < wanted {
                watch.drop_rows(wanted - put);
            }
            return;
        }
        scored.frames.truncate(watch.compared(version, wanted, at));
        self.put(version, &watch.stable.version, Why::Canary, scored);
    }

    /// Puts the rows into the queue, as many as there is room for; how many.
    fn put(&self, answered: &Arc<Version>, scorer: &Weak<Version>, why: Why, scored: Scored) -> usize {
        let Some((frames, place_there)) = self.0.queue.take(&scored.frames) else { return 0 };
        let rows = frames.len();
        let failed: Vec<usize> = scored.failed.iter().map(|(row, _)| *row).filter(|row| *row < rows).collect();
        let good = rows - failed.len();
        // Without the outputs of rows that stay behind, which keep their memory.
        let outputs = if good < scored.outputs.len() { scored.outputs.slice(0..good) } else { scored.outputs };
        self.0.queue.put(Entry {
            answered: Arc::downgrade(answered),
            scorer: scorer.clone(),
            why,
            frames,
            outputs,
            failed,
            _place: place_there,
        });
        rows
    }
}

impl Scored {
    fn request(&self) -> Request {
        Request {
            rows: self.frames.len() as u64,
            failed: self.failed.len() as u64,
            without_number: self.without_number as u64,
            latency: (!self.frames.is_empty()).then_some(self.latency),
        }
    }
}
