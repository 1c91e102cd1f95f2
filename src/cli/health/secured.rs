//! TLS to the server that is asked: whose certificate is believed.
//!
//! A server of this machine's settings is known by its certificate's file and not by a name or an
//! authority: nobody has `127.0.0.1` certified. Any other server is known as the other commands
//! know it.

use std::{fs, io, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
        version::{TLS12, TLS13},
    },
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

use crate::cli::client::Certificates;

/// How connections begin.
pub(super) struct Secured {
    config: Arc<ClientConfig>,
    own: Option<Arc<Own>>,
}

/// The certificate of the server of these settings, as its file is at this moment.
#[derive(Debug)]
pub(super) struct Own {
    leaf: Result<CertificateDer<'static>, String>,
    provider: Arc<CryptoProvider>,
}

impl Secured {
    /// Believes this certificate; without one, authorities: those that are given, or the system's.
    ///
    /// # Errors
    ///
    /// Where a file of the command line can't be used.
    pub(super) fn new(own: Option<Own>, given: &Certificates) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let own = own.map(Arc::new);
        let verifier: Arc<dyn ServerCertVerifier> = match &own {
            Some(own) => Arc::clone(own) as _,
            None => WebPkiServerVerifier::builder_with_provider(authorities(given)?, Arc::clone(&provider)).build()?,
        };
        let begun = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match given.pair()? {
            Some((cert, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
                let key = PrivateKeyDer::from_pem_slice(&key).context("--key")?;
                begun.with_client_auth_cert(chain.context("--cert")?, key).context("--cert and --key")?
            }
            None => begun.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), own })
    }

    /// The connection, and what is to be said of the certificate that the server shows.
    ///
    /// # Errors
    ///
    /// Where the server speaks no TLS, or who it shows itself to be is not believed.
    pub(super) async fn shake_hands(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> anyhow::Result<(TlsStream<TcpStream>, Option<String>)> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await.map_err(refusal)?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let remark = self.own.as_ref().zip(shown).and_then(|(own, shown)| own.remark(shown));
        Ok((stream, remark))
    }
}

fn authorities(given: &Certificates) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    match given.authorities()? {
        Some(pem) => {
            for authority in CertificateDer::pem_slice_iter(&pem) {
                roots.add(authority.context("--ca")?).context("--ca")?;
            }
        }
        // Some systems have certificates among theirs that can't be read.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    anyhow::ensure!(!roots.is_empty(), "no authority that a certificate could come from: wanted --ca FILE");
    Ok(Arc::new(roots))
}

/// In words, where it is ours.
fn refusal(error: io::Error) -> anyhow::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => anyhow!(
            "the certificate shown is another's; wanted that of server.tls.cert, or an older one that holds and has one \
             of its names"
        ),
        _ => error.into(),
    }
}

impl Own {
    /// Reads it; a file that can't be read is no error yet: the server may serve with what it held before.
    pub(super) fn read(file: &Path) -> Self {
        let read = fs::read(file).map_err(|error| error.to_string());
        let leaf = read.and_then(|pem| CertificateDer::from_pem_slice(&pem).map_err(|error| error.to_string()));
        Self { leaf, provider: Arc::new(ring::default_provider()) }
    }

    /// Whether the server may show this one. That of the file, whether it has ended or not: an alert tells of that, and
    /// to be thought ill would not help. And, since the server takes over what changed two seconds later, and never what
    /// it can't use, one that looks like the one before: who would forge it serves on this machine already.
    fn believes(&self, shown: &CertificateDer<'_>) -> bool {
        let Ok(leaf) = &self.leaf else { return true };
        leaf == shown || is_older(leaf, shown)
    }

    /// What is to be said where it is not the one of the file.
    fn remark(&self, shown: &CertificateDer<'_>) -> Option<String> {
        match &self.leaf {
            Ok(leaf) if leaf == shown => None,
            Ok(_) => Some(
                "shows an older certificate than server.tls.cert has; a new one that can be used is shown within 2 s"
                    .into(),
            ),
            Err(error) => {
                Some(format!("server.tls.cert can't be used ({error}), so that any certificate was believed"))
            }
        }
    }
}

/// Whether a certificate holds today, and is of somebody of one of the names of another one.
fn is_older(own: &CertificateDer<'_>, shown: &CertificateDer<'_>) -> bool {
    let (Ok((_, own)), Ok((_, shown))) = (parse_x509_certificate(own), parse_x509_certificate(shown)) else {
        return false;
    };
    let is_same_subject = own.subject() == shown.subject() && own.subject().iter().next().is_some();
    let own_names = names(&own);
    let shares_name = names(&shown).iter().any(|name| own_names.contains(name));
    shown.validity().is_valid() && (is_same_subject || shares_name)
}

fn names<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a GeneralName<'a>> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.map(|names| names.value.general_names.iter().collect()).unwrap_or_default()
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refusal = CertificateError::ApplicationVerificationFailure;
        self.believes(shown).then(ServerCertVerified::assertion).ok_or(refusal.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(common: &str, name: &str, last_year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        params.not_after = date_time_ymd(last_year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn own(leaf: &CertificateDer<'static>) -> Own {
        Own { leaf: Ok(leaf.clone()), provider: Arc::new(ring::default_provider()) }
    }

    #[test]
    fn the_certificate_of_the_file_is_believed_even_past_its_end() {
        for year in [2020, 4000] {
            let leaf = certificate("souk", "localhost", year);
            assert!(own(&leaf).believes(&leaf));
            assert_eq!(own(&leaf).remark(&leaf), None);
        }
    }

    #[test]
    fn an_older_one_with_one_of_its_names_is_believed_with_a_word_while_it_holds() {
        let own = own(&certificate("souk", "localhost", 4000));
        for older in [certificate("souk", "before", 4000), certificate("before", "localhost", 4000)] {
            assert!(own.believes(&older));
            assert!(own.remark(&older).unwrap().contains("an older certificate"));
        }
        for wrong in [certificate("souk", "localhost", 2020), certificate("another", "elsewhere", 4000)] {
            assert!(!own.believes(&wrong));
        }
    }

    #[test]
    fn a_file_that_can_not_be_read_refuses_nobody_and_is_told_of() {
        let own = Own::read(Path::new("nowhere/tls.crt"));
        let shown = certificate("another", "elsewhere", 2020);
        assert!(own.believes(&shown));
        assert!(own.remark(&shown).unwrap().contains("any certificate was believed"));
    }
}
