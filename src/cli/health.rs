//! `souk health`: whether the server of this machine is ready, for health checks of
//! containers, whose images have no shell and no curl.
//!
//! One request over HTTP/1 and no gRPC client: it runs every few seconds beside the server.

mod secured;

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use http::{Request, StatusCode, Uri, header::HOST};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Builder,
    time::timeout,
};

use self::secured::{Own, Secured};
use super::{Failure, client::Certificates, say, settings::SettingsFile};
use crate::config::ServerConfig;

/// How long connection and answer may take together: health checks wait for some seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Most bytes that are read of why a server is not ready, which names all its models: a
/// peer that is no server of ours may send anything.
const MOST: usize = 1 << 20;

/// Most models that a line names.
const NAMED: usize = 4;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk health                              is the server of these settings ready?
  souk health --config /etc/souk/souk.toml
  souk health --live                       does it run at all, ready or not?
  souk health --addr http://10.0.0.7:9464  another server; no settings are read
  souk health --addr https://souk:9464 --ca ca.pem

Asks server.http_listen for /readyz, or for /livez, on this machine, and waits for 3 s at most.
Where the settings name server.tls.cert it asks by TLS. Under whatever name, the certificate must be
that of the file as it is now, or an older one that holds and has one of its names; then a line says
so: a server takes up to 2 s to take over a new one, and none that can't be used. While the file
can't be read any certificate is believed, with a line. Where server.tls.client_auth is \"required\"
it needs --cert and --key.

Exit code 0 without a word where the answer is yes; 1 and a line where it is no, or nobody answers;
2 where the settings are wrong.")]
pub(super) struct Health {
    #[command(flatten)]
    settings: SettingsFile,
    /// Ask whether the server runs, not whether requests are welcome.
    #[arg(long)]
    live: bool,
    /// The server's http port, instead of that of the settings.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    addr: Option<String>,
    #[command(flatten)]
    certificates: Certificates,
}

/// Whom to ask for what.
struct Asked {
    url: Uri,
    /// Where that is by TLS.
    secured: Option<Secured>,
}

/// What is read of `/readyz`.
#[derive(Debug, Deserialize)]
struct Readiness {
    draining: bool,
    models: Vec<ModelReadiness>,
}

#[derive(Debug, Deserialize)]
struct ModelReadiness {
    model: String,
    preparing: bool,
}

impl Health {
    pub(super) fn run(self) -> Result<(), Failure> {
        let asked = self.asked()?;
        let runtime = Builder::new_current_thread().enable_all().build().context("no request could be made")?;
        let answered = runtime.block_on(async { timeout(PATIENCE, answer(&asked)).await });
        // A name that is still being looked up is not waited for.
        runtime.shutdown_background();
        let answered = answered.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())));
        Ok(answered.with_context(|| asked.url.to_string())?)
    }

    fn asked(self) -> Result<Asked, Failure> {
        let path = if self.live { "/livez" } else { "/readyz" };
        let (base, own) = match self.addr {
            Some(addr) => (addr, None),
            None => of_settings(&self.settings.read()?.server, &self.certificates).map_err(Failure::Usage)?,
        };
        let url = url(&base, path).map_err(Failure::Usage)?;
        let secured = match url.scheme_str() {
            Some("https") => Some(Secured::new(own, &self.certificates)?),
            _ => None,
        };
        if secured.is_none() {
            self.certificates.are_in_vain().map_err(Failure::Usage)?;
        }
        Ok(Asked { url, secured })
    }
}

/// Where the server of these settings is, and which certificate it shows, where it shows one.
fn of_settings(server: &ServerConfig, given: &Certificates) -> anyhow::Result<(String, Option<Own>)> {
    let tls = &server.tls;
    let Some((cert, _key)) = tls.pair() else { return Ok((base("http", server.http_listen)?, None)) };
    ensure!(given.ca.is_none(), "--ca is for --addr: here server.tls.cert says which certificate must be shown");
    ensure!(
        given.cert.is_some() || !tls.knows_all_clients(),
        "server.tls.client_auth = \"required\": nobody is connected without a certificate; wanted --cert and --key"
    );
    Ok((base("https", server.http_listen)?, Some(Own::read(cert))))
}

/// Where on this machine somebody is found who listens at `listen`.
fn base(scheme: &str, listen: SocketAddr) -> anyhow::Result<String> {
    ensure!(
        listen.port() != 0,
        "server.http_listen = {listen}: only the server knows which port it got; wanted --addr with it"
    );
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(format!("{scheme}://{}", SocketAddr::new(ip, listen.port())))
}

/// `path` of the server at `base`, whose URL may have a path itself.
fn url(base: &str, path: &str) -> anyhow::Result<Uri> {
    let wrong = || format!("--addr {base}: wanted a URL such as http://127.0.0.1:9464");
    let url: Uri = format!("{}{path}", base.trim_end_matches('/')).parse().with_context(wrong)?;
    ensure!(matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some(), wrong());
    Ok(url)
}

/// Asks; an error where the answer is not yes.
async fn answer(asked: &Asked) -> anyhow::Result<()> {
    let mut connection = connected(asked).await.context("can't connect")?;
    let host = asked.url.authority().map_or("", |authority| authority.as_str());
    let path = asked.url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, host).body(String::new())?;
    let answer = connection.send_request(request).await.context("no answer")?;
    let (status, body) = (answer.status(), answer.into_body());
    if status == StatusCode::OK {
        return Ok(());
    }
    match why(&read(body).await) {
        Some(why) => bail!("{status}: {why}"),
        None => bail!("{status}"),
    }
}

/// A connection that a request can be sent over.
async fn connected(Asked { url, secured }: &Asked) -> anyhow::Result<SendRequest<String>> {
    // An address of IPv6 keeps its brackets.
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(if secured.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect(format!("{host}:{port}")).await?;
    stream.set_nodelay(true)?;
    let Some(secured) = secured else { return open(stream).await };
    let (stream, remark) = secured.shake_hands(host, stream).await?;
    if let Some(remark) = remark {
        say(format_args!("souk: {url}: {remark}"));
    }
    open(stream).await
}

async fn open<S>(stream: S) -> anyhow::Result<SendRequest<String>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = handshake(TokioIo::new(stream)).await?;
    // What goes wrong there is the request's error too.
    tokio::spawn(connection);
    Ok(requests)
}

/// As much as came of an answer.
async fn read(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < MOST
        && let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        read.extend_from_slice(frame.data_ref().map_or(&[], |bytes| bytes));
    }
    read
}

/// Why a server is not ready, where it says so.
fn why(body: &[u8]) -> Option<String> {
    let Readiness { draining, models } = serde_json::from_slice(body).ok()?;
    if draining {
        return Some("it stops, and takes no more requests".into());
    }
    if models.is_empty() {
        return Some("no version answers, or why not is told only to who is known".into());
    }
    let preparing: Vec<_> = models.into_iter().filter(|model| model.preparing).map(|model| model.model).collect();
    let named = preparing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(match preparing.len() {
        0 => "no version answers".into(),
        1..=NAMED => format!("prepares {named}"),
        all => format!("prepares {named} and {} more", all - NAMED),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_on_this_machine() {
        for (listen, wanted) in [
            ("0.0.0.0:9464", "http://127.0.0.1:9464"),
            ("[::]:9464", "http://[::1]:9464"),
            ("10.1.2.3:80", "http://10.1.2.3:80"),
        ] {
            assert_eq!(base("http", listen.parse().unwrap()).unwrap(), wanted);
        }
        assert!(base("https", "127.0.0.1:0".parse().unwrap()).unwrap_err().to_string().contains("--addr"));
    }

    #[test]
    fn an_address_is_a_url_with_or_without_a_path() {
        assert_eq!(url("http://[::1]:9464", "/livez").unwrap(), "http://[::1]:9464/livez");
        assert_eq!(url("http://proxy/souk/", "/readyz").unwrap(), "http://proxy/souk/readyz");
        assert_eq!(url("https://souk:9464", "/livez").unwrap(), "https://souk:9464/livez");
        for wrong in ["127.0.0.1:9464", "ftp://127.0.0.1:9464", "/readyz", ""] {
            let said = url(wrong, "/readyz").unwrap_err().to_string();
            assert!(said.contains("wanted a URL such as http://"), "{said}");
        }
    }

    #[test]
    fn a_server_says_why_it_is_not_ready() {
        let body = |draining: bool, preparing: &[&str]| {
            let models = preparing.iter().map(|model| serde_json::json!({ "model": model, "preparing": true }));
            let idle = serde_json::json!({ "model": "idle", "preparing": false });
            let models: Vec<_> = models.chain([idle]).collect();
            serde_json::json!({ "ready": false, "draining": draining, "models": models }).to_string()
        };
        let why = |draining, preparing| why(body(draining, preparing).as_bytes()).unwrap();
        assert_eq!(why(true, &["a"]), "it stops, and takes no more requests");
        assert_eq!(why(false, &["a", "b"]), "prepares a, b");
        assert_eq!(why(false, &["a", "b", "c", "d", "e", "f"]), "prepares a, b, c, d and 2 more");
        assert_eq!(why(false, &[]), "no version answers");
        let stranger = serde_json::json!({ "ready": false, "draining": false, "models": [] }).to_string();
        assert!(super::why(stranger.as_bytes()).unwrap().contains("only to who is known"));
        assert_eq!(super::why(b"<html>"), None);
    }
}
