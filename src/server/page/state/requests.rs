//! Calls by method and code, and single requests that were slow or refused.

use serde::Serialize;

use super::millis;
use crate::telemetry::{Noted, NotedRequest};

/// So many calls of a method ended with a code.
#[derive(Serialize)]
pub(super) struct Call {
    method: String,
    code: String,
    /// Since the start.
    count: u64,
}

impl From<((String, String), u64)> for Call {
    fn from(((method, code), count): ((String, String), u64)) -> Self {
        Self { method, code, count }
    }
}

/// Requests of the last minutes that are worth a look: the slowest, slowest first, and those
/// that were refused or failed, newest first.
#[derive(Serialize)]
pub(super) struct NotedState {
    slowest: Vec<RequestState>,
    refused: Vec<RequestState>,
}

/// Durations in seconds.
#[derive(Serialize)]
struct RequestState {
    at: u64,
    method: &'static str,
    code: &'static str,
    reason: Option<&'static str>,
    model: String,
    /// `null` where none was resolved.
    version: Option<u64>,
    /// How many versions were asked.
    versions: usize,
    rows: usize,
    lane: &'static str,
    trace_id: Option<String>,
    took: f64,
    decode: f64,
    queue: f64,
    compute: f64,
    batch_rows: usize,
}

impl NotedState {
    pub(super) fn of(noted: &Noted) -> Self {
        Self { slowest: shown(noted.slowest(None, MOST)), refused: shown(noted.refused(None, MOST)) }
    }
}

/// Requests of each kind that are shown.
const MOST: usize = 50;

fn shown(requests: Vec<NotedRequest>) -> Vec<RequestState> {
    requests.into_iter().take(MOST).map(told).collect()
}

fn told(request: NotedRequest) -> RequestState {
    RequestState {
        at: millis(request.at),
        method: request.method,
        code: request.code,
        reason: request.reason,
        model: request.model,
        version: Some(request.version).filter(|version| *version > 0),
        versions: request.versions,
        rows: request.rows,
        lane: request.lane,
        trace_id: request.trace_id,
        took: request.took.as_secs_f64(),
        decode: request.decode.as_secs_f64(),
        queue: request.queue.as_secs_f64(),
        compute: request.compute.as_secs_f64(),
        batch_rows: request.batch_rows,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn request(version: u64) -> NotedRequest {
        NotedRequest {
            at: UNIX_EPOCH + Duration::from_secs(7),
            method: "souk.v1.MerchantGmvService/PredictGmv",
            code: "RESOURCE_EXHAUSTED",
            reason: Some("queue_full"),
            model: "merchant_gmv".into(),
            version,
            versions: 1,
            rows: 3,
            lane: "interactive",
            trace_id: None,
            took: Duration::from_millis(250),
            decode: Duration::ZERO,
            queue: Duration::from_millis(200),
            compute: Duration::from_millis(50),
            batch_rows: 64,
        }
    }

    #[test]
    fn requests_are_told_in_seconds_and_at_most_fifty_of_a_kind() {
        let slowest = serde_json::to_value(shown((0..70).map(request).collect())).unwrap();
        assert_eq!(slowest.as_array().unwrap().len(), 50);
        assert_eq!((&slowest[1]["took"], &slowest[1]["version"]), (&0.25.into(), &1.into()));
        assert_eq!((&slowest[1]["at"], &slowest[1]["reason"]), (&7000.into(), &"queue_full".into()));
        assert!(slowest[0]["version"].is_null());
    }
}
