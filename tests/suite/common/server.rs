//! A server of its own for each test: its ports, folder and log.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use souk::api::proto::v1::{
    merchant_gmv_service_client::MerchantGmvServiceClient, model_service_client::ModelServiceClient,
    user_portrait_service_client::UserPortraitServiceClient,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    models,
    program::{PATIENCE, program},
};

/// How a server is to be started.
pub(crate) struct Launch {
    settings: Vec<(String, String)>,
    tls: Option<ClientTlsConfig>,
}

/// A running server; killed where a test leaves it.
pub(crate) struct TestServer {
    child: Child,
    log: watch::Receiver<Vec<String>>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    tls: Option<ClientTlsConfig>,
    _folder: TempDir,
}

impl Launch {
    /// With the shipped models.
    pub(crate) fn new() -> Self {
        let launch = Self { settings: Vec::new(), tls: None };
        launch
            .set("server.listen", "127.0.0.1:0")
            .set("server.http_listen", "127.0.0.1:0")
            .set("server.admin_listen", "127.0.0.1:0")
            .set("telemetry.log_format", "json")
            .set("models.root", models::shipped().display())
    }

    /// The setting in the environment, e.g. `batch.queue_rows`.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        let name = format!("SOUK__{}", key.to_uppercase().replace('.', "__"));
        self.settings.push((name, value.to_string()));
        self
    }

    /// What clients of a server with certificates know, where nothing else is said.
    pub(crate) fn tls(self, tls: ClientTlsConfig) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Waits until the server listens.
    pub(crate) async fn listening(self) -> TestServer {
        let folder = tempfile::tempdir().unwrap();
        let mut child = program(folder.path())
            .arg("serve")
            .envs(self.settings)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = follow(child.stderr.take().unwrap());
        let line = wait_for(&mut log, "listening").await;
        let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
        let (grpc, http, admin) = (address("grpc"), address("http"), address("admin"));
        TestServer { child, grpc, http, admin, log, tls: self.tls, _folder: folder }
    }

    /// Waits until the server is SERVING.
    pub(crate) async fn serving(self) -> TestServer {
        let server = self.listening().await;
        server.logs("SERVING").await;
        server
    }
}

impl TestServer {
    /// Waits for the log line with this message.
    pub(crate) async fn logs(&self, message: &str) -> Value {
        wait_for(&mut self.log.clone(), message).await
    }

    /// All lines so far.
    pub(crate) fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for the end of the process; it must come within `bound`.
    pub(crate) async fn exit(&mut self, bound: Duration) -> ExitStatus {
        if timeout(bound, self.ended()).await.is_err() {
            panic!("still running after {bound:?}:\n{}", self.log());
        }
        self.child.wait().unwrap()
    }

    /// Waits for the end of the log, which is that of the process that writes it.
    pub(crate) async fn ended(&mut self) {
        while self.log.changed().await.is_ok() {}
    }

    /// Kibibytes of memory that the process holds.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// A new connection with small windows, so that a reply that nobody reads
    /// stays with the server.
    pub(crate) async fn narrow_channel(&self) -> Channel {
        self.endpoint()
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535)
            .connect()
            .await
            .unwrap()
    }

    /// A new connection.
    pub(crate) async fn channel(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    pub(crate) async fn gmv(&self) -> MerchantGmvServiceClient<Channel> {
        MerchantGmvServiceClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    pub(crate) async fn portraits(&self) -> UserPortraitServiceClient<Channel> {
        UserPortraitServiceClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    pub(crate) async fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel().await)
    }

    /// A new connection to the admin port.
    pub(crate) async fn admin_channel(&self) -> Channel {
        secured(self.admin_url(), self.tls.as_ref()).connect().await.unwrap()
    }

    pub(crate) async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.admin_channel().await)
    }

    /// The health of one service, e.g. `SERVING`.
    pub(crate) async fn health_of(&self, service: &str) -> String {
        let request = HealthCheckRequest { service: service.into() };
        let reply = self.health().await.check(request).await.unwrap().into_inner();
        reply.status().as_str_name().to_owned()
    }

    /// Status and body of `GET path`.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let (head, body) = self.answer(path).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// Status and body of `GET path` with another header, `NAME: VALUE`.
    pub(crate) async fn get_with(&self, path: &str, header: &str) -> (u16, String) {
        let (head, body) = self.answer_to("GET", path, header).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// Head and body of the answer to `GET path`.
    pub(crate) async fn answer(&self, path: &str) -> (String, String) {
        self.answer_to("GET", path, "").await
    }

    /// The same by who accepts these formats.
    pub(crate) async fn answer_as(&self, path: &str, accept: &str) -> (String, String) {
        self.answer_to("GET", path, &format!("Accept: {accept}")).await
    }

    /// The same of another method, or with a line of its own among the headers.
    pub(crate) async fn answer_to(&self, method: &str, path: &str, header: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: souk\r\n{header}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// For `souk models --addr`.
    pub(crate) fn admin_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.admin)
    }

    /// For `souk score --addr`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.grpc)
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    fn endpoint(&self) -> Endpoint {
        secured(self.url(), self.tls.as_ref())
    }

    /// Who connects to the data port as somebody else than usual.
    pub(crate) fn endpoint_of(&self, tls: &ClientTlsConfig) -> Endpoint {
        secured(format!("https://{}", self.grpc), Some(tls))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn secured(url: String, tls: Option<&ClientTlsConfig>) -> Endpoint {
    let endpoint = Endpoint::from_shared(url).unwrap();
    match tls {
        Some(tls) => endpoint.tls_config(tls.clone()).unwrap(),
        None => endpoint,
    }
}

/// Reads the log on a thread, so that the server never waits for a test.
fn follow(stderr: ChildStderr) -> watch::Receiver<Vec<String>> {
    let (lines, log) = watch::channel(Vec::new());
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            lines.send_modify(|log| log.push(line));
        }
    });
    log
}

/// The first JSON line whose message begins with `message`.
async fn wait_for(log: &mut watch::Receiver<Vec<String>>, message: &str) -> Value {
    let found = |lines: &Vec<String>| {
        let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["message"].as_str().is_some_and(|found| found.starts_with(message)))
    };
    // An error where the time is up or the server ended.
    let _ = timeout(PATIENCE, log.wait_for(|lines| found(lines).is_some())).await;
    let lines = log.borrow();
    found(&lines).unwrap_or_else(|| panic!("the log has no {message:?}:\n{}", lines.join("\n")))
}

/// A folder for a test's models.
pub(crate) fn empty_root() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("models");
    fs::create_dir(&root).unwrap();
    (folder, root)
}
