//! Who asks: found out from tokens and certificates, before anything of a request is decoded.
//!
//! What somebody may do with one model is asked where the model is known: here for the domain
//! services, whose model is in their name, and in `api` for all others.

mod http;
mod layer;
mod need;
mod token;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ::http::HeaderMap;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::{info, warn};

use self::{
    need::{Need, Roles},
    token::token,
};
use super::{tls, watching::Settled};
use crate::{
    config::AuthConfig,
    error::ScoreError,
    identity::{Caller, FileError, Identity, Known, Reading, Role, Shown},
};

pub(super) use self::{
    http::{Guarded, Stranger},
    layer::IdentifyLayer,
};

/// What `www-authenticate` says, of tokens (RFC 6750, section 3).
const CHALLENGE: &str = "Bearer realm=\"souk\"";

/// Who is let in.
#[derive(Clone, Default)]
pub(super) struct Gate {
    /// Everybody, where there is none.
    kept: Option<Arc<Kept>>,
    /// Nobody is connected without a certificate, which has to hold then.
    certified: bool,
}

struct Kept {
    path: PathBuf,
    /// What the file held at the start.
    begun_with: [u8; 32],
    known: ArcSwap<Known>,
    open_health: bool,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: Option<SocketAddr>,
    /// Its certificate, where it was asked for one.
    pub(super) shown: Option<tls::ShownSoon>,
    /// Whether a call said who he is.
    is_known: Arc<AtomicBool>,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, shown: Option<tls::ShownSoon>) -> Self {
        Self { address: Some(address), shown, is_known: Arc::default() }
    }

    /// Waits until he was there for so long without a call of somebody who is known, or a certificate to
    /// believe.
    pub(super) async fn strange(&self, most: Duration) {
        sleep(most).await;
        let shown = self.shown.as_ref().and_then(|shown| shown.load_full());
        if self.is_known.load(Relaxed) || believed(shown.as_deref()).is_ok() {
            std::future::pending().await
        }
    }

    fn known(&self) {
        self.is_known.store(true, Relaxed);
    }
}

impl Gate {
    /// # Errors
    ///
    /// [`FileError`] with all that is wrong with the file of identities.
    pub(super) fn of(config: &AuthConfig, certified: bool) -> Result<Self, FileError> {
        let Some(path) = config.file() else { return Ok(Self { kept: None, certified }) };
        let reading = Reading::of(path);
        let begun_with = reading.digest();
        let known = reading.known(None)?;
        info!(identities = known.count(), "who may ask is known by auth.file");
        let (path, open_health) = (path.to_owned(), config.open_health);
        let kept = Kept { path, begun_with, known: ArcSwap::from_pointee(known), open_health };
        Ok(Self { kept: Some(Arc::new(kept)), certified })
    }

    /// Whether somebody has to say who he is.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether it matters who is at the other end.
    pub(super) fn wants_peers(&self) -> bool {
        self.is_kept() || self.certified
    }

    /// Whether somebody may change which version answers, and others may not.
    pub(super) fn knows_publishers(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.known.load().has_any(Role::Publish))
    }

    /// Looks at the file, to be called once in a while.
    pub(super) fn follow(&self) -> Option<impl FnMut() + Send + 'static> {
        let kept = Arc::clone(self.kept.as_ref()?);
        let mut settled = Settled::new(kept.begun_with);
        Some(move || {
            let reading = Reading::of(&kept.path);
            if settled.is_new(reading.digest()) {
                kept.take(reading);
            }
        })
    }

    /// Who asks, where he may.
    ///
    /// # Errors
    ///
    /// [`ScoreError`] where he may not.
    fn admit(&self, need: &Need, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, ScoreError> {
        let caller = self.caller(need, headers, peer)?;
        caller.holds()?;
        let Some(identity) = &caller.identity else { return Ok(caller) };
        if let Roles::One(roles) = need.roles {
            identity.has_one_of(roles)?;
        }
        if let Some(model) = need.model {
            identity.may_use(model)?;
        }
        Ok(caller)
    }

    /// Who asks, where that has to be said.
    fn caller(&self, need: &Need, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, ScoreError> {
        let shown = peer.and_then(|peer| peer.shown.as_ref()?.load_full());
        let certificate = || believed(shown.as_deref());
        let mut until = if self.certified { Some(certificate()?.end()) } else { None };
        let mut identity = None;
        let is_open = |kept: &Kept| need.roles == Roles::Health && kept.open_health;
        if let Some(kept) = self.kept.as_ref().filter(|kept| !is_open(kept)) {
            let (who, by) = kept.who(headers, certificate)?;
            peer.inspect(|peer| peer.known());
            (identity, until) = (Some(who), until.or(by));
        }
        Ok(Caller { identity, address: peer.and_then(|peer| peer.address), until })
    }
}

impl Kept {
    /// Who it is, and the end of the certificate where that says so. A token wins over a certificate: it
    /// was sent on purpose.
    fn who<'n>(
        &self,
        headers: &HeaderMap,
        certificate: impl FnOnce() -> Result<&'n tls::Names, ScoreError>,
    ) -> Result<(Arc<Identity>, Option<Timestamp>), ScoreError> {
        let known = self.known.load();
        if let Some(token) = token(headers)? {
            return Ok((Arc::clone(known.who(Shown::Token(&token))?), None));
        }
        let names = certificate()?;
        Ok((Arc::clone(known.who(Shown::Certificate(&names.names))?), Some(names.end())))
    }

    fn take(&self, reading: Reading) {
        let before = self.known.load_full();
        match reading.known(Some(&before)) {
            Ok(known) => {
                let known = Arc::new(known);
                self.known.store(Arc::clone(&known));
                before.give_way(&known);
                info!(identities = known.count(), "identities replaced");
            }
            Err(error) => warn!(%error, "the identities changed and can't be used; the old ones stay"),
        }
    }
}

impl tls::Names {
    /// Their end, or that of time where it is farther.
    fn end(&self) -> Timestamp {
        Timestamp::from_second(self.expires).unwrap_or(Timestamp::MAX)
    }
}

/// What a certificate says, where it can be believed.
fn believed(shown: Option<&tls::Shown>) -> Result<&tls::Names, ScoreError> {
    match shown {
        Some(tls::Shown::Known(names)) => Ok(names),
        Some(tls::Shown::Refused(reason)) => Err(nobody(format!("the certificate is refused: {reason}"))),
        None => Err(nobody("nothing says who asks: wanted `authorization: Bearer TOKEN` or a certificate")),
    }
}

fn nobody(reason: impl Into<String>) -> ScoreError {
    ScoreError::NotIdentified { reason: reason.into() }
}

#[cfg(test)]
mod tests;
