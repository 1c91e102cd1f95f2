//! The command line as a client of a running server.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::config::Environment;

/// How long a server may take to be found.
const CONNECTING: Duration = Duration::from_secs(5);

/// A server, asked by whoever the command line says that it is.
pub(super) type Asked = InterceptedService<Channel, Bearer>;

/// By what the server and its caller know each other. A server at an address with https://.
#[derive(Debug, Args)]
pub(super) struct Access {
    #[command(flatten)]
    certificates: Certificates,
    /// A file with the token to show to the server [default: the variable SOUK_TOKEN].
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What both of them know each other by before a word is said.
#[derive(Debug, Default, Args)]
pub(super) struct Certificates {
    /// Authorities that the server's certificate may come from, in PEM [default: the system's].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// A certificate to show to the server, in PEM.
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// Sends a token with each call, where there is one.
#[derive(Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Access {
    /// A connection to the server at `--addr`, where one listens; `usual` is what such
    /// an address looks like.
    pub(super) async fn connect(&self, addr: &str, usual: &str) -> anyhow::Result<Asked> {
        let wrong = || format!("--addr {addr}: wanted a URL such as {usual}");
        let mut endpoint = Endpoint::from_shared(addr.to_owned()).with_context(wrong)?;
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(self.certificates.tls()?).with_context(|| format!("--addr {addr}"))?;
        } else {
            self.certificates.are_in_vain()?;
        }
        let bearer = self.bearer()?;
        let connected = endpoint.connect_timeout(CONNECTING).connect().await;
        let hint = || format!("{addr}: can't connect; is the server running? (`souk serve`)");
        Ok(InterceptedService::new(connected.with_context(hint)?, bearer))
    }

    fn bearer(&self) -> anyhow::Result<Bearer> {
        let token = match &self.token_file {
            Some(file) => Some(String::from_utf8_lossy(&read("--token-file", file)?).trim().to_owned()),
            None => Environment::of_process().token().map(ToOwned::to_owned),
        };
        let Some(token) = token else { return Ok(Bearer(None)) };
        // What was read is not repeated.
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
        let mut value = value.ok().context("the token has characters that no header can hold")?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }
}

impl Certificates {
    fn tls(&self) -> anyhow::Result<ClientTlsConfig> {
        let mut tls = ClientTlsConfig::new();
        tls = match self.authorities()? {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        };
        if let Some((cert, key)) = self.pair()? {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        Ok(tls)
    }

    /// Authorities, in PEM, where they are not the system's.
    pub(super) fn authorities(&self) -> anyhow::Result<Option<Vec<u8>>> {
        self.ca.as_ref().map(|file| read("--ca", file)).transpose()
    }

    /// Certificate and key to show, in PEM.
    pub(super) fn pair(&self) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        Ok(Some((read("--cert", cert)?, read("--key", key)?)))
    }

    /// An error where there are any, and the server speaks plaintext.
    pub(super) fn are_in_vain(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.ca.is_none() && self.cert.is_none(), "--ca and --cert are for an --addr with https://");
        Ok(())
    }
}

fn read(option: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{option} {}: can't be read", file.display()))
}

/// What the server said, for a person.
pub(super) fn refused(status: Status) -> anyhow::Error {
    anyhow::anyhow!("the server answered {:?}: {}", status.code(), status.message())
}
