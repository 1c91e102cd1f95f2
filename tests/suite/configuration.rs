//! A server that is set up wrongly says all that is wrong, and opens nothing.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::TcpListener,
    os::unix::ffi::OsStringExt as _,
    path::Path,
    process::Output,
};

use super::common::{
    program::{program, souk, stderr},
    server::Launch,
};

/// `souk serve` in a new folder that holds this `souk.toml` and no model.
fn serve(toml: &str, environment: &[(&str, impl AsRef<OsStr>)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("souk.toml"), toml).unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    souk(folder.path(), &["serve"]).envs(environment.iter().map(|(name, value)| (name, value))).output().unwrap()
}

const NOTHING: [(&str, &str); 0] = [];

fn assert_says(output: &Output, code: i32, texts: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for text in texts {
        assert!(said.contains(text), "no {text:?} in:\n{said}");
    }
}

#[test]
fn every_wrong_key_and_value_is_named_at_once_and_no_port_is_opened() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let toml = format!("[server]\nlisten = \"{free}\"\nlisen = \"127.0.0.1:1\"\n[batch]\nmax_rows = 0\n");
    let output = serve(&toml, &[("SOUK__RUNTIME__RUNERS", "3")]);
    assert_says(
        &output,
        2,
        &[
            "3 problems",
            "server.lisen",
            "127.0.0.1:1",
            "batch.max_rows",
            "\"0\"",
            "runtime.runers",
            "\"3\"",
            "souk.toml",
        ],
    );
    assert!(!stderr(&output).contains("listening"), "{}", stderr(&output));
    TcpListener::bind(free).unwrap();
}

#[test]
fn a_misspelt_key_is_answered_with_the_right_one() {
    let output = serve("", &[("SOUK__BATCH__QUEUE_ROW", "1")]);
    assert_says(&output, 2, &["batch.queue_row", "did you mean batch.queue_rows?"]);
}

#[test]
fn the_environment_wins_over_the_file() {
    let output = serve("[batch]\nmax_rows = 0\n", &[("SOUK__BATCH__MAX_ROWS", "-7")]);
    assert_says(&output, 2, &["1 problem ", "batch.max_rows", "-7"]);
}

#[test]
fn a_configuration_file_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = souk(folder.path(), &["serve", "--config", "no/such.toml"]).output().unwrap();
    assert_says(&output, 2, &["no/such.toml"]);
}

#[test]
fn a_configuration_file_that_is_no_toml_is_named() {
    assert_says(&serve("[server\n", &NOTHING), 2, &["souk.toml"]);
}

#[test]
fn log_directives_that_make_no_sense_are_named() {
    assert_says(&serve("", &[("SOUK__TELEMETRY__LOG", "souk=loud")]), 2, &["telemetry.log", "souk=loud"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let keys = ["listen", "http_listen", "admin_listen"];
    let variable = |key: &str| format!("SOUK__SERVER__{}", key.to_uppercase());
    for key in keys {
        let mut environment: Vec<_> = keys.map(|key| (variable(key), "127.0.0.1:0".to_owned())).into();
        environment.push((variable(key), address.clone()));
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_says(&serve("", &environment), 1, &[&format!("server.{key} = "), &address]);
    }
}

#[test]
fn what_only_the_machine_shows_is_named_with_the_rest_before_a_port_is_opened() {
    // Were it opened, that would be the error.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let toml = "[models]\nroot = \"no/such/models\"\n[telemetry]\nlog = \"souk=banana\"\ncolour = 1\n[servers]\n";
    let output = serve(toml, &[("SOUK__SERVER__LISTEN", &address)]);
    assert_says(
        &output,
        2,
        &[
            "4 problems",
            "models.root: \"no/such/models\"",
            "telemetry.log",
            "souk=banana",
            "telemetry.colour",
            "servers",
        ],
    );
}

#[test]
fn a_root_of_models_that_is_a_file_is_refused() {
    let output = serve("", &[("SOUK__MODELS__ROOT", "souk.toml")]);
    assert_says(&output, 2, &["1 problem ", "models.root: \"souk.toml\" is no folder"]);
}

#[test]
fn a_variable_that_is_no_text_is_named_and_those_of_others_are_left_alone() {
    let no_text = || OsString::from_vec(b"caf\xe9".to_vec());
    let output = serve("", &[("SOUK__MODELS__ROOT", no_text()), ("LC_NAME", no_text())]);
    assert_says(&output, 2, &["1 problem ", "models.root", "SOUK__MODELS__ROOT", "is not UTF-8"]);
}

#[test]
fn a_cause_is_said_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = serve("", &[("SOUK__SERVER__LISTEN", &address)]);
    let wanted = format!("souk: server.listen = {address}: can't listen: Address already in use (os error 98)\n");
    assert_eq!(stderr(&output), wanted);
}

#[tokio::test]
async fn an_address_of_another_server_is_refused_by_name() {
    let first = Launch::new().listening().await;
    let address = first.grpc.to_string();
    let any = "127.0.0.1:0";
    let others = [("SOUK__SERVER__HTTP_LISTEN", any), ("SOUK__SERVER__ADMIN_LISTEN", any)];
    let output = serve("", &[&others[..], &[("SOUK__SERVER__LISTEN", address.as_str())]].concat());
    assert_says(&output, 1, &["server.listen", &address]);
}

#[test]
fn a_second_server_with_the_default_ports_does_not_start() {
    // Held by this test or by whoever was first.
    let held = TcpListener::bind("127.0.0.1:50051");
    assert_says(&serve("", &NOTHING), 1, &["server.listen = 127.0.0.1:50051"]);
    drop(held);
}

#[test]
fn the_reference_file_is_a_configuration() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/souk.reference.toml");
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // It gets as far as the port: exit code 1 and not 2.
    fs::create_dir(folder.path().join("models")).unwrap();
    let output = souk(folder.path(), &["serve", "--config"])
        .arg(reference)
        .env("SOUK__SERVER__LISTEN", taken.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    assert_says(&output, 1, &["server.listen"]);
}

#[test]
fn help_and_version_need_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("souk.toml"), "[nonsense").unwrap();
    for argument in ["--help", "--version"] {
        assert!(program(folder.path()).arg(argument).output().unwrap().status.success(), "{argument}");
    }
}
