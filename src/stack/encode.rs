//! Has the rows of an admitted job encoded, and hands them to the batch.
//!
//! It stands below admission, so that a refused request costs nobody the decoding
//! and encoding of its rows.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use tower::{Layer, Service};

use super::{Encoded, Job, Scored, ScoredFuture, take_ready};
use crate::{error::ScoreError, identity::Fare};

/// Makes [`Encode`].
#[derive(Debug, Clone, Copy)]
pub struct EncodeLayer;

/// See the module.
#[derive(Debug, Clone)]
pub struct Encode<S> {
    inner: S,
}

impl<S> Layer<S> for EncodeLayer {
    type Service = Encode<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Encode { inner }
    }
}

impl<S> Service<Job> for Encode<S>
where
    S: Service<Encoded, Error = ScoreError, Response = Scored> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Scored;
    type Error = ScoreError;
    type Future = ScoredFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ScoreError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        let mut inner = take_ready(&mut self.inner);
        Box::pin(async move {
            let Job { model, rows, deadline, lane, journey, fare, .. } = job;
            let begun = Instant::now();
            let rows = rows.await?;
            let since = Instant::now();
            let decode = since - begun;
            if rows.is_empty() {
                // It was work to see that none is any good.
                fare.iter().for_each(Fare::spend);
                return Ok(Scored { encoded: Some(since), decode, ..Scored::default() });
            }
            if let Some(journey) = &journey {
                journey.encoded(model.identity().1, since, decode);
            }
            let scored = inner.call(Encoded { model, rows, deadline, lane, since, journey, fare }).await?;
            Ok(Scored { encoded: Some(since), decode, ..scored })
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_ok, task};
    use tower::{ServiceExt as _, service_fn};

    use std::time::Duration;

    use super::*;
    use crate::{
        rows::Rows,
        stack::{
            Lane, ObserveLayer,
            test::{encoding, job, scored},
        },
        telemetry::{Journeys, Metrics, Reason},
    };

    #[tokio::test]
    async fn rows_go_on_once_they_are_encoded() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let rows = Box::pin(async { Ok(told.await.unwrap()) });
        let model = service_fn(async |encoded: Encoded| Ok(scored(encoded.rows.len())));
        let encode = EncodeLayer.layer(model);
        let mut call = task::spawn(encode.oneshot(Job { rows, ..job(3, Lane::Interactive) }));
        assert_pending!(call.poll());
        tell.send(encoding(3).await.unwrap()).unwrap();
        assert_eq!(assert_ready_ok!(call.poll()).outputs.len(), 3);
    }

    #[tokio::test]
    async fn a_job_without_a_good_row_runs_nothing() {
        let model = service_fn(async |_: Encoded| -> Result<Scored, ScoreError> { panic!("it ran") });
        let rows = Box::pin(async { Ok(Rows::default()) });
        let none = EncodeLayer.layer(model).oneshot(Job { rows, ..job(3, Lane::Interactive) }).await;
        let none = none.unwrap();
        assert!(none.outputs.is_empty() && none.encoded.is_some());
    }

    #[tokio::test]
    async fn rows_that_are_given_up_in_the_queue_have_waited_there() {
        let journeys = Journeys::new(Metrics::none());
        let journey = journeys.begin("souk.v1.X/Y", None);
        let model = service_fn(async |_: Encoded| std::future::pending().await);
        let stack = ObserveLayer::new(Metrics::none()).layer(EncodeLayer.layer(model));
        let mut call = task::spawn(stack.oneshot(Job { journey: Some(journey.clone()), ..job(3, Lane::Interactive) }));
        assert_pending!(call.poll());
        drop(call);
        let ended = journey.end("CANCELLED");
        let [leg] = ended.legs.as_slice() else { panic!("{ended:?}") };
        assert_eq!(leg.shed, Some(Reason::Cancelled));
        assert!(leg.queue > Duration::ZERO && leg.decode + leg.queue <= leg.took, "{leg:?}");
    }
}
