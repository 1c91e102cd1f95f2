//! A page for people: what is served, how it does, since when, and why. It only shows;
//! orders are the admin port's.
//!
//! `GET /` is the page, whose parts below `/page/` are in the program: a browser asks
//! nobody else for anything. Once a second it asks for `/page/state`, what is now, and for
//! `/page/history`, what is new since it asked last. Both are written by one thread, and
//! the first for all browsers at once, so that threads of sockets only hand bytes on.

mod assets;
mod history;
mod policies;
mod state;
mod writer;

use std::{io, sync::Arc, thread, time::SystemTime};

use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::oneshot;

use self::{
    assets::Assets,
    policies::Policies,
    writer::{Ask, Asks, Writer},
};
use crate::{
    api::Drain,
    registry::{Events, Registry},
    telemetry::{Exposition, Noted},
    trial::Trials,
};

pub(super) use self::policies::follow;

/// Nothing but what this server has, and nobody may frame it.
const SECURITY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// What the page tells of.
pub(super) struct Sources {
    pub(super) registry: Arc<Registry>,
    pub(super) drain: Drain,
    pub(super) exposition: Exposition,
    pub(super) events: Events,
    pub(super) trials: Trials,
    /// Requests that were slow, and those that were refused.
    pub(super) noted: Noted,
    /// The version of libtorch.
    pub(super) libtorch: String,
}

/// Asks the thread that writes. Clones ask the same; the last one ends it.
#[derive(Clone)]
pub(super) struct Page {
    asks: Asks,
    policies: Policies,
}

impl Page {
    /// Starts the thread. Its history begins now.
    ///
    /// # Errors
    ///
    /// [`io::Error`] where the system refuses it.
    pub(super) fn start(sources: Sources) -> io::Result<Self> {
        let policies = Policies::default();
        let (asks, asked) = writer::asks();
        let writer = Writer::new(sources, policies.clone(), SystemTime::now());
        // Of the priority of all others: whoever measures holds a lock of the histograms for
        // some microseconds, and must not be made to wait in the midst of that.
        thread::Builder::new().name("page".into()).spawn(move || writer.run(&asked))?;
        Ok(Self { asks, policies })
    }

    /// One that nobody answers for.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self { asks: writer::asks().0, policies: Policies::default() }
    }

    async fn ask(&self, ask: impl FnOnce(oneshot::Sender<Bytes>) -> Ask) -> Response {
        let (answer, answered) = oneshot::channel();
        // Full where more ask than there are connections; gone where the server ends.
        if self.asks.try_send(ask(answer)).is_err() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        match answered.await {
            Ok(json) => ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], json).into_response(),
            Err(_ended) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

/// The page and what belongs to it.
pub(super) fn routes(page: Page) -> Router {
    let answers = Router::new().route("/page/state", get(state)).route("/page/history", get(history)).with_state(page);
    Assets::new().routes().merge(answers).layer(map_response(secured))
}

async fn state(State(page): State<Page>) -> Response {
    page.ask(Ask::State).await
}

/// `?since=NUMBER`: the points from this number on; all without it.
async fn history(State(page): State<Page>, RawQuery(query): RawQuery) -> Response {
    let since = query.as_deref().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("since=")));
    match since.map_or(Ok(0), str::parse) {
        Ok(since) => page.ask(|answer| Ask::History(since, answer)).await,
        Err(_) => (StatusCode::BAD_REQUEST, "since: wanted the number of a point\n").into_response(),
    }
}

async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SECURITY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
