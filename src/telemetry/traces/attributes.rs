//! What spans say: names of OpenTelemetry's semantic conventions where they have one, and
//! those of Souk. No value is of a row or an entity.

use opentelemetry::{KeyValue, trace::Status};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, RPC_SYSTEM_NAME, SERVER_ADDRESS, SERVER_PORT,
};

use super::{Batch, Told};
use crate::telemetry::{Ended, Leg};

/// Of these every viewer of traces knows at least the older names, which the conventions have
/// given up.
const RPC_SYSTEM: &str = "rpc.system";
const RPC_SERVICE: &str = "rpc.service";
const RPC_GRPC_STATUS_CODE: &str = "rpc.grpc.status_code";

/// A method that is none of ours. What it was called is not told: a caller makes it up.
const OTHER: &str = "_OTHER";

/// gRPC's codes by their numbers.
pub(super) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Those that are a fault of the server, by the conventions for servers of gRPC. All others
/// are its caller's.
const FAULTS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// The method's service, where it is one of ours.
fn service(method: &str) -> Option<&str> {
    Some(method.split_once('/')?.0)
}

/// The name of a call's span.
pub(super) fn name(method: &'static str) -> &'static str {
    if service(method).is_some() { method } else { "grpc" }
}

/// Of a call.
pub(super) fn of_call(method: &'static str, code: &'static str, server: &(String, u16)) -> Vec<KeyValue> {
    let (address, port) = server;
    let mut attributes = Vec::with_capacity(20);
    attributes.extend([
        KeyValue::new(RPC_SYSTEM_NAME, "grpc"),
        KeyValue::new(RPC_METHOD, if service(method).is_some() { method } else { OTHER }),
        KeyValue::new(RPC_RESPONSE_STATUS_CODE, code),
        KeyValue::new(SERVER_ADDRESS, address.clone()),
        KeyValue::new(SERVER_PORT, i64::from(*port)),
        KeyValue::new(RPC_SYSTEM, "grpc"),
    ]);
    attributes.extend(service(method).map(|service| KeyValue::new(RPC_SERVICE, service)));
    let number = CODES.iter().position(|named| *named == code);
    attributes.extend(number.map(|number| KeyValue::new(RPC_GRPC_STATUS_CODE, count(number))));
    attributes.extend(is_fault(code).then(|| KeyValue::new(ERROR_TYPE, code)));
    attributes
}

/// What a request has beside that, a call or a message.
pub(super) fn of_request(told: &Told) -> Vec<KeyValue> {
    let Told { ended: Ended { legs, code, is_message, .. }, why } = told;
    let mut attributes = vec![KeyValue::new("souk.kept_for", why.as_str())];
    attributes.extend(is_message.then(|| KeyValue::new("souk.code", *code)));
    // The reply as well names the version of the first row for all of them.
    let Some(first) = legs.first() else { return attributes };
    attributes.extend(of_leg(first));
    let rows = |rows: fn(&Leg) -> usize| legs.iter().map(rows).sum();
    let batch_rows = legs.iter().map(|leg| leg.batch_rows).max().unwrap_or_default();
    attributes.extend([
        KeyValue::new("souk.lane", first.lane),
        KeyValue::new("souk.rows", count(rows(|leg| leg.rows))),
        KeyValue::new("souk.rows_failed", count(rows(|leg| leg.failed))),
        KeyValue::new("souk.batch_rows", count(batch_rows)),
    ]);
    attributes.extend(told.ended.reason().map(|reason| KeyValue::new("souk.shed", reason.as_str())));
    attributes
}

/// Which version was asked, if any was.
pub(super) fn of_leg(leg: &Leg) -> Vec<KeyValue> {
    let version = i64::try_from(leg.version).unwrap_or(i64::MAX);
    let mut attributes = vec![KeyValue::new("souk.model", leg.model.clone())];
    attributes.extend((version > 0).then(|| KeyValue::new("souk.version", version)));
    attributes
}

/// The version, and how many rows it was asked for.
pub(super) fn of_rows(leg: &Leg) -> Vec<KeyValue> {
    let mut attributes = of_leg(leg);
    attributes.push(KeyValue::new("souk.rows", count(leg.rows)));
    attributes
}

/// Of a batch that this leg was in.
pub(super) fn of_batch(batch: &Batch, leg: &Leg) -> Vec<KeyValue> {
    let mut attributes = of_leg(leg);
    attributes.extend([
        KeyValue::new("souk.batch.rows", count(batch.ran.rows)),
        KeyValue::new("souk.batch.requests", count(batch.ran.requests)),
        KeyValue::new("souk.batch.passes", count(batch.ran.passes)),
        KeyValue::new("souk.batch.ran_on", batch.ran.on.as_str()),
    ]);
    attributes
}

/// Whether a request failed, and by whose fault.
pub(super) fn status(code: &'static str) -> Status {
    if is_fault(code) { Status::error(code) } else { Status::Unset }
}

fn is_fault(code: &str) -> bool {
    FAULTS.contains(&code)
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
