//! TLS for all three ports: which certificate is shown, whose certificates are believed, and
//! both anew when their files change.
//!
//! A connection keeps what it began with; a new one gets what the files said last and that
//! could be used. TLS 1.2 and 1.3 only, without resumption: connections are few and live long,
//! and what resumes an old one would pass over today's authorities.

mod handshake;
mod material;
mod secured;
mod verify;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::{net::TcpStream, sync::Semaphore};
use tracing::{info, warn};

use self::{
    handshake::{Handshake, TURNS},
    material::{Files, Material},
};
use super::watching::Settled;
use crate::config::TlsConfig;

pub(super) use self::{
    handshake::Shown,
    material::Protocol,
    secured::{Secured, ShownSoon},
    verify::Names,
};
pub use material::TlsError;

/// The server's certificates, and those it believes.
#[derive(Clone)]
pub(super) struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    files: Files,
    /// What they held at the start.
    begun_with: [u8; 32],
    current: ArcSwap<Material>,
    /// Handshakes that compute at a time.
    turns: Semaphore,
}

impl Tls {
    /// The certificates that the settings name, where they name any.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file at fault.
    pub(super) fn of(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let Some(files) = Files::of(config) else { return Ok(None) };
        let contents = files.read();
        let material = Material::of(&contents, config.client_auth)?;
        material.tell("certificate");
        let (begun_with, turns) = (contents.digest(), Semaphore::new(TURNS));
        let shared = Shared { files, begun_with, current: ArcSwap::from_pointee(material), turns };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }

    /// Looks at the files, to be called once in a while: what is new and can be used holds from
    /// now on, and what can't be is told of once.
    pub(super) fn follow(&self) -> impl FnMut() + Send + 'static {
        let shared = Arc::clone(&self.shared);
        let mut settled = Settled::new(shared.begun_with);
        move || {
            let contents = shared.files.read();
            if settled.is_new(contents.digest()) {
                shared.take(&contents);
            }
        }
    }

    /// When the certificate that is shown to clients ends, in seconds since 1970.
    pub(super) fn expires(&self) -> u64 {
        u64::try_from(self.shared.current.load().expires).unwrap_or_default()
    }

    /// The server's side of a connection that begins.
    pub(super) fn secure(&self, stream: TcpStream, protocol: Protocol) -> Secured {
        let material = self.shared.current.load_full();
        Secured::new(Handshake { stream, material, protocol, tls: self.clone() })
    }

    fn turns(&self) -> &Semaphore {
        &self.shared.turns
    }
}

impl Shared {
    fn take(&self, contents: &material::Contents) {
        match Material::of(contents, self.files.client_auth) {
            Ok(material) => {
                let material = Arc::new(material);
                self.current.store(Arc::clone(&material));
                material.tell("certificate replaced");
            }
            Err(error) => warn!(%error, "the certificates' files changed and can't be used; the old ones stay"),
        }
    }
}

impl Material {
    fn tell(&self, what: &str) {
        let expires = jiff::Timestamp::from_second(self.expires).map(|expires| expires.to_string());
        info!(subject = self.subject, expires = expires.ok(), "{what}");
    }
}
