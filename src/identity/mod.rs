//! Who asks, and what he may do: names, roles, models and rates, from one file.
//!
//! Knows no wire: that a token came in a header, or a name in a certificate, is the server's
//! knowledge, and which call wants which role too.

mod entry;
mod fare;
mod known;
mod rate;
mod token;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};

use jiff::Timestamp;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::{entry::Described, rate::Rate};
use crate::error::{ScoreError, shown};

pub use entry::FileError;
pub use fare::Fare;
pub use known::{Known, Reading, Shown};
pub use token::{Token, TokenError};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Have rows scored.
    Score,
    /// Look at models, metrics and the page.
    Observe,
    /// Change which version answers, and look.
    Publish,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Score => "score",
            Self::Observe => "observe",
            Self::Publish => "publish",
        })
    }
}

/// Somebody who is known, by one token or one name of a certificate: who shows another one of the
/// same entry is another.
#[derive(Debug)]
pub struct Identity {
    terms: Arc<Terms>,
    /// The file says something else by now.
    is_past: AtomicBool,
    /// Who is known by the same now; nobody, where the file says so. All who ever were share it.
    now: Arc<Mutex<Weak<Identity>>>,
}

/// What the file says of somebody.
#[derive(Debug)]
struct Terms {
    described: Described,
    rate: Option<Arc<Rate>>,
}

impl Identity {
    /// By these terms, in the place of who was known by the same before.
    fn of(terms: &Arc<Terms>, before: Option<&Self>) -> Self {
        let now = before.map_or_else(Arc::default, |before| Arc::clone(&before.now));
        Self { terms: Arc::clone(terms), is_past: false.into(), now }
    }

    /// Whether what it was known by holds now. The entry may be another one by now, as long as it
    /// has all of these roles.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotIdentified`] where it expired, or the file was changed.
    pub fn holds(self: &Arc<Self>) -> Result<(), ScoreError> {
        self.now().map(drop)
    }

    /// Who it is by what the file says now.
    fn now(self: &Arc<Self>) -> Result<Arc<Self>, ScoreError> {
        let nobody = |reason| ScoreError::NotIdentified { reason };
        let Described { name, .. } = &self.terms.described;
        let now = if self.is_past.load(Acquire) { self.successor() } else { Some(Arc::clone(self)) };
        let now = now.ok_or_else(|| nobody(format!("the identity {name:?} was changed or withdrawn")))?;
        match now.terms.described.expires {
            Some(expires) if expires <= Timestamp::now() => {
                Err(nobody(format!("the identity {name:?} expired at {expires}")))
            }
            _ => Ok(now),
        }
    }

    /// Calls were let in by a role, which their successor has to have as well.
    fn successor(&self) -> Option<Arc<Self>> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        now.filter(|now| now.terms.described.roles.is_superset(&self.terms.described.roles))
    }

    /// Whether it has one of these roles.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotPermitted`] says which it has.
    pub fn has_one_of(&self, roles: &[Role]) -> Result<(), ScoreError> {
        if roles.iter().any(|role| self.terms.described.roles.contains(role)) {
            return Ok(());
        }
        let list = |roles: &mut dyn Iterator<Item = &Role>| roles.map(Role::to_string).collect::<Vec<_>>().join(" or ");
        let (wanted, found) =
            (list(&mut roles.iter()), list(&mut self.terms.described.roles.iter()).replace(" or ", ", "));
        let found = if found.is_empty() { "none".into() } else { found };
        Err(self.refused(format!("has the roles {found}, wanted {wanted}")))
    }

    /// Whether it may use this model.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotPermitted`], whether there is such a model or not.
    pub fn may_use(&self, model: &str) -> Result<(), ScoreError> {
        if self.sees(model) {
            return Ok(());
        }
        Err(self.refused(format!("may not use model {:?}", shown(model))))
    }

    /// Whether it may do what shows all models at once.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotPermitted`] where only some are granted.
    pub fn may_use_all(&self) -> Result<(), ScoreError> {
        match self.terms.described.models {
            None => Ok(()),
            Some(_) => Err(self.refused("may use some models only, and this shows all".into())),
        }
    }

    fn sees(&self, model: &str) -> bool {
        self.terms.described.models.as_ref().is_none_or(|models| models.contains(model))
    }

    fn refused(&self, reason: String) -> ScoreError {
        ScoreError::NotPermitted { identity: self.terms.described.name.clone(), reason }
    }

    /// Ends it, for those who still ask by it: who they are from now on.
    fn give_way(&self, next: Option<&Arc<Self>>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = next.map_or_else(Weak::new, Arc::downgrade);
        self.is_past.store(true, Release);
    }
}

/// Who asks; nobody in particular where nobody has to say who he is.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Who it is.
    pub identity: Option<Arc<Identity>>,
    /// Where he is.
    pub address: Option<SocketAddr>,
    /// Until when the certificate holds that he asks by.
    pub until: Option<Timestamp>,
}

impl Caller {
    /// The identity's name.
    pub fn name(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.terms.described.name.as_str())
    }

    /// Whether he may use this model, still.
    ///
    /// # Errors
    ///
    /// As [`Caller::holds`] and [`Identity::may_use`].
    pub fn may_use(&self, model: &str) -> Result<(), ScoreError> {
        self.now()?.map_or(Ok(()), |identity| identity.may_use(model))
    }

    /// Whether he is still who he was.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotIdentified`] where he was withdrawn, or his certificate expired: what is open may be
    /// older than its end.
    pub fn holds(&self) -> Result<(), ScoreError> {
        self.now().map(drop)
    }

    /// Who he is by what the file says now.
    fn now(&self) -> Result<Option<Arc<Identity>>, ScoreError> {
        if let Some(until) = self.until.filter(|until| *until < Timestamp::now()) {
            return Err(ScoreError::NotIdentified { reason: format!("the certificate expired at {until}") });
        }
        self.identity.as_ref().map(Identity::now).transpose()
    }

    /// Whether a list may show him this model.
    pub fn sees(&self, model: &str) -> bool {
        self.identity.as_ref().is_none_or(|identity| identity.now().is_ok_and(|identity| identity.sees(model)))
    }

    /// What so many rows of a model cost him; nothing where no rate bounds him. `patience` is of who
    /// waits for his rows, until it ends.
    pub fn fare(&self, model: &str, rows: usize, patience: impl FnOnce() -> Option<CancellationToken>) -> Option<Fare> {
        self.rate().ok().flatten()?;
        Some(Fare::new(self.clone(), model, rows, patience()))
    }

    fn rate(&self) -> Result<Option<Arc<Rate>>, ScoreError> {
        Ok(self.now()?.and_then(|identity| identity.terms.rate.clone()))
    }

    /// Somebody who may have so many rows in a second.
    #[cfg(test)]
    pub(crate) fn bound_to(rows_per_second: u32) -> Self {
        let rate = std::num::NonZeroU32::new(rows_per_second).map(Rate::new).map(Arc::new);
        let described = Described { name: "somebody".into(), roles: [Role::Score].into(), ..Described::default() };
        let identity = Identity::of(&Arc::new(Terms { described, rate }), None);
        Self { identity: Some(Arc::new(identity)), ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
