//! Who made a version: keys, signatures, and servers that trust some of them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Output,
};

use super::{
    check::of_version,
    common::{
        models::Copy,
        program::{souk, stderr, stdout},
        server::empty_root,
    },
};

/// A folder with a key that is not locked, by the name `souk`, and with one more.
fn keys() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["souk.key", "other.key"] {
        let made = souk(folder.path(), &["keygen", "--no-password", "--out", name]).output().unwrap();
        assert!(made.status.success(), "{}", stderr(&made));
    }
    let path = folder.path().to_owned();
    (folder, path)
}

fn sign(version: &Path, key: &Path) -> Output {
    souk(Path::new("."), &["sign", "--key"]).arg(key).arg(version).output().unwrap()
}

fn with_key(command: &str, folder: &Path, key: &Path) -> Output {
    souk(Path::new("."), &[command, "--public-key"]).arg(key).arg(folder).output().unwrap()
}

#[test]
fn a_key_is_for_its_owner_alone_and_is_never_overwritten() {
    let (_folder, keys) = keys();
    let secret = fs::metadata(keys.join("souk.key")).unwrap();
    assert_eq!(secret.permissions().mode() & 0o777, 0o600);
    let before = fs::read(keys.join("souk.key")).unwrap();
    let again = souk(&keys, &["keygen", "--no-password"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("souk.key is there already: a key is never overwritten"), "{}", stderr(&again));
    assert_eq!(fs::read(keys.join("souk.key")).unwrap(), before);
    let public = souk(&keys, &["keygen", "--no-password", "--out", "souk.pub"]).output().unwrap();
    assert_eq!(public.status.code(), Some(2), "{}", stderr(&public));
}

#[test]
fn the_password_comes_from_the_environment_or_a_file_and_is_never_printed() {
    const PASSWORD: &str = "open sesame";
    let (_folder, root) = empty_root();
    let copy = Copy::new("merchant_gmv", &root, 1);
    let made = souk(&root, &["keygen"]).env("SOUK_KEY_PASSWORD", PASSWORD).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    fs::write(root.join("right"), format!("{PASSWORD}\n")).unwrap();
    fs::write(root.join("wrong"), "open barley\n").unwrap();
    let sign = |arguments: &[&str]| {
        souk(&root, &["sign", "--key", "souk.key"]).arg(&copy.path).args(arguments).output().unwrap()
    };
    let signed = sign(&["--password-file", "right"]);
    assert!(signed.status.success(), "{}", stderr(&signed));
    let refused = sign(&["--password-file", "wrong"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("souk.key: Wrong password"), "{}", stderr(&refused));
    for output in [made, signed, refused] {
        assert!(!(stdout(&output) + &stderr(&output)).contains("open"), "{output:?}");
    }
}

#[test]
fn what_was_signed_verifies_and_every_change_of_it_is_named() {
    let ((_keys, keys), (_folder, root)) = (keys(), empty_root());
    let copy = Copy::new("merchant_gmv", &root, 1);
    let verify = |key: &str| {
        let output = with_key("verify", &root, &keys.join(key));
        (output.status.code(), of_version(&output, "merchant_gmv version 1"))
    };
    assert!(verify("souk.pub").1.contains("signature: manifest.json.minisig there is none, wanted one by"));
    let signed = sign(&copy.path, &keys.join("souk.key"));
    assert_eq!(stdout(&signed).trim(), copy.path.join("manifest.json.minisig").display().to_string());
    let (code, said) = verify("souk.pub");
    assert!(code == Some(0) && said.contains("model:merchant_gmv\\tversion:1"), "{said}");
    assert!(verify("other.pub").1.contains("wanted one by the trusted key"));

    copy.flip("model.pt").with_manifest(|manifest| manifest["description"] = "another".into());
    let (code, said) = verify("souk.pub");
    assert_eq!(code, Some(1));
    for text in ["which did not sign these bytes", "model.pt: sha256 is", "2 problems"] {
        assert!(said.contains(text), "no {text:?} in:\n{said}");
    }
}

#[test]
fn a_version_that_is_not_whole_is_not_signed() {
    let ((_keys, keys), (_folder, root)) = (keys(), empty_root());
    let [broken, moved] = [1, 2].map(|number| Copy::new("merchant_gmv", &root, number));
    broken.flip("MODEL_CARD.md");
    moved.with_manifest(|manifest| manifest["version"] = 9.into());
    Copy::new("merchant_gmv", &root, 3);
    let output = sign(&root, &keys.join("souk.key"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("merchant_gmv/3/manifest.json.minisig"), "{}", stdout(&output));
    for text in ["MODEL_CARD.md: sha256 is", "version is 9, the folder says 2"] {
        assert!(stderr(&output).contains(text), "no {text:?} in:\n{}", stderr(&output));
    }
    assert!(!broken.path.join("manifest.json.minisig").exists() && !moved.path.join("manifest.json.minisig").exists());
}

#[test]
fn a_check_with_a_key_loads_nothing_that_nobody_signed() {
    let ((_keys, keys), (_folder, root)) = (keys(), empty_root());
    let copy = Copy::new("merchant_gmv", &root, 1);
    let said = |key: &str| of_version(&with_key("check", &root, &keys.join(key)), "merchant_gmv version 1");
    sign(&copy.path, &keys.join("other.key"));
    let refused = said("souk.pub");
    assert!(refused.contains("signature: manifest.json.minisig is by key"), "{refused}");
    assert!(refused.contains("not compared, since nobody who is trusted vouches for the model's code"), "{refused}");
    if cfg!(feature = "torch") {
        assert!(said("other.pub").starts_with("ok ") && said("other.pub").contains(", signed by "));
    }
}

#[cfg(feature = "torch")]
mod serving {
    use std::fs;

    use souk::api::proto::v1::VersionState;

    use super::{
        super::common::lifecycle::{GMV, answers, launch, reaches},
        Copy, empty_root, keys, sign,
    };

    #[tokio::test]
    async fn a_server_takes_what_a_trusted_key_signed_and_looks_again_once_that_is_so() {
        let ((_keys, keys), (_folder, root)) = (keys(), empty_root());
        let [one, two] = [1, 2].map(|number| Copy::new(GMV, &root, number));
        sign(&one.path, &keys.join("souk.key"));
        sign(&two.path, &keys.join("other.key"));
        let public = fs::read_to_string(keys.join("souk.pub")).unwrap();
        let server = launch(&root)
            .set("models.require_signature", true)
            .set("models.trusted_keys", public.lines().nth(1).unwrap())
            .serving()
            .await;
        let rejected = reaches(&server, 2, VersionState::Rejected).await;
        assert!(rejected.problems[0].starts_with("signature: manifest.json.minisig is by key"), "{rejected:?}");
        answers(&server, 1).await;
        let (_, metrics) = server.get("/metrics").await;
        let counted = r#"souk_model_load_failures_total{model="merchant_gmv",reason="signature"} 1"#;
        assert!(metrics.contains(counted), "{metrics}");
        assert!(server.log().contains(", signed by "), "{}", server.log());

        sign(&two.path, &keys.join("souk.key"));
        answers(&server, 2).await;
    }

    #[tokio::test]
    async fn where_none_is_required_only_a_wrong_signature_keeps_a_version_out() {
        let ((_keys, keys), (_folder, root)) = (keys(), empty_root());
        let [signed, unsigned, tampered] = [1, 2, 3].map(|number| Copy::new(GMV, &root, number));
        sign(&signed.path, &keys.join("souk.key"));
        sign(&tampered.path, &keys.join("souk.key"));
        tampered.with_manifest(|manifest| manifest["description"] = "another".into());
        let server = launch(&root).set("models.trusted_keys", keys.join("souk.pub").display()).serving().await;
        let rejected = reaches(&server, 3, VersionState::Rejected).await;
        assert!(rejected.problems[0].contains("which did not sign these bytes"), "{rejected:?}");
        answers(&server, 2).await;
        assert!(!unsigned.path.join("manifest.json.minisig").exists());
    }
}
