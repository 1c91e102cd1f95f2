//! A message over the limit is `RESOURCE_EXHAUSTED`, as in gRPC's other
//! implementations; tonic answers `OUT_OF_RANGE`, which this server never uses
//! for anything else.

use http::{HeaderValue, Response};
use tonic::{Code, Status, body::Body};

const OUT_OF_RANGE: &[u8] = b"11";

/// Changes the code of a refused unary call; both sizes stay in the message.
pub fn oversize_is_exhausted(mut response: Response<Body>) -> Response<Body> {
    if let Some(code) = response.headers_mut().get_mut("grpc-status")
        && code.as_bytes() == OUT_OF_RANGE
    {
        *code = HeaderValue::from_static("8");
    }
    response
}

/// Refuses a message of so many bytes where fewer are allowed, in tonic's words.
///
/// # Errors
///
/// `RESOURCE_EXHAUSTED` with both sizes.
pub(super) fn within(found: usize, limit: usize) -> Result<(), Status> {
    if found <= limit {
        return Ok(());
    }
    Err(Status::resource_exhausted(format!(
        "Error, decoded message length too large: found {found} bytes, the limit is: {limit} bytes"
    )))
}

/// [`oversize_is_exhausted`] for a message of a stream.
pub(super) fn of_stream(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange => Status::resource_exhausted(status.message()),
        _ => status,
    }
}
