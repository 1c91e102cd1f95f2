use std::{num::NonZeroUsize, time::Duration};

use super::*;
use crate::config::{Count, Device};

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn file(text: &str) -> tempfile::TempPath {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap().into_temp_path();
    std::fs::write(&file, text).unwrap();
    file
}

fn keys(loaded: Result<Settings, ConfigError>) -> Vec<String> {
    match loaded {
        Err(ConfigError::Problems(problems)) => problems.into_iter().map(|problem| problem.key).collect(),
        other => vec![format!("{other:?}")],
    }
}

#[test]
fn nothing_given_means_the_defaults() {
    assert_eq!(load(None, &Environment::default()).unwrap(), Settings::default());
}

#[test]
fn the_reference_file_holds_every_key_with_its_default() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/souk.reference.toml");
    assert_eq!(load(Some(&reference), &Environment::default()).unwrap(), Settings::default());
    let given = given(Some(&reference), &Environment::default()).unwrap();
    let defaults = leaves(&read(Config::builder().add_source(defaults().unwrap()), "").unwrap());
    assert!(given.keys().eq(defaults.keys()), "{given:?} against {defaults:?}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = file("[batch]\nmax_rows = 8\nqueue_rows = 4096\n");
    let settings = load(Some(&file), &environment(&[("SOUK__BATCH__MAX_ROWS", "16")])).unwrap();
    assert_eq!(settings.batch.max_rows.get(), 16);
    assert_eq!(settings.batch.queue_rows.get(), 4096);
}

#[test]
fn values_are_read_with_their_units() {
    let given = environment(&[
        ("SOUK__SERVER__LISTEN", "0.0.0.0:6000"),
        ("SOUK__SERVER__MAX_MESSAGE_BYTES", "1MiB"),
        ("SOUK__SERVER__DRAIN_TIMEOUT", "1m 30s"),
        ("SOUK__RUNTIME__RUNNERS", "3"),
        ("SOUK__RUNTIME__IO_THREADS", "auto"),
        ("SOUK__RUNTIME__DEVICE", "cpu"),
    ]);
    let settings = load(None, &given).unwrap();
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:6000");
    assert_eq!(settings.server.max_message_bytes.as_u64(), 1024 * 1024);
    assert_eq!(settings.server.drain_timeout, Duration::from_secs(90));
    assert_eq!(settings.runtime.runners, Count::Fixed(NonZeroUsize::new(3).unwrap()));
    assert_eq!(settings.runtime.io_threads, Count::Auto);
    assert_eq!(settings.runtime.device, Device::Cpu);
}

#[test]
fn all_problems_are_named_at_once() {
    let file = file("[batch]\nmax_row = 8\nqueue_rows = 0\n[servers]\nlisten = 1\n");
    let found = keys(load(Some(&file), &environment(&[("SOUK__SERVER__DRAIN_TIMEOUT", "soon")])));
    assert_eq!(found, ["batch.max_row", "servers.listen", "batch.queue_rows", "server.drain_timeout"]);
}

#[test]
fn what_only_a_look_at_the_value_shows_is_named_with_the_rest() {
    let file = file("[batch]\nmax_row = 8\n[telemetry]\nlog = \"souk=banana\"\n[models]\nroot = \"no/such\"\n");
    assert_eq!(keys(load(Some(&file), &Environment::default())), ["batch.max_row", "models.root", "telemetry.log"]);
}

#[test]
fn a_root_that_is_a_file_is_a_problem() {
    let root = file("");
    let found = keys(load(None, &environment(&[("SOUK__MODELS__ROOT", root.to_str().unwrap())])));
    assert_eq!(found, ["models.root"]);
}

#[test]
fn an_empty_section_is_refused_where_it_is_unknown() {
    let file = file("[server]\n[servers]\n[batch.more]\n");
    let said = load(Some(&file), &Environment::default()).unwrap_err().to_string();
    assert!(said.starts_with("2 problems"), "{said}");
    assert!(said.contains("batch.more: ") && said.contains("servers: "), "{said}");
    assert!(said.contains("is no known section; did you mean server?"), "{said}");
}

#[test]
fn a_variable_that_is_no_text_is_named_only_where_it_is_ours() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let variables = [
        (bytes(b"SOUK__MODELS__ROOT"), bytes(b"caf\xe9")),
        (bytes(b"SOUK__BATCH__\xff"), bytes(b"1")),
        (bytes(b"LC_\xe9"), bytes(b"\xe9")),
        (bytes(b"SOUK__BATCH__QUEUE_ROW"), bytes(b"1")),
    ];
    let said = load(None, &Environment::new(variables)).unwrap_err().to_string();
    assert!(said.starts_with("3 problems"), "{said}");
    for text in ["models.root: ", "\"caf\\xE9\" is not UTF-8", "batch.\u{fffd}: ", "batch.queue_row: "] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}

#[test]
fn a_wrong_value_is_not_blamed_for_its_default() {
    let found = keys(load(
        None,
        &environment(&[("SOUK__SERVER__HTTP_LISTEN", "x"), ("SOUK__SERVER__LISTEN", "127.0.0.1:9464")]),
    ));
    assert_eq!(found, ["server.http_listen"]);
}

#[test]
fn a_problem_names_key_value_place_and_what_was_meant() {
    let file = file("[batch]\nmax_row = 8\n");
    let said = load(Some(&file), &Environment::default()).unwrap_err().to_string();
    assert!(said.contains("batch.max_row: \"8\""), "{said}");
    // The reader names it from the working folder on.
    let name = file.file_name().unwrap().to_string_lossy();
    assert!(said.contains(&*name), "{said}");
    assert!(said.contains("did you mean batch.max_rows?"), "{said}");
}

#[test]
fn values_that_do_not_fit_together_are_a_problem() {
    let found = keys(load(None, &environment(&[("SOUK__SERVER__HTTP_LISTEN", "127.0.0.1:50051")])));
    assert_eq!(found, ["server.http_listen"]);
}

#[test]
fn no_two_listeners_may_have_the_same_address() {
    let given = environment(&[
        ("SOUK__SERVER__HTTP_LISTEN", "127.0.0.1:50051"),
        ("SOUK__SERVER__ADMIN_LISTEN", "127.0.0.1:50051"),
    ]);
    let said = load(None, &given).unwrap_err().to_string();
    assert!(said.contains("server.http_listen: 127.0.0.1:50051 is server.listen too"), "{said}");
    assert!(said.contains("server.admin_listen: 127.0.0.1:50051 is server.listen too"), "{said}");
    let any = ["LISTEN", "HTTP_LISTEN", "ADMIN_LISTEN"].map(|name| format!("SOUK__SERVER__{name}"));
    let any = any.each_ref().map(|name| (name.as_str(), "127.0.0.1:0"));
    assert!(load(None, &environment(&any)).is_ok(), "the system chooses three");
}

#[test]
fn a_collector_is_reached_by_a_url() {
    for wrong in ["localhost:4317", "ftp://collector", "http://", "a b"] {
        let found = keys(load(None, &environment(&[("SOUK__TELEMETRY__OTLP_ENDPOINT", wrong)])));
        assert_eq!(found, ["telemetry.otlp_endpoint"], "{wrong}");
    }
    for right in ["", "http://127.0.0.1:4317", "https://collector.example/"] {
        assert!(load(None, &environment(&[("SOUK__TELEMETRY__OTLP_ENDPOINT", right)])).is_ok(), "{right}");
    }
}

#[test]
fn a_share_is_from_0_to_1() {
    for wrong in ["-0.1", "1.01", "nan", "inf"] {
        let found = keys(load(None, &environment(&[("SOUK__TELEMETRY__SAMPLE_RATIO", wrong)])));
        assert_eq!(found, ["telemetry.sample_ratio"], "{wrong}");
    }
    for (right, ratio) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25)] {
        let settings = load(None, &environment(&[("SOUK__TELEMETRY__SAMPLE_RATIO", right)])).unwrap();
        assert_eq!(settings.telemetry.sample_ratio, ratio);
    }
}

#[test]
fn trusted_keys_are_a_list_in_the_file_and_have_commas_in_the_environment() {
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let held = file(&format!("untrusted comment: minisign public key\n{KEY}\n"));
    let path = held.to_str().unwrap();
    let listed = file(&format!("[models]\ntrusted_keys = [{KEY:?}, {path:?}]\n"));
    let settings = load(Some(&listed), &Environment::default()).unwrap();
    let both = format!("{KEY}, {path},");
    let given = [("SOUK__MODELS__TRUSTED_KEYS", both.as_str()), ("SOUK__MODELS__REQUIRE_SIGNATURE", "true")];
    let other = load(None, &environment(&given)).unwrap();
    assert_eq!(settings.models.trusted_keys, other.models.trusted_keys);
    assert_eq!(other.models.trusted_keys.0, [KEY, path]);
    assert_eq!(other.models.trust().unwrap().to_string(), "one of the trusted keys E7620F1842B4E81F, E7620F1842B4E81F");
}

#[test]
fn a_signature_can_not_be_required_of_nobody_nor_of_what_is_no_key() {
    let given = environment(&[("SOUK__MODELS__REQUIRE_SIGNATURE", "true")]);
    let said = load(None, &given).unwrap_err().to_string();
    assert!(said.contains("models.require_signature: is true, wanted a key in models.trusted_keys"), "{said}");
    let said = load(None, &environment(&[("SOUK__MODELS__TRUSTED_KEYS", "no/such.pub")])).unwrap_err().to_string();
    assert!(said.contains("models.trusted_keys: \"no/such.pub\" is neither a public key"), "{said}");
}

#[test]
fn the_user_is_known_by_either_variable() {
    assert_eq!(environment(&[("LOGNAME", "bea"), ("USER", "anna")]).user(), Some("anna"));
    assert_eq!(environment(&[("USER", "anna"), ("LOGNAME", "bea")]).user(), Some("anna"));
    assert_eq!(environment(&[("USER", ""), ("LOGNAME", "bea")]).user(), Some("bea"));
    assert_eq!(environment(&[("PATH", "y")]).user(), None);
}

#[test]
fn a_token_is_read_and_never_printed() {
    let given = environment(&[("SOUK_TOKEN", "seven\n"), ("SOUK__BATCH__MAX_ROWS", "3")]);
    assert_eq!(given.token(), Some("seven"));
    assert!(!format!("{given:?}").contains("seven"), "{given:?}");
    assert_eq!(load(None, &given).unwrap().batch.max_rows.get(), 3);
    assert_eq!(environment(&[("SOUK_TOKEN", "")]).token(), None);
}

#[test]
fn other_variables_are_left_alone() {
    assert_eq!(load(None, &environment(&[("SOUK_DATA", "x"), ("PATH", "y")])).unwrap(), Settings::default());
}

#[test]
fn a_missing_file_is_named() {
    let said = load(Some(Path::new("nowhere.toml")), &Environment::default()).unwrap_err().to_string();
    assert!(said.contains("nowhere.toml"), "{said}");
}
