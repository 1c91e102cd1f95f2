//! Counts every call of the data port by method and code, when it ends.
//!
//! It ends with its trailers, or with its headers where these hold the code
//! already. A caller who leaves before that is counted as `CANCELLED`, whatever
//! the answer would have been.
//!
//! Where a caller has a trace, or gets one, the headers say which: `traceparent`.

mod names;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use self::names::method;
use crate::{
    api::code_name,
    telemetry::{Context as Span, Journey, Journeys, Metrics},
};

/// Makes [`Observe`].
#[derive(Clone)]
pub(super) struct ObserveLayer {
    metrics: Metrics,
    journeys: Journeys,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Observe<S> {
    inner: S,
    metrics: Metrics,
    journeys: Journeys,
}

impl ObserveLayer {
    pub(super) fn new(metrics: Metrics, journeys: Journeys) -> Self {
        Self { metrics, journeys }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe { inner, metrics: self.metrics.clone(), journeys: self.journeys.clone() }
    }
}

impl<S> Service<Request<Body>> for Observe<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Observed>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = method(request.uri().path());
        let journey = self.journeys.begin(method, caller(request.headers()));
        request.extensions_mut().insert(journey.clone());
        let call = Call { metrics: self.metrics.clone(), method, journey, code: Code::Cancelled };
        Answer { inner: self.inner.call(request), call: Some(call) }
    }
}

pin_project! {
    /// A call until its headers.
    pub(super) struct Answer<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Observed>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(context));
        let call = this.call.take();
        Poll::Ready(match answer {
            Ok(response) => Ok(observed(response, call)),
            Err(error) => {
                end(call, Code::Unknown);
                Err(error)
            }
        })
    }
}

fn observed(response: Response<Body>, call: Option<Call>) -> Response<Observed> {
    let (mut head, body) = response.into_parts();
    let traceparent = call.as_ref().and_then(|call| call.journey.traceparent());
    let traceparent = traceparent.and_then(|span| HeaderValue::try_from(span).ok());
    head.headers.extend(traceparent.map(|span| (HeaderName::from_static(Span::HEADER), span)));
    let code = code(&head.headers);
    // What has neither a code nor a body is no answer of gRPC, e.g. to a GET.
    let ended = code.or_else(|| body.is_end_stream().then_some(Code::Unknown));
    let call = match ended {
        Some(code) => {
            end(call, code);
            None
        }
        None => call,
    };
    Response::from_parts(head, Observed { body, call })
}

/// The body of an answer, and the call until it ends.
pub(super) struct Observed {
    body: Body,
    call: Option<Call>,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let ended = match &frame {
            Some(Ok(frame)) => frame.trailers_ref().map(|trailers| code(trailers).unwrap_or(Code::Unknown)),
            Some(Err(status)) => Some(status.code()),
            None => Some(Code::Unknown),
        };
        if let Some(code) = ended {
            end(self.call.take(), code);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One call that is not over. Dropped, it was left by its caller.
struct Call {
    metrics: Metrics,
    method: &'static str,
    journey: Journey,
    code: Code,
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = code_name(self.code);
        let ended = self.journey.end(code);
        self.metrics.request(self.method, code, ended.took);
    }
}

/// Counts the call, unless it was counted already.
fn end(call: Option<Call>, code: Code) {
    if let Some(mut call) = call {
        call.code = code;
    }
}

/// What called, where it says so.
fn caller(headers: &HeaderMap) -> Option<Span> {
    Span::parse(headers.get(Span::HEADER)?.to_str().ok()?)
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::future::{pending, ready};
    use tokio_test::{assert_ready, task};
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::telemetry::Exposition;

    /// A body of these frames.
    struct Frames(Vec<Frame<Bytes>>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let next = (!self.0.is_empty()).then(|| Ok(self.0.remove(0)));
            Poll::Ready(next)
        }
    }

    fn metrics() -> (ObserveLayer, Exposition) {
        let (metrics, exposition) = Metrics::new().unwrap();
        let journeys = Journeys::new(metrics.clone());
        (ObserveLayer::new(metrics, journeys), exposition)
    }

    fn request(path: &str) -> Request<Body> {
        Request::builder().uri(format!("http://souk{path}")).body(Body::empty()).unwrap()
    }

    /// What a caller of `path` gets where this is the answer.
    async fn answered(layer: &ObserveLayer, path: &str, answer: Response<Body>) -> Observed {
        let mut answer = Some(answer);
        let service = service_fn(move |_| ready(Ok::<_, Infallible>(answer.take().unwrap())));
        layer.layer(service).oneshot(request(path)).await.unwrap().into_body()
    }

    fn in_trailers(code: &str) -> Response<Body> {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]);
        Response::new(Body::new(Frames(vec![Frame::data(Bytes::from_static(b"x")), Frame::trailers(trailers)])))
    }

    /// The lines of calls that were counted.
    fn counted(exposition: &Exposition) -> Vec<String> {
        let text = exposition.text().unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("souk_requests_total"));
        lines.map(ToOwned::to_owned).collect()
    }

    fn next_frame(body: &mut Observed) -> Option<Frame<Bytes>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert_ready!(Pin::new(body).poll_frame(&mut context)).map(Result::unwrap)
    }

    #[tokio::test]
    async fn a_call_counts_when_its_trailers_leave() {
        let (layer, exposition) = metrics();
        let mut body = answered(&layer, "/grpc.health.v1.Health/Check", in_trailers("8")).await;
        assert!(next_frame(&mut body).unwrap().is_data());
        assert!(counted(&exposition).is_empty());
        assert!(next_frame(&mut body).unwrap().is_trailers());
        let one = [r#"{code="RESOURCE_EXHAUSTED",method="grpc.health.v1.Health/Check"} 1"#];
        assert_eq!(counted(&exposition), one);
        drop(body);
        assert_eq!(counted(&exposition), one);
    }

    #[tokio::test]
    async fn a_refusal_counts_at_its_headers() {
        let (layer, exposition) = metrics();
        let refused = Status::not_found("seven").into_http();
        let _kept = answered(&layer, "/grpc.health.v1.Health/Check", refused).await;
        assert_eq!(counted(&exposition), [r#"{code="NOT_FOUND",method="grpc.health.v1.Health/Check"} 1"#]);
    }

    #[tokio::test]
    async fn a_caller_is_told_where_in_his_trace_the_call_stands() {
        let (layer, _exposition) = metrics();
        let span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let service =
            || layer.layer(service_fn(|_| ready(Ok::<_, Infallible>(Status::not_found("seven").into_http()))));
        let mut asked = request("/grpc.health.v1.Health/Check");
        assert_eq!(service().oneshot(asked).await.unwrap().headers().get(Span::HEADER), None);
        asked = request("/grpc.health.v1.Health/Check");
        asked.headers_mut().insert(Span::HEADER, span.parse().unwrap());
        assert_eq!(service().oneshot(asked).await.unwrap().headers().get(Span::HEADER).unwrap(), span);
    }

    #[tokio::test]
    async fn what_is_no_answer_of_grpc_is_unknown() {
        let (layer, exposition) = metrics();
        let _kept = answered(&layer, "/", Response::new(Body::empty())).await;
        assert_eq!(counted(&exposition), [r#"{code="UNKNOWN",method="other"} 1"#]);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_before_the_answer_is_cancelled() {
        let (layer, exposition) = metrics();
        let mut never = layer.layer(service_fn(|_| pending::<Result<Response<Body>, Infallible>>()));
        let mut call = task::spawn(never.call(request("/grpc.health.v1.Health/Watch")));
        assert!(call.poll().is_pending());
        assert!(counted(&exposition).is_empty());
        drop(call);
        assert_eq!(counted(&exposition), [r#"{code="CANCELLED",method="grpc.health.v1.Health/Watch"} 1"#]);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_a_stream_is_cancelled() {
        let (layer, exposition) = metrics();
        let mut body = answered(&layer, "/grpc.health.v1.Health/Watch", in_trailers("0")).await;
        next_frame(&mut body);
        drop(body);
        assert_eq!(counted(&exposition), [r#"{code="CANCELLED",method="grpc.health.v1.Health/Watch"} 1"#]);
    }

    #[tokio::test]
    async fn a_caller_can_not_make_up_methods() {
        let (layer, exposition) = metrics();
        for path in ["/souk.v1.MerchantGmvService/Nothing", "/x", "/", "/grpc.health.v1.Health/Check/"] {
            answered(&layer, path, Status::unimplemented("seven").into_http()).await;
        }
        assert_eq!(counted(&exposition), [r#"{code="UNIMPLEMENTED",method="other"} 4"#]);
    }
}
