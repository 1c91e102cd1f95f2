//! The policy file: read at the start, and again whenever it was changed.

use tracing::{error, warn};

use super::{
    OrderError,
    commands::{Source, Wish},
    kept::Kept,
    preparations::REASONS,
    work::Work,
};
use crate::registry::{
    events::EventKind,
    policy::{
        GuardLimit, Policy,
        file::{self, Policies},
    },
};

/// Who changes the file by hand: nobody knows.
const BY_HAND: &str = "policy.json";

impl Work {
    /// Takes over what the file says at the start. A model whose part is wrong has the
    /// policy that it had before, as far as the history knows.
    pub(super) fn read_first_policies(&mut self) {
        self.seen = self.bytes();
        let Some(bytes) = &self.seen else { return };
        self.policies = file::parse(bytes).policies;
    }

    /// A model that was not known.
    pub(super) fn know(&mut self, name: &str) {
        let read = self.seen.as_deref().map(file::parse);
        let problems = read.map(|read| problems_of(&read, name)).unwrap_or_default();
        let fallback = || self.history.of(name).last().map(|last| last.policy.clone()).filter(|_| !problems.is_empty());
        let policy = self.policies.get(name).cloned().or_else(fallback).unwrap_or_default();
        for problem in &problems {
            error!(model = name, problem, "the policy can't be followed; the last one of its history is");
        }
        if !problems.is_empty() {
            // Who writes the file next writes what is followed.
            self.policies.insert(name.to_owned(), policy.clone());
        }
        // Numbers go on where they were, whatever is decided before the start is over.
        let revision = self.history.of(name).last().map_or(0, |last| last.revision);
        self.keeping.metrics.knows_model(name, &REASONS, &GuardLimit::KEYS);
        self.models.insert(name.to_owned(), Kept { policy, refused: problems, revision, ..Kept::default() });
    }

    /// Follows what was changed in the file.
    pub(super) fn read_policies(&mut self) {
        let bytes = self.bytes();
        if bytes == self.seen {
            return;
        }
        self.seen = bytes;
        let read = file::parse(self.seen.as_deref().unwrap_or(NOTHING));
        for name in self.models.keys().cloned().collect::<Vec<_>>() {
            let problems = problems_of(&read, &name);
            if problems.is_empty() && self.policies.get(&name) == read.policies.get(&name) {
                self.accept_file(&name);
            } else if problems.is_empty() {
                self.follow_file(&name, &read.policies);
            } else {
                self.refuse_file(&name, problems);
            }
        }
        for name in read.policies.keys().filter(|name| !self.models.contains_key(*name)) {
            warn!(model = name, "policy.json names a model that is not there");
        }
        // Of models that are not there: what the file says, as far as it can be read.
        let (known, is_read) = (&self.models, !read.problems.contains_key(&None));
        self.policies.retain(|name, _| known.contains_key(name) || !is_read);
        self.policies.extend(read.policies);
    }

    /// The model's part is as it was: what waits to be followed still does.
    fn accept_file(&mut self, name: &str) {
        let Some(kept) = self.models.get_mut(name) else { return };
        if !kept.refused.is_empty() {
            kept.refused.clear();
            self.publish(name);
        }
    }

    fn follow_file(&mut self, name: &str, policies: &Policies) {
        let policy = policies.get(name).cloned().unwrap_or_default();
        let Some(kept) = self.models.get_mut(name) else { return };
        kept.refused.clear();
        let is_followed = kept.policy == policy;
        if is_followed {
            kept.overtaken("a change of policy.json");
            return self.publish(name);
        }
        let (by, reason) = (BY_HAND.to_owned(), "edited by hand".to_owned());
        self.wish(name, Wish { policy, by, reason, way_back: None, source: Source::File });
    }

    fn refuse_file(&mut self, name: &str, problems: Vec<String>) {
        self.tell(name, None, EventKind::Refused, format!("policy.json was refused: {}", problems.join("; ")));
        if let Some(kept) = self.models.get_mut(name) {
            kept.refused = problems;
        }
        self.publish(name);
    }

    /// Writes what is to be followed.
    pub(super) fn write_policies(&mut self) -> Result<(), OrderError> {
        let default = Policy::default();
        // A file with nothing in it would be one more thing to explain.
        let worth: Policies = self
            .policies
            .iter()
            .map(|(name, policy)| (name.clone(), policy.clone()))
            .filter(|(_, policy)| *policy != default || self.seen.is_some())
            .collect();
        self.file.write(&worth).map_err(|error| OrderError::Unwritable {
            path: self.file.path().display().to_string(),
            reason: error.to_string(),
        })?;
        self.seen = self.bytes();
        Ok(())
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.file.bytes().unwrap_or_else(|error| {
            warn!(path = %self.file.path().display(), %error, "the policy file can't be read");
            self.seen.clone()
        })
    }
}

/// A file that is not there.
const NOTHING: &[u8] = br#"{"format_version": 1, "models": {}}"#;

/// What is wrong with the part of a model, or with the whole.
fn problems_of(read: &file::Read, name: &str) -> Vec<String> {
    let of_model = read.problems.get(&Some(name.to_owned()));
    of_model.or_else(|| read.problems.get(&None)).cloned().unwrap_or_default()
}
