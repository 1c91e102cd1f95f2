//! What happened and when, as clients read it.

use std::time::Duration;

use jiff::Timestamp;

use super::policy;
use crate::{
    api::proto::v1::{ModelEvent, ModelEventKind, TrafficChange},
    registry::{Change, Event, EventKind},
};

/// A change of who answered.
pub(super) fn change(found: &Change) -> TrafficChange {
    TrafficChange {
        revision: found.revision,
        at: Some(timestamp(found.at)),
        by: found.by.clone(),
        reason: found.reason.clone(),
        labels: policy::labels(&found.policy, |label| found.versions.get(label).copied()),
    }
}

/// Something that happened.
pub(super) fn event(found: Event) -> ModelEvent {
    ModelEvent {
        time: Some(found.at.into()),
        model: found.model,
        version: found.version.unwrap_or_default(),
        kind: kind(found.kind).into(),
        message: found.message,
        missed: 0,
    }
}

fn kind(kind: EventKind) -> ModelEventKind {
    match kind {
        EventKind::Preparing => ModelEventKind::Preparing,
        EventKind::Ready => ModelEventKind::Ready,
        EventKind::Rejected => ModelEventKind::Rejected,
        EventKind::Cancelled => ModelEventKind::Cancelled,
        EventKind::Traffic => ModelEventKind::Traffic,
        EventKind::Refused => ModelEventKind::Refused,
        EventKind::TakenBack => ModelEventKind::TakenBack,
        EventKind::Retired => ModelEventKind::Retired,
    }
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// None where it is longer than protobuf can say: 10,000 years.
pub(super) fn duration(took: Duration) -> Option<prost_types::Duration> {
    took.try_into().ok()
}
