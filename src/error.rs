//! Why a request was not scored, in words that callers can act on.
//!
//! Deliberately knows no gRPC: `api::status` chooses the codes. Faults of single
//! rows are not errors here; they travel in the reply.

use std::time::Duration;

use thiserror::Error;

/// Why a whole request was not scored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScoreError {
    /// The request can't be right for any version.
    #[error("{field}: {description}")]
    BadField {
        /// The path from the request on.
        field: String,
        /// What was found and what was wanted.
        description: String,
    },
    /// The request names a model that isn't there.
    #[error("no model {model}; there is: {available}")]
    UnknownModel {
        /// What the request asked for.
        model: String,
        /// What it could have asked for.
        available: String,
    },
    /// The request names a version or label that isn't there.
    #[error("no {wanted} of model {model}; there is: {available}")]
    NotFound {
        /// The model's name.
        model: String,
        /// What the request asked for, e.g. `version 7` or `label "canary"`.
        wanted: String,
        /// What it could have asked for.
        available: String,
    },
    /// No version of the model is live: the server is starting, or all failed.
    #[error("no version of model {model} is live: {reason}")]
    NoLiveVersion {
        /// The model's name.
        model: String,
        /// Why, as far as is known.
        reason: String,
    },
    /// The server was told to stop.
    #[error("the server is draining; ask another one")]
    Draining,
    /// There is more to do than can be done in time.
    #[error("overloaded: {shortage}")]
    Overloaded {
        /// What there is too little of.
        shortage: Shortage,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The deadline passed before the rows ran; they were not run.
    #[error("the deadline passed before the rows ran")]
    DeadlinePassed,
    /// Nobody who is known asks.
    #[error("{reason}")]
    NotIdentified {
        /// What was shown, and what was wanted.
        reason: String,
    },
    /// Somebody asks for what he may not.
    #[error("{identity}: {reason}")]
    NotPermitted {
        /// Who.
        identity: String,
        /// What he may do, and what was wanted.
        reason: String,
    },
    /// The model raised, or answered in a wrong shape.
    #[error("model {model} version {version} failed: {reason}")]
    Model {
        /// The model's name.
        model: String,
        /// The version's number.
        version: u64,
        /// What it said, without a stack trace.
        reason: String,
    },
}

/// What an overloaded server has too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Shortage {
    /// The rows don't fit into the queue.
    #[error("{rows} more rows would exceed the {limit} that may wait or run")]
    Rows {
        /// Rows of the request.
        rows: usize,
        /// Rows that may wait or run at the same time.
        limit: usize,
    },
    /// What the request holds in memory doesn't fit.
    #[error("{bytes} more bytes would exceed the {limit} that requests may hold")]
    Bytes {
        /// Bytes of the request.
        bytes: usize,
        /// Bytes that all requests may hold at the same time.
        limit: usize,
    },
    /// Somebody asks for more than his share.
    #[error("{rows} more rows would exceed the {limit} a second of this identity")]
    Rate {
        /// Rows of the request.
        rows: usize,
        /// Rows in a second.
        limit: u32,
    },
    /// The rows would wait too long.
    #[error("the rows would wait {expected:.1?}, at most {allowed:.1?} are allowed")]
    Wait {
        /// What is before them.
        expected: Duration,
        /// How long they may wait.
        allowed: Duration,
    },
}

/// Longest text of a caller that a message repeats, in characters.
const SHOWN: usize = 64;

/// What a caller sent, as a message repeats it: cut, and without control
/// characters. A reply must not grow with what was wrong with the request.
pub fn shown(text: &str) -> String {
    let cut = text.char_indices().nth(SHOWN).map_or(text, |(end, _)| text.get(..end).unwrap_or_default());
    let mut shown: String = cut.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if cut.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// A text of at most so many bytes, and a mark where some are missing.
pub fn cut(mut text: String, most: usize) -> String {
    const MARK: char = '…';
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(MARK.len_utf8())));
        text.push(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_sent_is_repeated_briefly() {
        assert_eq!(shown("canary"), "canary");
        assert_eq!(shown(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(shown(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
        assert_eq!(shown("a\nb\u{1}"), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_text_is_cut_between_its_characters() {
        assert_eq!(cut("canary".into(), 6), "canary");
        assert_eq!(cut("canaries".into(), 6), "can…");
        assert_eq!(cut("杭州杭州".into(), 8), "杭…");
    }
}
