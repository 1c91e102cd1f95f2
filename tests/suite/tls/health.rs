//! `souk health` where the http port speaks TLS.

use std::{fs, process::Output};

use crate::common::{
    certificates::Authority,
    program::{souk, stderr},
    server::TestServer,
};

use super::Secrets;

/// `souk health --live` of settings like the server's, but for the certificate that they name.
fn asked(secrets: &Secrets, server: &TestServer, (cert, more): (&str, &str), arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    let (cert, key, ca) = (secrets.path(cert), secrets.path("server.key"), secrets.path("ca.pem"));
    let tls = format!("[server.tls]\ncert = {cert:?}\nkey = {key:?}\n");
    let more = if more.is_empty() { String::new() } else { format!("client_ca = {ca:?}\nclient_auth = \"{more}\"\n") };
    let settings = format!("[server]\nhttp_listen = \"{}\"\n{tls}{more}", server.http);
    fs::write(folder.path().join("souk.toml"), settings).unwrap();
    souk(folder.path(), &[&["health", "--live"], arguments].concat()).output().unwrap()
}

/// It ended with this code, and said one line with this text, or nothing where that is empty.
fn assert_says(output: &Output, code: i32, text: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), usize::from(!text.is_empty()), "{said}");
    assert!(said.contains(text), "no {text:?} in {said}");
}

#[tokio::test]
async fn the_server_of_the_settings_is_known_by_its_certificate_s_file() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    assert_says(&asked(&secrets, &server, ("server.pem", ""), &[]), 0, "");
    // One with the same names that the server has not taken over, or can't.
    Authority::new("another authority").server().write(secrets.folder.path(), "next");
    assert_says(&asked(&secrets, &server, ("next.pem", ""), &[]), 0, "an older certificate");
    assert_says(&asked(&secrets, &server, ("nowhere.pem", ""), &[]), 0, "any certificate was believed");
    // Somebody else listens there.
    secrets.authority.client("somebody").write(secrets.folder.path(), "somebody");
    assert_says(&asked(&secrets, &server, ("somebody.pem", ""), &[]), 1, "another's");
}

#[tokio::test]
async fn a_server_that_wants_certificates_gets_that_of_the_command_line() {
    let secrets = Secrets::new();
    let server = secrets.asking("required").listening().await;
    let (cert, key) = secrets.authority.client("a probe").write(secrets.folder.path(), "probe");
    let known = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    assert_says(&asked(&secrets, &server, ("server.pem", "required"), &known), 0, "");
    assert_says(&asked(&secrets, &server, ("server.pem", "required"), &[]), 2, "wanted --cert and --key");
    let stranger = Authority::new("another authority").client("a probe");
    let (cert, key) = stranger.write(secrets.folder.path(), "stranger");
    let stranger = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    assert_says(&asked(&secrets, &server, ("server.pem", "required"), &stranger), 1, "/livez");
}

#[tokio::test]
async fn another_server_is_known_by_its_authority_and_its_name() {
    let secrets = Secrets::new();
    let server = secrets.launch().listening().await;
    let folder = secrets.folder.path();
    let (port, ca) = (server.http.port(), secrets.path("ca.pem").display().to_string());
    let ask = |addr: &str, more: &[&str]| {
        souk(folder, &[&["health", "--live", "--addr", addr], more].concat()).output().unwrap()
    };
    for host in ["localhost", "127.0.0.1"] {
        assert_says(&ask(&format!("https://{host}:{port}"), &["--ca", &ca]), 0, "");
    }
    fs::write(secrets.path("others.pem"), Authority::new("another authority").pem()).unwrap();
    let others = secrets.path("others.pem").display().to_string();
    assert_says(&ask(&format!("https://localhost:{port}"), &["--ca", &others]), 1, "invalid peer certificate");
    // The system's authorities, where it has any.
    assert_says(&ask(&format!("https://localhost:{port}"), &[]), 1, "certificate");
    assert_says(&ask(&format!("http://localhost:{port}"), &["--ca", &ca]), 2, "an --addr with https://");
    assert_says(&ask(&format!("http://localhost:{port}"), &[]), 1, "localhost");
    assert_says(&asked(&secrets, &server, ("server.pem", ""), &["--ca", &ca]), 2, "--ca is for --addr");
}
