//! With which settings a server starts, and who is warned.

use super::*;

/// What a server says that does not start with these settings.
fn refused(settings: &[(&str, String)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    let any =
        ["LISTEN", "HTTP_LISTEN", "ADMIN_LISTEN"].map(|key| (format!("SOUK__SERVER__{key}"), "127.0.0.1:0".to_owned()));
    let own = settings.iter().map(|(key, value)| (format!("SOUK__{key}"), value.clone()));
    let output = souk(folder.path(), &["serve"]).envs(any).envs(own).timeout(PATIENCE).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn orders_do_not_come_from_other_machines_unless_it_is_known_from_whom() {
    let folder = secrets();
    let everywhere = || ("SERVER__ADMIN_LISTEN", "0.0.0.0:0".to_owned());
    let (code, said) = refused(&[everywhere()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("server.admin_listen: 0.0.0.0:0 can be reached") && said.contains("wanted auth.file"),
        "{said}"
    );
    write(
        folder.path(),
        &identities().replace("\"publish\"", "\"score\"").replace("\"score\", \"observe\", \"score\"", "\"score\""),
    );
    let file = ("AUTH__FILE", folder.path().join("identities.toml").display().to_string());
    let (code, said) = refused(&[everywhere(), file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("server.admin_listen = 0.0.0.0:0") && said.contains("the role publish"), "{said}");
}

#[tokio::test]
async fn orders_come_from_other_machines_where_it_is_known_from_whom() {
    let folder = secrets();
    let server = launch(&folder).set("server.admin_listen", "0.0.0.0:0").listening().await;
    assert_eq!(server.admin.ip().to_string(), "0.0.0.0");
}

#[tokio::test]
async fn tokens_that_travel_in_plain_beyond_the_machine_are_warned_of_whatever_the_port() {
    const WARNING: &str = "tokens travel in plain";
    let folder = secrets();
    // It would be told before the port is.
    assert!(!launch(&folder).listening().await.log().contains(WARNING));
    for port in ["server.listen", "server.http_listen", "server.admin_listen"] {
        launch(&folder).set(port, "0.0.0.0:0").listening().await.logs(WARNING).await;
    }
}

#[test]
fn a_file_of_identities_that_can_not_be_used_stops_the_start() {
    let folder = secrets();
    write(folder.path(), "[[identity]]\nname = \"x\"\nroles = [\"admin\"]\n");
    let file = ("AUTH__FILE", folder.path().join("identities.toml").display().to_string());
    let (code, said) = refused(&[file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("auth.file = ") && said.contains("line 3: unknown variant `admin`"), "{said}");
}
