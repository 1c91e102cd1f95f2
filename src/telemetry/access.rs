//! What the log has of each request: one line, at debug.
//!
//! Never what was asked or answered: neither features nor outputs, and the ids of entities
//! only where `telemetry.log_entities` wants them.

use std::time::Duration;

use tracing::{Level, debug, enabled};

use super::{Ended, NotedRequest, latencies::millis};

/// What the lines are chosen by, e.g. `info,souk::access=debug`.
const TARGET: &str = "souk::access";

/// Whether anybody reads the lines. Where nobody does, to ask costs next to nothing.
pub(super) fn is_on() -> bool {
    enabled!(target: TARGET, Level::DEBUG)
}

/// The line of a request.
pub(super) fn log(ended: &Ended) {
    if !is_on() {
        return;
    }
    let request = NotedRequest::of(ended);
    let asked = |count: usize| (!ended.legs.is_empty()).then_some(count);
    let part = |part: Duration| asked(0).map(|_| millis(part));
    debug!(
        target: TARGET,
        method = request.method,
        code = request.code,
        reason = request.reason,
        took_ms = millis(request.took),
        decode_ms = part(request.decode),
        queue_ms = part(request.queue),
        compute_ms = part(request.compute),
        batch_rows = asked(request.batch_rows),
        model = asked(0).map(|_| request.model.as_str()),
        version = (request.version > 0).then_some(request.version),
        versions = asked(request.versions),
        rows = asked(request.rows),
        lane = asked(0).map(|_| request.lane),
        trace_id = request.trace_id,
        entities = (!ended.entities.is_empty()).then(|| tracing::field::debug(&ended.entities)),
        "request"
    );
}
