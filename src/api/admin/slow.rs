//! What was slow or refused, as clients read it.

use super::moments;
use crate::{
    api::proto::v1::{Lane as ProtoLane, ListSlowRequestsRequest, ListSlowRequestsResponse, NotedRequest},
    identity::Caller,
    stack::Lane,
    telemetry::{self, Noted},
};

/// Requests of each list where the caller doesn't say.
const MOST: usize = 20;

/// More are never sent, whatever the caller says.
const BOUND: usize = 1000;

/// What was noted of the model that is asked for, or of all that the caller sees.
pub(super) fn list(noted: &Noted, asked: &ListSlowRequestsRequest, caller: &Caller) -> ListSlowRequestsResponse {
    let most = asked.most.map_or(MOST, |most| usize::try_from(most).unwrap_or(usize::MAX)).min(BOUND);
    let model = Some(&*asked.model).filter(|model| !model.is_empty());
    // Those that came to no model are told to who sees all models.
    let seen = |model: &str| caller.sees(model);
    let told = |requests: Vec<telemetry::NotedRequest>| {
        requests.into_iter().filter(|found| seen(&found.model)).take(most).map(request).collect()
    };
    // All, where others than the caller's may be among them.
    let copied = if caller.sees("") { most } else { usize::MAX };
    ListSlowRequestsResponse {
        slowest: told(noted.slowest(model, copied)),
        refused: told(noted.refused(model, copied)),
    }
}

fn request(found: telemetry::NotedRequest) -> NotedRequest {
    NotedRequest {
        time: Some(found.at.into()),
        method: found.method.to_owned(),
        code: found.code.to_owned(),
        reason: found.reason.unwrap_or_default().to_owned(),
        model: found.model,
        version: found.version,
        versions: count(found.versions),
        rows: count(found.rows),
        lane: lane(found.lane).into(),
        trace_id: found.trace_id.unwrap_or_default(),
        took: moments::duration(found.took),
        decode: moments::duration(found.decode),
        queue: moments::duration(found.queue),
        compute: moments::duration(found.compute),
        batch_rows: count(found.batch_rows),
    }
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

fn lane(name: &str) -> ProtoLane {
    match name {
        _ if name == Lane::Interactive.as_str() => ProtoLane::Interactive,
        _ if name == Lane::Bulk.as_str() => ProtoLane::Bulk,
        _ => ProtoLane::Unspecified,
    }
}
