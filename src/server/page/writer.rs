//! The thread that measures once a second and writes what browsers ask for.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant, SystemTime},
};

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;

use super::{Sources, history::Points, policies::Policies, state::Seen};
use crate::telemetry::History;

/// How often is measured.
const SECOND: Duration = Duration::from_secs(1);

/// How old a state may be that is given to one more browser: many cost as much as two.
const FRESH: Duration = Duration::from_millis(500);

/// Asks that may wait: one for each connection that there can be.
const WAITING: usize = super::super::http::CONNECTIONS as usize;

/// What a browser asks for.
pub(super) enum Ask {
    /// What is now.
    State(oneshot::Sender<Bytes>),
    /// The points from this number on.
    History(u64, oneshot::Sender<Bytes>),
}

pub(super) type Asks = SyncSender<Ask>;

pub(super) fn asks() -> (Asks, Receiver<Ask>) {
    sync_channel(WAITING)
}

/// See the module.
pub(super) struct Writer {
    sources: Sources,
    policies: Policies,
    started: SystemTime,
    begun: Instant,
    history: History,
    state: Option<(Instant, Bytes)>,
}

impl Writer {
    pub(super) fn new(sources: Sources, policies: Policies, started: SystemTime) -> Self {
        Self { sources, policies, started, begun: Instant::now(), history: History::default(), state: None }
    }

    /// Until nobody can ask any more.
    pub(super) fn run(mut self, asked: &Receiver<Ask>) {
        let mut next = Instant::now();
        loop {
            // First, so that no number of browsers keeps it from measuring.
            let now = Instant::now();
            if now >= next {
                self.measure();
                // What was missed is no second of its own.
                next = now + SECOND;
            }
            match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(ask) => self.answer(ask),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn measure(&mut self) {
        let reading = self.sources.exposition.reading();
        let passed = self.begun.elapsed();
        // The system's clock may be set back, and points only follow each other.
        self.history.add(self.started + passed, passed, reading);
    }

    /// Who has left meanwhile needs no answer.
    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::State(answer) => drop(answer.send(self.state())),
            Ask::History(since, answer) => {
                let points = Points::new(super::state::millis(self.started), self.history.since(since));
                let _ = answer.send(json(&points));
            }
        }
    }

    fn state(&mut self) -> Bytes {
        if let Some((written, state)) = &self.state
            && written.elapsed() < FRESH
        {
            return state.clone();
        }
        let seen =
            Seen { sources: &self.sources, policies: &self.policies, history: &self.history, started: self.started };
        let state = json(&seen.state());
        self.state = Some((Instant::now(), state.clone()));
        state
    }
}

/// Types with derived serialisers and text for keys can't fail.
fn json(what: &impl Serialize) -> Bytes {
    serde_json::to_vec(what).unwrap_or_default().into()
}
