//! Tokens on the command line.

use super::*;

#[tokio::test]
async fn the_command_line_shows_a_token_from_a_file_or_the_environment() {
    let folder = secrets();
    let server = launch(&folder).listening().await;
    let url = server.admin_url();
    let list = || souk(folder.path(), &["models", "list", "--addr", &url]);
    let refused = list().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("wanted `authorization: Bearer TOKEN`"), "{}", stderr(&refused));
    let by_file = list().args(["--token-file", "observer.token"]).output().unwrap();
    assert_eq!(by_file.status.code(), Some(0), "{}", stderr(&by_file));
    let by_variable = list().env("SOUK_TOKEN", "a token of observer").output().unwrap();
    assert_eq!(by_variable.status.code(), Some(0), "{}", stderr(&by_variable));
    let wrong = list().env("SOUK_TOKEN", "a token of nobody").output().unwrap();
    assert!(stderr(&wrong).contains("nobody is known by this token"), "{}", stderr(&wrong));
    assert!(!stderr(&wrong).contains("a token of nobody"), "{}", stderr(&wrong));
}

#[test]
fn a_new_token_is_printed_with_its_hash_or_written_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let token = || stdout(&souk(folder.path(), &["token"]).output().unwrap());
    let (one, other) = (token(), token());
    assert!(one.starts_with("token = \"souk_") && one.contains("\ntoken_sha256 = \"") && one != other, "{one}");
    let written = souk(folder.path(), &["token", "--out", "a.token"]).output().unwrap();
    assert!(written.status.success() && !stdout(&written).contains("souk_"), "{}", stdout(&written));
    let file = folder.path().join("a.token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // What was there is not overwritten.
    let before = fs::read(&file).unwrap();
    assert_eq!(souk(folder.path(), &["token", "--out", "a.token"]).output().unwrap().status.code(), Some(1));
    assert_eq!(fs::read(&file).unwrap(), before);
}
