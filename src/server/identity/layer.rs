//! Lets calls of gRPC through, with who makes them, or refuses them before anything of them is read.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures::future::Either;
use http::{HeaderValue, Request, Response, header::WWW_AUTHENTICATE};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{CHALLENGE, Gate, Need, Peer};

/// Makes [`Identify`].
#[derive(Clone)]
pub(in crate::server) struct IdentifyLayer {
    gate: Gate,
}

/// See the module.
#[derive(Clone)]
pub(in crate::server) struct Identify<S> {
    inner: S,
    gate: Gate,
}

impl IdentifyLayer {
    pub(in crate::server) fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identify<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Identify { inner, gate: self.gate.clone() }
    }
}

impl<S> Service<Request<Body>> for Identify<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>();
        // Nobody is asked, and nobody wants to know.
        if !self.gate.wants_peers() && peer.is_none() {
            return Either::Left(self.inner.call(request));
        }
        let admitted = self.gate.admit(&Need::of(request.uri().path()), request.headers(), peer);
        match admitted {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Either::Left(self.inner.call(request))
            }
            Err(refusal) => Either::Right(ready(Ok(refused(refusal.into())))),
        }
    }
}

fn refused(status: Status) -> Response<Body> {
    let is_nobody = status.code() == Code::Unauthenticated;
    let mut response = status.into_http();
    if is_nobody {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    response
}
