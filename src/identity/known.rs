//! All who are known, by what they show.

use std::{collections::HashMap, path::Path, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{
    FileError, Identity, Role, Terms,
    entry::{self, Described},
    rate::Rate,
    token::{self, Hash},
};
use crate::error::ScoreError;

/// What somebody shows of himself.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'s> {
    /// A secret.
    Token(&'s str),
    /// The names of a certificate that was verified.
    Certificate(&'s [String]),
}

/// The identities of a file, as it was last read.
#[derive(Debug)]
pub struct Known {
    terms: Vec<Arc<Terms>>,
    tokens: HashMap<Hash, Arc<Identity>>,
    certificates: HashMap<String, Arc<Identity>>,
}

/// A file as it was found, and those that it names.
pub struct Reading(Result<Vec<Described>, FileError>);

impl Reading {
    /// Reads them.
    pub fn of(path: &Path) -> Self {
        Self(entry::read(path))
    }

    /// What tells it from others.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(format!("{:?}", self.0)).into()
    }

    /// Those who are known by it. Who is in it as he was before stays who he was, and who is known by
    /// other tokens keeps what he has used of his rate.
    ///
    /// # Errors
    ///
    /// [`FileError`] with all that is wrong.
    pub fn known(self, before: Option<&Known>) -> Result<Known, FileError> {
        Ok(Known::of(self.0?, before))
    }
}

impl Known {
    fn of(described: Vec<Described>, before: Option<&Self>) -> Self {
        let (mut tokens, mut certificates) = (HashMap::new(), HashMap::new());
        let named = |name: &str| before?.terms.iter().find(|terms| terms.described.name == name);
        let terms = described.into_iter().map(|described| {
            let before = named(&described.name);
            Terms::of(described, before)
        });
        let terms: Vec<_> = terms.collect();
        for terms in &terms {
            let known = before.map(|before| (&before.tokens, &before.certificates));
            for token in &terms.described.tokens {
                let before = known.and_then(|(tokens, _)| tokens.get(token));
                tokens.insert(*token, terms.identity(before));
            }
            for name in &terms.described.certificates {
                let before = known.and_then(|(_, certificates)| certificates.get(name));
                certificates.insert(name.clone(), terms.identity(before));
            }
        }
        Self { terms, tokens, certificates }
    }

    /// Ends those who are not in what follows as they are here. Who asks by them is from now on who
    /// is known there by the same and has the same name, if there is one.
    pub fn give_way(&self, next: &Self) {
        let tokens = self.tokens.iter().map(|(token, identity)| (identity, next.tokens.get(token)));
        let certificates = self.certificates.iter().map(|(name, identity)| (identity, next.certificates.get(name)));
        for (identity, next) in tokens.chain(certificates) {
            if !next.is_some_and(|next| Arc::ptr_eq(next, identity)) {
                identity.give_way(next.filter(|next| next.terms.is_of(&identity.terms)));
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.terms.len()
    }

    /// Whether anybody has this role.
    pub fn has_any(&self, role: Role) -> bool {
        self.terms.iter().any(|terms| terms.described.roles.contains(&role))
    }

    /// Who shows this.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotIdentified`] where nobody who is known does, or no longer.
    pub fn who(&self, shown: Shown<'_>) -> Result<&Arc<Identity>, ScoreError> {
        let found = match shown {
            // Compared by hashes; see `token`.
            Shown::Token(token) => self.tokens.get(&token::hash(token)),
            Shown::Certificate(names) => names.iter().find_map(|name| self.certificates.get(name)),
        };
        let unknown = || match shown {
            Shown::Token(_) => "nobody is known by this token".to_owned(),
            Shown::Certificate(names) => format!("nobody is known by a certificate of {}", names.join(", ")),
        };
        let identity = found.ok_or_else(|| ScoreError::NotIdentified { reason: unknown() })?;
        identity.holds()?;
        Ok(identity)
    }
}

impl Terms {
    /// Those of before, where nothing changed; a rate that stays keeps what was used of it.
    fn of(described: Described, before: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(same) = before.filter(|before| before.described == described) {
            return Arc::clone(same);
        }
        let rate = described.rows_per_second.map(|rows| {
            let before = before.and_then(|before| before.rate.as_ref());
            let same = before.filter(|rate| rate.rows_per_second() == rows.get());
            same.map_or_else(|| Arc::new(Rate::new(rows)), Arc::clone)
        });
        Arc::new(Self { described, rate })
    }

    /// Who is known by them; `before` by the same token or name of a certificate.
    fn identity(self: &Arc<Self>, before: Option<&Arc<Identity>>) -> Arc<Identity> {
        match before {
            Some(same) if Arc::ptr_eq(&same.terms, self) => Arc::clone(same),
            before => Arc::new(Identity::of(self, before.filter(|before| before.terms.is_of(self)).map(Arc::as_ref))),
        }
    }

    /// Whether they are of the same entry, which may say something else by now.
    fn is_of(&self, other: &Self) -> bool {
        self.described.name == other.described.name
    }
}
