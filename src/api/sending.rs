//! Accepted work is open until its reply was sent: a large reply on a slow line
//! takes longer to send than to make, and would be cut off by the process' end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response as HttpResponse;
use http_body::{Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Response, Status, body::Body};

/// The connection takes one piece as soon as there is room for a byte, and keeps
/// it until there is room for all; so a piece is what may still be unsent when
/// the work no longer counts, and what each call of a client may cost that reads nothing. 64 rows' reply
/// is one.
const PIECE_BYTES: usize = 8 * 1024;

/// On its way from an endpoint to [`counted_until_sent`], in a response's extensions.
#[derive(Clone)]
struct Sending {
    /// Of the reply, which is encoded as it is sent.
    bytes: usize,
    _accepted: TaskTrackerToken,
}

/// A reply that knows about how long it is.
pub(super) trait Weighed {
    /// In bytes.
    fn bytes(&self) -> usize;
}

/// The reply to a request that was accepted.
pub(super) fn sending<T: Weighed>(reply: T, accepted: TaskTrackerToken) -> Response<T> {
    let bytes = reply.bytes();
    let mut response = Response::new(reply);
    response.extensions_mut().insert(Sending { bytes, _accepted: accepted });
    response
}

/// Has the body of a reply hold what its endpoint accepted, and leave in pieces.
pub fn counted_until_sent(mut response: HttpResponse<Body>) -> HttpResponse<Body> {
    let sending = response.extensions_mut().remove::<Sending>();
    let unread = sending.as_ref().map_or(0, |sending| sending.bytes);
    response.map(|body| Body::new(Pieces { body, unread, rest: Bytes::new(), _sending: sending }))
}

/// The frames of a body, the large ones cut.
struct Pieces {
    body: Body,
    /// Bytes of the reply, until it is encoded.
    unread: usize,
    /// What is left of the frame that is being cut.
    rest: Bytes,
    _sending: Option<Sending>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => (self.unread, self.rest) = (0, data),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    /// What is known to come, for who counts it.
    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::default();
        hint.set_lower(self.unread.max(self.rest.len()) as u64);
        hint
    }
}
