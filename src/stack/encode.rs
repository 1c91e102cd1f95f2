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
use crate::error::ScoreError;

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
            let Job { model, rows, deadline, lane, journey, .. } = job;
            let begun = Instant::now();
            let rows = rows.await?;
            let since = Instant::now();
            let decode = since - begun;
            if rows.is_empty() {
                return Ok(Scored { encoded: Some(since), decode, ..Scored::default() });
            }
            let scored = inner.call(Encoded { model, rows, deadline, lane, since, journey }).await?;
            Ok(Scored { encoded: Some(since), decode, ..scored })
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_ok, task};
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::{
        rows::Rows,
        stack::{
            Lane,
            test::{encoding, job, scored},
        },
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
}
