//! Who a certificate is of, and how long.

use std::sync::Arc;

use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::{error::X509Error, extensions::GeneralName, parse_x509_certificate};

/// What a certificate says of its owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::server) struct Names {
    /// The subject's common name, and each DNS name and URI beside it.
    pub(in crate::server) names: Vec<String>,
    /// Its end, in seconds since 1970.
    pub(in crate::server) expires: i64,
}

impl Names {
    /// Reads them; whether they are true is a verifier's question.
    ///
    /// # Errors
    ///
    /// Where this is no certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, X509Error> {
        let (_rest, read) = parse_x509_certificate(certificate).map_err(|error| match error {
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
            x509_parser::nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
        })?;
        let common = read.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let mut names: Vec<String> = common.map(ToOwned::to_owned).collect();
        if let Ok(Some(others)) = read.subject_alternative_name() {
            names.extend(others.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
        names.dedup();
        Ok(Self { names, expires: read.validity().not_after.timestamp() })
    }

    /// For a line of the log.
    pub(super) fn shown(&self) -> String {
        self.names.join(", ")
    }
}

/// Lets everybody connect who has the key of what he shows, whoever signed it: what is wrong
/// with it is told call by call, in words, and not by a connection that breaks.
#[derive(Debug)]
pub(super) struct AskAll(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AskAll {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The real one is asked once the connection is there (`handshake`).
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
