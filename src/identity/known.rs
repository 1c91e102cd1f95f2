//! All who are known, by what they show.

use std::{collections::HashMap, path::Path, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{
    FileError, Identity, Role,
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
    described: Vec<(Described, Arc<Identity>)>,
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
        let identity = |described: Described| {
            let before = before.and_then(|before| before.named(&described.name));
            let identity = match before {
                Some((same, identity)) if *same == described => Arc::clone(identity),
                before => Arc::new(described.identity(before.map(|(_, identity)| &**identity))),
            };
            (described, identity)
        };
        let described: Vec<_> = described.into_iter().map(identity).collect();
        for (described, identity) in &described {
            tokens.extend(described.tokens.iter().map(|token| (*token, Arc::clone(identity))));
            certificates.extend(described.certificates.iter().map(|name| (name.clone(), Arc::clone(identity))));
        }
        Self { described, tokens, certificates }
    }

    fn named(&self, name: &str) -> Option<&(Described, Arc<Identity>)> {
        self.described.iter().find(|(described, _)| described.name == name)
    }

    /// Ends those who are not in what follows as they are here.
    pub fn give_way(&self, next: &Self) {
        for (_, identity) in &self.described {
            if !next.described.iter().any(|(_, kept)| Arc::ptr_eq(kept, identity)) {
                identity.end();
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.described.len()
    }

    /// Whether anybody has this role.
    pub fn has_any(&self, role: Role) -> bool {
        self.described.iter().any(|(described, _)| described.roles.contains(&role))
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

impl Described {
    fn identity(&self, before: Option<&Identity>) -> Identity {
        let rate = self.rows_per_second.map(|rows| {
            let same =
                before.and_then(|before| before.rate.clone()).filter(|rate| rate.rows_per_second() == rows.get());
            same.unwrap_or_else(|| Arc::new(Rate::new(rows)))
        });
        Identity {
            name: self.name.clone(),
            roles: self.roles.clone(),
            models: self.models.clone(),
            expires: self.expires,
            rate,
            is_past: false.into(),
        }
    }
}
