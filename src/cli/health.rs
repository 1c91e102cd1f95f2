//! `souk health`: whether the server of this machine is ready, for health checks of
//! containers, whose images have no shell and no curl.
//!
//! One request over HTTP/1 and no gRPC client: it runs every few seconds beside the server.

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
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

use super::{Failure, settings::SettingsFile};

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

Asks server.http_listen for /readyz, or for /livez, on this machine, and waits for 3 s at most.
Exit code 0 without a word where the answer is yes; 1 and one line where it is no, or nobody answers;
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
        Ok(answered.with_context(|| asked.to_string())?)
    }

    /// What to ask.
    fn asked(self) -> Result<Uri, Failure> {
        let path = if self.live { "/livez" } else { "/readyz" };
        let base = match self.addr {
            Some(addr) => addr,
            None => base(self.settings.read()?.server.http_listen).map_err(Failure::Usage)?,
        };
        url(&base, path).map_err(Failure::Usage)
    }
}

/// Where on this machine somebody is found who listens at `listen`.
fn base(listen: SocketAddr) -> anyhow::Result<String> {
    ensure!(
        listen.port() != 0,
        "server.http_listen = {listen}: only the server knows which port it got; wanted --addr with it"
    );
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(format!("http://{}", SocketAddr::new(ip, listen.port())))
}

/// `path` of the server at `base`, whose URL may have a path itself.
fn url(base: &str, path: &str) -> anyhow::Result<Uri> {
    let wrong = || format!("--addr {base}: wanted a URL such as http://127.0.0.1:9464");
    let url: Uri = format!("{}{path}", base.trim_end_matches('/')).parse().with_context(wrong)?;
    ensure!(url.scheme_str() == Some("http") && url.host().is_some(), wrong());
    Ok(url)
}

/// Asks; an error where the answer is not yes.
async fn answer(asked: &Uri) -> anyhow::Result<()> {
    let mut connection = connected(asked).await.context("can't connect")?;
    let host = asked.authority().map_or("", |authority| authority.as_str());
    let path = asked.path_and_query().map_or("/", |path| path.as_str());
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
async fn connected(to: &Uri) -> anyhow::Result<SendRequest<String>> {
    // An address of IPv6 keeps its brackets.
    let (host, port) = (to.host().unwrap_or_default(), to.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(format!("{host}:{port}")).await?;
    stream.set_nodelay(true)?;
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
            assert_eq!(base(listen.parse().unwrap()).unwrap(), wanted);
        }
        assert!(base("127.0.0.1:0".parse().unwrap()).unwrap_err().to_string().contains("--addr"));
    }

    #[test]
    fn an_address_is_a_url_with_or_without_a_path() {
        assert_eq!(url("http://[::1]:9464", "/livez").unwrap(), "http://[::1]:9464/livez");
        assert_eq!(url("http://proxy/souk/", "/readyz").unwrap(), "http://proxy/souk/readyz");
        for wrong in ["127.0.0.1:9464", "https://127.0.0.1:9464", "/readyz", ""] {
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
        assert_eq!(super::why(b"<html>"), None);
    }
}
