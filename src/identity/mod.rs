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
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use jiff::Timestamp;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::rate::Rate;
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

/// Somebody who is known.
#[derive(Debug)]
pub struct Identity {
    name: String,
    roles: BTreeSet<Role>,
    /// All, where there are none.
    models: Option<BTreeSet<String>>,
    expires: Option<Timestamp>,
    rate: Option<Arc<Rate>>,
    /// The file says something else by now.
    is_past: AtomicBool,
}

impl Identity {
    /// Whether what it was known by holds now.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotIdentified`] where it expired, or the file was changed.
    pub fn holds(&self) -> Result<(), ScoreError> {
        let nobody = |reason| Err(ScoreError::NotIdentified { reason });
        match self.expires {
            _ if self.is_past.load(Relaxed) => nobody(format!("the identity {:?} was changed or withdrawn", self.name)),
            Some(expires) if expires <= Timestamp::now() => {
                nobody(format!("the identity {:?} expired at {expires}", self.name))
            }
            _ => Ok(()),
        }
    }

    /// Whether it has one of these roles.
    ///
    /// # Errors
    ///
    /// [`ScoreError::NotPermitted`] says which it has.
    pub fn has_one_of(&self, roles: &[Role]) -> Result<(), ScoreError> {
        if roles.iter().any(|role| self.roles.contains(role)) {
            return Ok(());
        }
        let list = |roles: &mut dyn Iterator<Item = &Role>| roles.map(Role::to_string).collect::<Vec<_>>().join(" or ");
        let (wanted, found) = (list(&mut roles.iter()), list(&mut self.roles.iter()).replace(" or ", ", "));
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
        match self.models {
            None => Ok(()),
            Some(_) => Err(self.refused("may use some models only, and this shows all".into())),
        }
    }

    fn sees(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }

    fn refused(&self, reason: String) -> ScoreError {
        ScoreError::NotPermitted { identity: self.name.clone(), reason }
    }

    /// Ends it, for those who still ask by it.
    fn end(&self) {
        self.is_past.store(true, Relaxed);
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
        self.identity.as_ref().map(|identity| identity.name.as_str())
    }

    /// Whether he may use this model, still.
    ///
    /// # Errors
    ///
    /// As [`Caller::holds`] and [`Identity::may_use`].
    pub fn may_use(&self, model: &str) -> Result<(), ScoreError> {
        self.holds()?;
        self.identity.as_ref().map_or(Ok(()), |identity| identity.may_use(model))
    }

    /// Whether he is still who he was.
    ///
    /// # Errors
    ///
    /// As [`Identity::holds`], and the same where his certificate expired: what is open may be older than
    /// its end.
    pub fn holds(&self) -> Result<(), ScoreError> {
        if let Some(until) = self.until.filter(|until| *until < Timestamp::now()) {
            return Err(ScoreError::NotIdentified { reason: format!("the certificate expired at {until}") });
        }
        self.identity.as_ref().map_or(Ok(()), |identity| identity.holds())
    }

    /// Whether a list may show him this model.
    pub fn sees(&self, model: &str) -> bool {
        self.identity.as_ref().is_none_or(|identity| identity.sees(model))
    }

    /// What so many rows of a model cost him; nothing where no rate bounds him. `patience` is of who
    /// waits for his rows, until it ends.
    pub fn fare(&self, model: &str, rows: usize, patience: impl FnOnce() -> Option<CancellationToken>) -> Option<Fare> {
        self.rate().ok().flatten()?;
        Some(Fare::new(self.clone(), model, rows, patience()))
    }

    fn rate(&self) -> Result<Option<Arc<Rate>>, ScoreError> {
        Ok(self.identity.as_ref().and_then(|identity| identity.rate.clone()))
    }

    /// Somebody who may have so many rows in a second.
    #[cfg(test)]
    pub(crate) fn bound_to(rows_per_second: u32) -> Self {
        let rate = std::num::NonZeroU32::new(rows_per_second).map(Rate::new).map(Arc::new);
        let (name, roles, is_past) = ("somebody".into(), BTreeSet::from([Role::Score]), false.into());
        let identity = Identity { name, roles, models: None, expires: None, rate, is_past };
        Self { identity: Some(Arc::new(identity)), address: None }
    }
}

#[cfg(test)]
mod tests;
