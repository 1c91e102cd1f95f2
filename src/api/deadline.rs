//! Reads `grpc-timeout` and answers `DEADLINE_EXCEEDED` when it passes.
//!
//! tonic reads the header too, answers `CANCELLED`, and tells nobody below. This
//! layer sits inside tonic's, hands the deadline on, and fires first.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

/// How much of a timeout is left for the way of the answer: what is ready just before the
/// caller stops waiting has arrived too late, most of all where the machine is busy.
const WAY_BACK: u32 = 10;

/// At least one tick of tokio's timers, which round up to whole milliseconds, so that our
/// timer fires before tonic's; at most what a busy machine needs to send a reply.
const AHEAD: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(5));

/// When the caller of this request stops waiting. In the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline(pub(super) Instant);

/// Has calls end with their deadline: makes `GrpcTimeout`.
#[derive(Debug, Clone, Copy)]
pub struct GrpcTimeoutLayer;

/// See the module.
#[derive(Debug, Clone)]
pub struct GrpcTimeout<S> {
    inner: S,
}

impl<S> Layer<S> for GrpcTimeoutLayer {
    type Service = GrpcTimeout<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcTimeout { inner }
    }
}

impl<S> Service<Request<Body>> for GrpcTimeout<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let timeout = timeout(request.headers());
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout.saturating_sub(ahead(timeout))));
        let Some(deadline) = deadline else {
            return Box::pin(self.inner.call(request));
        };
        request.extensions_mut().insert(Deadline(deadline));
        let answered = tokio::time::timeout_at(deadline.into(), self.inner.call(request));
        Box::pin(async {
            // Dropping the call drops its rows.
            answered.await.unwrap_or_else(|_passed| Ok(passed().into_http()))
        })
    }
}

fn passed() -> Status {
    Status::deadline_exceeded("the deadline passed before the answer was ready")
}

/// How much earlier than the caller's own timer ours fires.
fn ahead(timeout: Duration) -> Duration {
    let (least, most) = AHEAD;
    (timeout / WAY_BACK).clamp(least, most)
}

/// The header's value: up to eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let in_range = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| in_range)?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", value.parse().ok()?);
        timeout(&headers)
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(parsed("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parsed("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parsed("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parsed("20m"), Some(Duration::from_millis(20)));
        assert_eq!(parsed("20u"), Some(Duration::from_micros(20)));
        assert_eq!(parsed("99999999n"), Some(Duration::from_nanos(99_999_999)));
    }

    #[test]
    fn the_answer_has_time_for_its_way() {
        let millis = Duration::from_millis;
        let ours = |timeout| timeout - ahead(timeout);
        assert_eq!([2, 20, 50, 1000].map(|timeout| ours(millis(timeout))), [1, 18, 45, 995].map(millis));
    }

    #[test]
    fn what_the_specification_does_not_allow_is_no_timeout() {
        for value in ["", "m", "123456789m", "-1m", "+1m", "1", "1x", "1.5S", "1é"] {
            assert_eq!(parsed(value), None, "{value:?}");
        }
    }
}
