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
        .map(move |message| {
            let followed = Message::of(&of_messages);
            let call = Call { journey: followed.journey.clone(), ..of_messages.clone() };
            let answered = message.map(|message| answer(message, call));
            async move {
                let mut followed = followed;
                let answered = answered?.await;
                followed.code = answered.as_ref().map_or_else(Status::code, Coded::code);
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

/// The messages of a stream, up to its end, its deadline or the drain's.
struct Incoming<M> {
    inbound: Streaming<M>,
    call: Call,
    drain: Drain,
    last_call: Option<Instant>,
    ended: bool,
}

impl<M> Incoming<M> {
    async fn next(mut self) -> Option<(Result<M, Status>, Self)> {
        if self.ended {
            return None;
        }
        let message = self.read().await.transpose()?;
        self.ended = message.is_err();
        Some((message, self))
    }

    /// The next message; what ends the stream early is a status.
    async fn read(&mut self) -> Result<Option<M>, Status> {
        let last_call = self.last_call;
        tokio::select! {
            biased;
            () = at(last_call) => Err(ScoreError::Draining.into()),
            () = at(self.call.deadline.map(|deadline| deadline.0.into())) => Err(ScoreError::DeadlinePassed.into()),
            message = self.inbound.message() => {
                if self.drain.has_begun() && last_call.is_none() {
                    self.last_call = Some(Instant::now() + LAST_CALL);
                }
                message.map_err(oversize::of_stream)
            }
            () = quiet(&self.drain) => Err(ScoreError::Draining.into()),
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
