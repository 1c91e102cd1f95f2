//! Certificates of server and clients, and new ones while it serves.

mod health;

use std::{fs, path::PathBuf, sync::Arc};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        version::{TLS12, TLS13},
    },
};
use tonic::transport::ClientTlsConfig;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::common::{
    certificates::{Authority, Pair},
    program::{PATIENCE, souk, stderr},
    server::{Launch, TestServer},
};

/// Certificates in files that a server reads.
struct Secrets {
    authority: Authority,
    folder: TempDir,
}

impl Secrets {
    fn new() -> Self {
        let secrets = Self { authority: Authority::new("an authority"), folder: tempfile::tempdir().unwrap() };
        secrets.authority.server().write(secrets.folder.path(), "server");
        fs::write(secrets.path("ca.pem"), secrets.authority.pem()).unwrap();
        secrets
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn launch(&self) -> Launch {
        Launch::new()
            .set("server.tls.cert", self.path("server.pem").display())
            .set("server.tls.key", self.path("server.key").display())
            .tls(self.authority.believed())
    }

    fn asking(&self, client_auth: &str) -> Launch {
        let launch = self.launch().set("server.tls.client_ca", self.path("ca.pem").display());
        launch.set("server.tls.client_auth", client_auth)
    }

    /// A client with a certificate.
    fn known(&self, pair: &Pair) -> ClientTlsConfig {
        self.authority.believed().identity(pair.identity())
    }

    /// A connection as rustls makes it, with the protocols that it offers.
    async fn stream(&self, server: std::net::SocketAddr, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS12, &TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(server).await?).await
    }

    /// The certificate that the server shows now.
    async fn shown(&self, server: &TestServer) -> CertificateDer<'static> {
        let stream = self.stream(server.grpc, &[b"h2"]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

async fn asks(server: &TestServer, tls: &ClientTlsConfig) -> Result<(), String> {
    let channel = server.endpoint_of(tls).connect().await.map_err(|error| format!("{error:?}"))?;
    let asked = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    asked.map(drop).map_err(|status| format!("{status:?}"))
}

#[tokio::test]
async fn all_three_ports_speak_tls_and_nothing_else() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    server.health().await.check(HealthCheckRequest::default()).await.unwrap();
    HealthClient::new(server.admin_channel().await).check(HealthCheckRequest::default()).await.unwrap();

    let mut stream = secrets.stream(server.http, &[b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: souk\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.ends_with("alive\n"), "{said}");

    for port in [server.grpc, server.admin, server.http] {
        let mut plain = TcpStream::connect(port).await.unwrap();
        plain.write_all(b"GET /livez HTTP/1.1\r\nHost: souk\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        // The end may be a reset.
        let _ = timeout(PATIENCE, plain.read_to_end(&mut said)).await.unwrap();
        assert!(!said.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn a_protocol_that_the_port_does_not_speak_is_refused() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    assert!(secrets.stream(server.grpc, &[b"http/1.1"]).await.is_err());
    assert!(secrets.stream(server.http, &[b"h2"]).await.is_err());
}

/// A hello that offers no version after this one; `0x0302` is TLS 1.1 (RFC 4346, section 7.4.1.2).
fn hello(version: u16) -> Vec<u8> {
    let version = version.to_be_bytes();
    let mut hello = [&version[..], &[7; 32], &[0], &[0, 4, 0xc0, 0x13, 0x00, 0x2f], &[1, 0]].concat();
    // Groups and signature algorithms that every client names: x25519, ecdsa_secp256r1_sha256.
    let extensions = [&[0, 10, 0, 4, 0, 2, 0, 29][..], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 11, 0, 2, 1, 0]].concat();
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let length = u16::try_from(hello.len()).unwrap();
    let handshake = [&[1, 0][..], &length.to_be_bytes(), &hello].concat();
    [&[22, 3, 1][..], &(length + 4).to_be_bytes(), &handshake].concat()
}

#[tokio::test]
async fn versions_before_1_2_are_refused() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    for version in [0x0300, 0x0301, 0x0302] {
        for port in [server.grpc, server.admin, server.http] {
            let mut stream = TcpStream::connect(port).await.unwrap();
            stream.write_all(&hello(version)).await.unwrap();
            let mut said = Vec::new();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap();
            // A fatal alert: protocol_version (RFC 8446, section 6.2).
            assert_eq!((said.first(), said.get(5..7)), (Some(&21), Some(&[2, 70][..])), "{version:x}: {said:?}");
        }
    }
}

#[tokio::test]
async fn without_a_certificate_nobody_is_connected_where_one_is_required() {
    let secrets = Secrets::new();
    let server = secrets.asking("required").tls(secrets.known(&secrets.authority.client("a client"))).listening().await;
    server.health().await.check(HealthCheckRequest::default()).await.unwrap();
    let stranger = Authority::new("another authority").client("a client");
    for refused in
        [secrets.authority.believed(), secrets.known(&stranger), secrets.known(&secrets.authority.expired("a client"))]
    {
        asks(&server, &refused).await.unwrap_err();
    }
}

#[tokio::test]
async fn who_may_show_a_certificate_need_not() {
    let secrets = Secrets::new();
    let server = secrets.asking("optional").listening().await;
    asks(&server, &secrets.authority.believed()).await.unwrap();
    asks(&server, &secrets.known(&secrets.authority.client("a client"))).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_slow_in_its_handshake_keeps_nobody_waiting() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(server.grpc).await.unwrap();
        // All of a hello but its last byte.
        let hello = hello(0x0303);
        stream.write_all(&hello[..hello.len() - 1]).await.unwrap();
        slow.push(stream);
    }
    timeout(PATIENCE, asks(&server, &secrets.authority.believed())).await.unwrap().unwrap();
    // And is sent away itself.
    for mut stream in slow {
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_stay() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    let (before, mut old) = (secrets.shown(&server).await, server.health().await);
    secrets.authority.server().write(secrets.folder.path(), "server");
    server.logs("certificate replaced").await;
    assert_ne!(secrets.shown(&server).await, before);
    old.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_without_its_key_changes_nothing_and_is_told_of_once() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    let before = secrets.shown(&server).await;
    let next = secrets.authority.server();
    fs::write(secrets.path("server.pem"), &next.cert).unwrap();
    let said = server.logs("the certificates' files changed and can't be used").await;
    assert!(said["error"].as_str().unwrap().contains("server.tls.cert and server.tls.key"), "{said}");
    assert_eq!(secrets.shown(&server).await, before);
    fs::write(secrets.path("server.key"), &next.key).unwrap();
    server.logs("certificate replaced").await;
    assert_ne!(secrets.shown(&server).await, before);
    assert_eq!(server.log().matches("can't be used; the old ones stay").count(), 1, "{}", server.log());
    assert!(!server.log().contains("PRIVATE KEY"), "{}", server.log());
}

#[test]
fn what_is_wrong_with_certificates_is_named_before_a_port_is_opened() {
    let secrets = Secrets::new();
    let other = Authority::new("another authority").server();
    fs::write(secrets.path("other.key"), &other.key).unwrap();
    fs::write(secrets.path("empty.pem"), "").unwrap();
    let serve = |settings: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("models")).unwrap();
        let path = |name: &str| secrets.path(name).display().to_string();
        let variables = settings.iter().map(|(key, value)| (format!("SOUK__SERVER__TLS__{key}"), path(value)));
        let ports =
            ["LISTEN", "HTTP_LISTEN", "ADMIN_LISTEN"].map(|key| (format!("SOUK__SERVER__{key}"), "127.0.0.1:0".into()));
        let output = souk(folder.path(), &["serve"]).envs(variables.chain(ports)).output().unwrap();
        assert!(!stderr(&output).contains("listening"), "{}", stderr(&output));
        stderr(&output)
    };
    let said = serve(&[("CERT", "server.pem")]);
    assert!(said.contains("server.tls.key: is empty"), "{said}");
    let said = serve(&[("CERT", "nowhere.pem"), ("KEY", "server.key")]);
    assert!(
        said.contains("server.tls.cert = ") && said.contains("nowhere.pem") && said.contains("No such file"),
        "{said}"
    );
    let said = serve(&[("CERT", "empty.pem"), ("KEY", "server.key")]);
    assert!(said.contains("holds no certificate in PEM"), "{said}");
    let said = serve(&[("CERT", "server.pem"), ("KEY", "other.key")]);
    assert!(said.contains("server.tls.cert and server.tls.key: "), "{said}");
}

#[tokio::test]
async fn the_command_line_asks_by_tls() {
    let secrets = Secrets::new();
    let server = secrets.asking("required").listening().await;
    let folder = secrets.folder.path();
    let (cert, key) = secrets.authority.client("anna").write(folder, "anna");
    let (ca, cert, key) = (secrets.path("ca.pem"), cert.display().to_string(), key.display().to_string());
    let list = |more: &[&str]| {
        let addr = server.admin_url();
        let arguments = [&["models", "list", "--addr", &addr][..], more].concat();
        souk(folder, &arguments).output().unwrap()
    };
    let ca = ca.display().to_string();
    let known = list(&["--ca", &ca, "--cert", &cert, "--key", &key]);
    assert_eq!(known.status.code(), Some(0), "{}", stderr(&known));
    for unknown in [list(&["--ca", &ca]), list(&["--cert", &cert, "--key", &key])] {
        assert_eq!(unknown.status.code(), Some(1), "{}", stderr(&unknown));
    }
    assert_eq!(list(&["--cert", &cert]).status.code(), Some(2), "a certificate without its key");
}

/// Connections that stay and connections that come and go, while the certificate changes again
/// and again: every request is answered.
#[cfg(feature = "torch")]
#[tokio::test]
async fn rotating_certificates_under_load_loses_no_request() {
    use super::common::rows::{forecasts_of, merchants};
    use souk::api::proto::v1::merchant_gmv_service_client::MerchantGmvServiceClient;
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        time::Duration,
    };

    const ROTATIONS: usize = 3;
    const REQUESTS: usize = 300;
    let secrets = Secrets::new();
    let server = secrets.launch().serving().await;
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let request = forecasts_of(merchants(3));
    let worker = |stays: bool| {
        let (done, answered, request) = (Arc::clone(&done), Arc::clone(&answered), request.clone());
        let endpoint = server.endpoint_of(&secrets.authority.believed());
        tokio::spawn(async move {
            let mut client = MerchantGmvServiceClient::new(endpoint.connect().await.unwrap());
            while !done.load(Relaxed) {
                if !stays {
                    client = MerchantGmvServiceClient::new(endpoint.connect().await.unwrap());
                }
                client.predict_gmv(request.clone()).await.unwrap();
                answered.fetch_add(1, Relaxed);
            }
        })
    };
    let workers: Vec<_> = [true, true, false, false].map(worker).into();
    let mut shown = secrets.shown(&server).await;
    let mut rotations = 0;
    while rotations < ROTATIONS || answered.load(Relaxed) < REQUESTS {
        secrets.authority.server().write(secrets.folder.path(), "server");
        let changed = async {
            while secrets.shown(&server).await == shown {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, changed).await.unwrap();
        shown = secrets.shown(&server).await;
        rotations += 1;
        assert!(!workers.iter().any(tokio::task::JoinHandle::is_finished), "a request was lost");
    }
    done.store(true, Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
}
