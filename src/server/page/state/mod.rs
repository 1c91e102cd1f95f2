//! What is now, as JSON. Moments are milliseconds since 1970, durations seconds.

mod models;
mod requests;
mod trials;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use self::{
    models::ModelState,
    requests::{Call, NotedState},
};
use super::{Sources, policies::Policies};
use crate::{
    registry::{Event, EventKind, Model, is_ready},
    telemetry::{History, Name},
};

/// Events that are shown.
const EVENTS: usize = 60;

/// All that can be seen.
pub(super) struct Seen<'s> {
    pub(super) sources: &'s Sources,
    pub(super) policies: &'s Policies,
    pub(super) history: &'s History,
    pub(super) started: SystemTime,
}

#[derive(Serialize)]
pub(super) struct State {
    now: u64,
    server: ServerState,
    models: Vec<ModelState>,
    /// Figures of about a minute up to now.
    lately: Lately,
    /// Calls since the start.
    calls: Vec<Call>,
    /// Newest first.
    events: Vec<EventState>,
    noted: NotedState,
}

#[derive(Serialize)]
struct ServerState {
    version: &'static str,
    libtorch: String,
    host: String,
    started: u64,
    ready: bool,
    draining: bool,
}

#[derive(Serialize)]
struct Lately {
    seconds: f64,
    figures: Vec<Value>,
}

#[derive(Serialize)]
struct Value {
    figure: &'static str,
    of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    value: f32,
}

#[derive(Serialize)]
struct EventState {
    at: u64,
    model: String,
    version: Option<u64>,
    kind: &'static str,
    message: String,
}

impl Seen<'_> {
    pub(super) fn state(&self) -> State {
        let models = self.sources.registry.models();
        let policies = self.policies.load();
        let model = |(name, model): (&String, &Arc<Model>)| {
            let changes = policies.get(name).map(|changes| &**changes).unwrap_or_default();
            models::model(name, model, changes, &self.sources.trials)
        };
        let calls = self.history.calls();
        let events = self.sources.events.last();
        State {
            now: millis(SystemTime::now()),
            server: self.server(),
            models: models.iter().map(model).collect(),
            lately: self.lately(),
            calls: calls.into_iter().map(Call::from).collect(),
            events: events.into_iter().rev().take(EVENTS).map(event).collect(),
            noted: NotedState::of(&self.sources.noted),
        }
    }

    fn server(&self) -> ServerState {
        let draining = self.sources.drain.has_begun();
        ServerState {
            version: env!("CARGO_PKG_VERSION"),
            libtorch: self.sources.libtorch.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            started: millis(self.started),
            ready: is_ready(&self.sources.registry.models()) && !draining,
            draining,
        }
    }
}

impl Seen<'_> {
    fn lately(&self) -> Lately {
        let (took, figures) = self.history.lately();
        let value =
            |(Name { figure, of, version, by }, value)| Value { figure: figure.as_str(), of, version, by, value };
        Lately { seconds: took.as_secs_f64(), figures: figures.into_iter().map(value).collect() }
    }
}

fn event(event: Event) -> EventState {
    let Event { at, model, version, kind, message } = event;
    EventState { at: millis(at), model, version, kind: kind_of(kind), message }
}

fn kind_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Preparing => "preparing",
        EventKind::Ready => "ready",
        EventKind::Rejected => "rejected",
        EventKind::Cancelled => "cancelled",
        EventKind::Traffic => "traffic",
        EventKind::Refused => "refused",
        EventKind::TakenBack => "taken_back",
        EventKind::Retired => "retired",
    }
}

/// Since 1970.
pub(super) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
