//! What the files in PEM make: the configuration of each protocol.

use std::{fs, io, path::PathBuf, sync::Arc};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::verify::{AskAll, Names};
use crate::config::{ClientAuth, TlsConfig};

/// Largest file that is read: some hundred authorities.
const LARGEST: u64 = 1024 * 1024;

/// What is spoken behind TLS; the handshake says so by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    /// gRPC.
    Http2,
    /// Probes, Prometheus and browsers.
    Http1,
}

/// Why certificates can't be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{key} = {path:?}: can't be read")]
    File {
        /// The setting.
        key: &'static str,
        /// Its value.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{key} = {path:?}: {reason}")]
    Content {
        /// The setting.
        key: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong, without anything of a key.
        reason: String,
    },
    /// Certificate and key can't be used together.
    #[error("server.tls.cert and server.tls.key: {0}")]
    Pair(#[source] rustls::Error),
}

/// Where the certificates are.
pub(super) struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    pub(super) client_auth: ClientAuth,
}

/// A file as it was read.
struct Content {
    setting: &'static str,
    path: PathBuf,
    bytes: io::Result<Vec<u8>>,
}

/// All files as they were read.
pub(super) struct Contents {
    cert: Content,
    key: Content,
    client_ca: Option<Content>,
}

/// What connections begin with.
pub(super) struct Material {
    http2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
    /// Judges clients' certificates, where they are asked for any.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Of the server's own certificate.
    pub(super) subject: String,
    /// Its end, in seconds since 1970.
    pub(super) expires: i64,
}

impl Files {
    pub(super) fn of(config: &TlsConfig) -> Option<Self> {
        let (cert, key) = config.pair()?;
        let client_auth = config.client_auth;
        let client_ca = (client_auth != ClientAuth::None).then(|| config.client_ca.clone());
        Some(Self { cert: cert.into(), key: key.into(), client_ca, client_auth })
    }

    pub(super) fn read(&self) -> Contents {
        let content = |setting, path: &PathBuf| Content { setting, path: path.clone(), bytes: read(path) };
        Contents {
            cert: content("server.tls.cert", &self.cert),
            key: content("server.tls.key", &self.key),
            client_ca: self.client_ca.as_ref().map(|path| content("server.tls.client_ca", path)),
        }
    }
}

fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?.len();
    if found > LARGEST {
        return Err(io::Error::other(format!("has {found} bytes, wanted at most {LARGEST}")));
    }
    fs::read(path)
}

impl Contents {
    /// What tells them from others; no content can be found from it.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for content in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            match &content.bytes {
                Ok(bytes) => {
                    digest.update(bytes.len().to_le_bytes());
                    digest.update(bytes);
                }
                Err(error) => digest.update(format!("unreadable: {error}")),
            }
        }
        digest.finalize().into()
    }
}

impl Content {
    fn bytes(&self) -> Result<&[u8], TlsError> {
        self.bytes.as_deref().map_err(|error| TlsError::File {
            key: self.setting,
            path: self.path.clone(),
            // Not `Clone`; the kind and the words are all that there is to it.
            source: io::Error::new(error.kind(), error.to_string()),
        })
    }

    fn fault(&self, reason: impl ToString) -> TlsError {
        TlsError::Content { key: self.setting, path: self.path.clone(), reason: reason.to_string() }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.bytes()?).collect();
        let found = read.map_err(|error| self.fault(error))?;
        if found.is_empty() { Err(self.fault("holds no certificate in PEM")) } else { Ok(found) }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.bytes()?).map_err(|error| self.fault(error))
    }

    fn authorities(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.fault(error))?;
        }
        Ok(Arc::new(roots))
    }
}

impl Material {
    /// # Errors
    ///
    /// [`TlsError`] names the file at fault.
    pub(super) fn of(contents: &Contents, auth: ClientAuth) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = contents.cert.certificates()?;
        let names = chain.first().map(Names::of).transpose().map_err(|error| contents.cert.fault(error))?;
        let names = names.unwrap_or_default();
        let verifier = contents.client_ca.as_ref().map(|content| verifier(content, &provider)).transpose()?;
        let asked = match (&verifier, auth) {
            (Some(verifier), ClientAuth::Required) => Arc::clone(verifier),
            (Some(verifier), _) => Arc::new(AskAll(Arc::clone(verifier))),
            (None, _) => WebPkiClientVerifier::no_client_auth(),
        };
        let mut http2 = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Pair)?
            .with_client_cert_verifier(asked)
            // Refuses a key that is another certificate's.
            .with_single_cert(chain, contents.key.private_key()?)
            .map_err(TlsError::Pair)?;
        http2.session_storage = Arc::new(NoServerSessionStorage {});
        http2.send_tls13_tickets = 0;
        http2.alpn_protocols = vec![b"h2".to_vec()];
        let mut http1 = http2.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (http2, http1) = (Arc::new(http2), Arc::new(http1));
        Ok(Self { http2, http1, verifier, subject: names.shown(), expires: names.expires })
    }

    pub(super) fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        match protocol {
            Protocol::Http2 => Arc::clone(&self.http2),
            Protocol::Http1 => Arc::clone(&self.http1),
        }
    }
}

fn verifier(content: &Content, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(content.authorities()?, Arc::clone(provider));
    builder.build().map_err(|error| content.fault(error))
}
