//! The same for HTTP: probes are answered whoever asks, and all else is to be looked at by those
//! who may.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{Router, body::Body, response::IntoResponse as _};
use futures::future::Either;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use hyper::body::Incoming;
use tower::Service;

use super::{CHALLENGE, Gate, Need, Peer};
use crate::error::ScoreError;

/// Who asks for `/readyz` without saying who he is: he is told no more than whether. In the request's
/// extensions.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Stranger;

/// The routes of one connection, behind the gate.
#[derive(Clone)]
pub(in crate::server) struct Guarded {
    pub(in crate::server) routes: Router,
    pub(in crate::server) gate: Gate,
    pub(in crate::server) peer: Peer,
}

impl Guarded {
    fn admit(&self, headers: &HeaderMap) -> Result<(), ScoreError> {
        let caller = self.gate.admit(&Need::LOOK, headers, Some(&self.peer))?;
        // Metrics and pages are of all models.
        caller.identity.map_or(Ok(()), |identity| identity.may_use_all())
    }
}

impl Service<Request<Incoming>> for Guarded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<<Router as Service<Request<Incoming>>>::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Incoming>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        match (self.admit(request.headers()), request.uri().path()) {
            (Ok(()), _) | (Err(_), "/livez") => {}
            (Err(_), "/readyz") => drop(request.extensions_mut().insert(Stranger)),
            (Err(refusal), _) => return Either::Right(ready(Ok(refused(&refusal)))),
        }
        Either::Left(self.routes.call(request))
    }
}

fn refused(refusal: &ScoreError) -> Response<Body> {
    let is_nobody = matches!(refusal, ScoreError::NotIdentified { .. });
    let code = if is_nobody { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
    let mut response = (code, format!("{refusal}\n")).into_response();
    if is_nobody {
        let headers = response.headers_mut();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        // By which a browser asks: the token is the password.
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"souk\""));
    }
    response
}
