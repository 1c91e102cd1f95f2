//! Streams: one reply per message, in order, with a few messages in work.
//!
//! A stream that is read slowly holds itself back: no message is read before
//! there is a place for its reply.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Code, Status, Streaming};

use super::{Drain, codes::code_name, oversize, scoring::Call};
use crate::{error::ScoreError, telemetry::Journey};

/// Messages of one stream that are decoded or scored at the same time: enough
/// that the runners need not wait for the socket, few enough to bound memory.
const IN_WORK: usize = 4;

/// While draining, a stream that brings nothing for so long has nothing more
/// that was sent before the drain.
const QUIET: Duration = Duration::from_millis(500);

/// While draining, messages are taken for so long at most.
const LAST_CALL: Duration = Duration::from_secs(2);

/// The replies of a stream.
pub(super) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers every message of `inbound` in order.
///
/// # Errors
///
/// [`ScoreError::Draining`] where the server no longer accepts streams.
pub(super) fn in_order<M, R, F>(
    inbound: Streaming<M>,
    call: Call,
    drain: &Drain,
    answer: impl Fn(M, Call) -> F + Send + 'static,
) -> Result<Replies<R>, ScoreError>
where
    M: Send + 'static,
    R: Coded + Send + 'static,
    F: Future<Output = Result<R, Status>> + Send + 'static,
{
    let accepted = drain.accept()?;
    let of_messages = call.clone();
    let incoming = Incoming { inbound, call, drain: drain.clone(), last_call: None, ended: false };
    let answered = stream::unfold(incoming, Incoming::next)
        .map(move |came| {
            let followed = came.is_message().then(|| Message::of(&of_messages));
            let journey = followed.as_ref().and_then(|followed| followed.journey.clone());
            let call = Call { journey, ..of_messages.clone() };
            let answered = came.message().map(|message| answer(message, call));
            async move {
                let answered = match answered {
                    Ok(answered) => answered.await,
                    Err(status) => Err(status),
                };
                if let Some(mut followed) = followed {
                    followed.code = answered.as_ref().map_or_else(Status::code, Coded::code);
                }
                answered
            }
        })
        .buffered(IN_WORK);
    Ok(Box::pin(Held { stream: Box::pin(answered), _accepted: accepted }))
}

/// A reply of a stream, which goes on where a message failed.
pub(super) trait Coded {
    /// What a unary call would have ended with.
    fn code(&self) -> Code {
        Code::Ok
    }
}

/// A message until it is answered. Dropped before that, it was left by its caller.
struct Message {
    journey: Option<Journey>,
    code: Code,
}

impl Message {
    fn of(stream: &Call) -> Self {
        Self { journey: stream.journey.as_ref().map(Journey::message), code: Code::Cancelled }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(journey) = &self.journey {
            journey.end(code_name(self.code));
        }
    }
}

/// What a stream brought.
#[derive(Debug)]
enum Came<M> {
    Message(M),
    /// A message that can't be read, or is too large.
    Fault(Status),
    /// No message: the stream ends early.
    End(Status),
}

impl<M> Came<M> {
    fn is_message(&self) -> bool {
        !matches!(self, Self::End(_))
    }

    fn message(self) -> Result<M, Status> {
        match self {
            Self::Message(message) => Ok(message),
            Self::Fault(status) | Self::End(status) => Err(status),
        }
    }

    /// What is wrong with a message is said by who reads it; a connection's fault has a source.
    fn failed(status: Status) -> Self {
        let is_of_connection = std::error::Error::source(&status).is_some() || status.code() == Code::Cancelled;
        let status = oversize::of_stream(status);
        if is_of_connection { Self::End(status) } else { Self::Fault(status) }
    }
}

/// The messages of a stream, up to its end, its deadline or the drain's.
struct Incoming<M> {
    inbound: Streaming<M>,
    call: Call,
    drain: Drain,
    last_call: Option<Instant>,
    ended: bool,
}

impl<M> Incoming<M> {
    async fn next(mut self) -> Option<(Came<M>, Self)> {
        if self.ended {
            return None;
        }
        let came = self.read().await?;
        self.ended = !matches!(came, Came::Message(_));
        Some((came, self))
    }

    /// The next message, or what ends the stream early.
    async fn read(&mut self) -> Option<Came<M>> {
        let last_call = self.last_call;
        let draining = || Some(Came::End(ScoreError::Draining.into()));
        tokio::select! {
            biased;
            () = at(last_call) => draining(),
            () = at(self.call.deadline.map(|deadline| deadline.0.into())) => {
                Some(Came::End(ScoreError::DeadlinePassed.into()))
            }
            message = self.inbound.message() => {
                if self.drain.has_begun() && last_call.is_none() {
                    self.last_call = Some(Instant::now() + LAST_CALL);
                }
                message.map_or_else(|status| Some(Came::failed(status)), |message| message.map(Came::Message))
            }
            () = quiet(&self.drain) => draining(),
        }
    }
}

/// Waits until `moment`; for ever where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until the server drains and nothing has come for a while.
async fn quiet(drain: &Drain) {
    drain.begun().await;
    sleep(QUIET).await;
}

/// Counts as accepted until the last reply was sent or the caller left.
struct Held<T> {
    stream: Replies<T>,
    _accepted: TaskTrackerToken,
}

impl<T> Stream for Held<T> {
    type Item = Result<T, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_message_is_its_own_and_what_ends_a_stream_is_of_no_message() {
        let of_message = [
            (Status::out_of_range("too large"), Code::ResourceExhausted),
            (Status::internal("failed to decode"), Code::Internal),
        ];
        for (status, wanted) in of_message {
            let came = Came::<()>::failed(status);
            assert!(came.is_message());
            assert_eq!(came.message().unwrap_err().code(), wanted);
        }
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for status in [Status::from_error(broken.into()), Status::cancelled("left")] {
            assert!(!Came::<()>::failed(status).is_message());
        }
    }
}
