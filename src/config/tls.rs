//! Certificates by which the server and its clients know each other.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Problem;

/// Certificates of the server and of its clients: files in PEM, an empty path for none.
/// One set serves all three ports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The server's certificate, with those between it and its authority behind it.
    pub cert: PathBuf,
    /// The private key of `cert`.
    pub key: PathBuf,
    /// The authorities that clients' certificates must come from.
    pub client_ca: PathBuf,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They may; who shows none, or a wrong one, is nobody.
    Optional,
    /// Who shows none, or a wrong one, is not connected.
    Required,
}

impl TlsConfig {
    /// The certificate and its key, where connections are encrypted.
    pub fn pair(&self) -> Option<(&Path, &Path)> {
        is_given(&self.cert).then_some((&self.cert, &self.key))
    }

    /// Whether nobody is connected without a certificate of `client_ca`.
    pub fn knows_all_clients(&self) -> bool {
        self.pair().is_some() && self.client_auth == ClientAuth::Required
    }

    /// Keys that don't fit together.
    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let (encrypted, authority) = (is_given(&self.cert), is_given(&self.client_ca));
        let asked = self.client_auth != ClientAuth::None;
        let wrong = [
            ("server.tls.key", encrypted && !is_given(&self.key), "is empty, wanted the key of server.tls.cert"),
            (
                "server.tls.cert",
                !encrypted && is_given(&self.key),
                "is empty, wanted the certificate of server.tls.key",
            ),
            ("server.tls.client_ca", asked && !authority, "is empty, but server.tls.client_auth asks for certificates"),
            (
                "server.tls.client_auth",
                authority && !asked,
                "is \"none\", so that server.tls.client_ca has no effect: wanted \"optional\" or \"required\"",
            ),
            ("server.tls.client_auth", asked && !encrypted, "needs server.tls.cert and server.tls.key"),
        ];
        let problem = |(key, _, message): (&str, bool, &str)| Problem { key: key.into(), message: message.into() };
        wrong.into_iter().filter(|(_, is_wrong, _)| *is_wrong).map(problem).collect()
    }
}

fn is_given(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tls: &TlsConfig) -> Vec<String> {
        tls.contradictions().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn a_certificate_comes_with_its_key_and_an_authority_with_a_question() {
        let both = TlsConfig { cert: "c".into(), key: "k".into(), ..TlsConfig::default() };
        assert_eq!(keys(&both), Vec::<String>::new());
        assert_eq!(keys(&TlsConfig::default()), Vec::<String>::new());
        assert_eq!(keys(&TlsConfig { key: PathBuf::new(), ..both.clone() }), ["server.tls.key"]);
        assert_eq!(keys(&TlsConfig { cert: PathBuf::new(), ..both.clone() }), ["server.tls.cert"]);
        assert_eq!(keys(&TlsConfig { client_ca: "a".into(), ..both.clone() }), ["server.tls.client_auth"]);
        let required = TlsConfig { client_auth: ClientAuth::Required, ..both };
        assert_eq!(keys(&required), ["server.tls.client_ca"]);
        assert_eq!(keys(&TlsConfig { client_ca: "a".into(), ..required }), Vec::<String>::new());
        let alone = TlsConfig { client_ca: "a".into(), client_auth: ClientAuth::Optional, ..TlsConfig::default() };
        assert_eq!(keys(&alone), ["server.tls.client_auth"]);
    }
}
