//! The slowest requests of the last minutes, and some of those that were refused or
//! failed: what tells why one was slow, without what was in it.
//!
//! Time goes by in windows, and each keeps a few requests of its own, so that what was
//! slow four minutes ago is not hidden by what is slower now. Nothing here is exact
//! history: that is what traces and the access log are for.
//!
//! Memory: a request takes about 300 bytes. 16 of each of 30 windows are 150 KB for a
//! model that is asked all the time, at most [`SUBJECTS`] times that; of those that
//! were refused there are 32 in each of 30 windows, 300 KB in all.

mod refused;
mod slow;
mod windows;

use std::{
    cmp::Reverse,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use self::{
    refused::{Gates, Refused},
    slow::Slow,
};
use super::{Ended, kept::Kept};

/// How long one window is.
const WINDOW: Duration = Duration::from_secs(10);

/// Windows that are kept: five minutes, which is what somebody who was just called looks
/// back to.
const WINDOWS: u32 = 30;

/// Models and methods that have a place of their own; all others share one. Models are an
/// operator's folders, of which over years there may be any number.
const SUBJECTS: usize = 64;

/// Keeps them. Clones share it.
#[derive(Clone)]
pub struct Noted(Arc<Board>);

/// A request that is worth a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedRequest {
    /// When it came.
    pub at: SystemTime,
    /// `package.Service/Method`, of a bounded set.
    pub method: &'static str,
    /// The name of its gRPC code.
    pub code: &'static str,
    /// Why its rows were never run. None where they were, or there is another cause.
    pub reason: Option<&'static str>,
    /// The model that was asked. Empty where it came to none.
    pub model: String,
    /// The version that was asked; of several the one that took longest. 0: none was.
    pub version: u64,
    /// How many versions were asked.
    pub versions: usize,
    /// Rows of all of them together.
    pub rows: usize,
    /// `interactive` or `bulk`; empty where no version was asked.
    pub lane: &'static str,
    /// The trace that it is part of: 32 lower-case hexadecimal digits.
    pub trace_id: Option<String>,
    /// From its arrival to its end.
    pub took: Duration,
    /// How long it took to decode and encode the rows of `version`.
    pub decode: Duration,
    /// From then until the first of them ran, or they were given up.
    pub queue: Duration,
    /// The forward passes, added up.
    pub compute: Duration,
    /// Rows in the largest of them, those of other requests included.
    pub batch_rows: usize,
}

struct Board {
    /// When the first window began.
    epoch: Instant,
    /// By model, or by method where a request came to no model.
    subjects: Kept<String, Subject>,
    /// All beyond [`SUBJECTS`].
    others: Subject,
    refused: Refused,
}

/// What is kept of one model or method.
#[derive(Default)]
struct Subject {
    slow: Slow,
    gates: Gates,
}

impl Default for Noted {
    fn default() -> Self {
        Self::since(Instant::now())
    }
}

impl Noted {
    fn since(epoch: Instant) -> Self {
        let (subjects, others, refused) = Default::default();
        Self(Arc::new(Board { epoch, subjects, others, refused }))
    }

    /// The slowest requests of each model, or of `model` alone, that were answered, slowest
    /// first, at most `most`. Calls that asked no version for rows are not among them: how
    /// long a stream or a watch is open is its caller's choice.
    pub fn slowest(&self, model: Option<&str>, most: usize) -> Vec<NotedRequest> {
        self.slowest_at(Instant::now(), (model, most))
    }

    /// Some of the requests that were refused or failed, at most `most`, newest first: of
    /// every code, reason, and model or method, a few.
    pub fn refused(&self, model: Option<&str>, most: usize) -> Vec<NotedRequest> {
        self.refused_at(Instant::now(), (model, most))
    }

    fn slowest_at(&self, now: Instant, (model, most): (Option<&str>, usize)) -> Vec<NotedRequest> {
        let (mut requests, window) = (Vec::new(), self.window(now));
        let Board { subjects, others, .. } = self.0.as_ref();
        let took = |request: &NotedRequest| Reverse(request.took);
        subjects.each(|name, subject| {
            if model.is_none_or(|model| model == name) {
                requests.extend(subject.slow.since(window));
                first(&mut requests, most, took);
            }
        });
        requests.extend(others.slow.since(window).into_iter().filter(|request| request.is_of(model)));
        first(&mut requests, most, took);
        requests.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    fn refused_at(&self, now: Instant, (model, most): (Option<&str>, usize)) -> Vec<NotedRequest> {
        let mut requests = self.0.refused.since(self.window(now));
        requests.retain(|request| request.is_of(model));
        first(&mut requests, most, |request| Reverse(request.at + request.took));
        requests.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// A request is over. Nearly all of them are not worth it, which is seen without a
    /// lock.
    pub(super) fn note(&self, ended: &Ended) {
        if ended.is_probe() {
            return;
        }
        let window = self.window(ended.begun + ended.took);
        let longest = ended.longest();
        let request = || Arc::new(NotedRequest::of(ended));
        match (ended.code, longest) {
            ("OK", Some(leg)) => self.of(&leg.model, |subject| subject.slow.note(window, ended.took, request)),
            ("OK", None) => {}
            (code, leg) => self.of(leg.map_or(ended.method, |leg| &leg.model), |subject| {
                let reason = ended.reason().map(super::Reason::as_str);
                subject.gates.pass(window, (code, reason), || self.0.refused.note(window, request));
            }),
        }
    }

    fn of(&self, name: &str, note: impl FnOnce(&Subject)) {
        let Board { subjects, others, .. } = self.0.as_ref();
        if subjects.is_full(SUBJECTS, name) {
            return note(others);
        }
        subjects.with(name, Subject::default, note);
    }

    /// The number of the window of this moment.
    fn window(&self, moment: Instant) -> u32 {
        let since = moment.saturating_duration_since(self.0.epoch);
        // 2^32 windows are 1300 years.
        u32::try_from(since.as_secs() / WINDOW.as_secs()).unwrap_or(u32::MAX)
    }
}

/// The first `most` of these in the order of `key`, in this order; all others go.
fn first<K: Ord>(requests: &mut Vec<Arc<NotedRequest>>, most: usize, key: impl Fn(&NotedRequest) -> K) {
    requests.sort_by_key(|request| key(request));
    requests.truncate(most);
}

impl NotedRequest {
    /// Whether it came to this model; any is of none.
    fn is_of(&self, model: Option<&str>) -> bool {
        model.is_none_or(|model| model == self.model)
    }

    pub(super) fn of(ended: &Ended) -> Self {
        let Ended { method, code, begun, took, context, ref legs, .. } = *ended;
        let asked = Self {
            at: SystemTime::now().checked_sub(begun.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH),
            method,
            code,
            reason: ended.reason().map(super::Reason::as_str),
            model: String::new(),
            version: 0,
            versions: legs.iter().filter(|leg| leg.version > 0).count(),
            rows: legs.iter().map(|leg| leg.rows).sum(),
            lane: "",
            trace_id: context.map(|context| context.trace_id()),
            took,
            decode: Duration::ZERO,
            queue: Duration::ZERO,
            compute: Duration::ZERO,
            batch_rows: 0,
        };
        let Some(leg) = ended.longest() else { return asked };
        Self {
            model: leg.model.clone(),
            version: leg.version,
            lane: leg.lane,
            decode: leg.decode,
            queue: leg.queue,
            compute: leg.compute,
            batch_rows: leg.batch_rows,
            ..asked
        }
    }

    /// The model that it asked, or else its method.
    fn subject(&self) -> &str {
        if self.model.is_empty() { self.method } else { &self.model }
    }
}

#[cfg(test)]
mod tests;
