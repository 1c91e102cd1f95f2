//! Keys and signatures of minisign 0.11 are in `tests/fixtures/trust`; those of here are
//! made anew for each test.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trust").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

fn trust_in_the_tool() -> Trust {
    Trust::in_keys(vec![fixture("tool.pub").to_str().unwrap().parse().unwrap()]).required()
}

/// A new key, and its public one.
fn key(folder: &Path, password: Option<&str>) -> (SecretKey, PublicKey) {
    let files = KeyFiles::at(&folder.join("souk.key"));
    let public = files.generate(password.map(str::to_owned)).unwrap();
    let text = fs::read_to_string(&files.secret).unwrap();
    (SecretKey::unlock(text, password.map(str::to_owned)).unwrap(), public.parse().unwrap())
}

#[test]
fn both_kinds_of_signatures_that_minisign_makes_count() {
    for (signature, comment) in
        [("message.txt.minisig", "by the tool"), ("message.txt.legacy.minisig", "without a hash")]
    {
        let signed = trust_in_the_tool().verify(&bytes("message.txt"), Some(&bytes(signature))).unwrap().unwrap();
        assert_eq!((signed.key.to_string().as_str(), signed.comment.as_str()), ("B9CBEAEBA36321BF", comment));
    }
}

#[test]
fn other_bytes_another_comment_or_another_key_do_not_count() {
    let (trust, message) = (trust_in_the_tool(), bytes("message.txt"));
    let said = |bytes: &[u8], signature: &[u8]| trust.verify(bytes, Some(signature)).unwrap_err().to_string();
    let signature = bytes("message.txt.minisig");
    assert_eq!(
        said(b"what was not signed\n", &signature),
        "says that it is by key B9CBEAEBA36321BF, which did not sign these bytes"
    );
    let commented = String::from_utf8(signature.clone()).unwrap().replace("by the tool", "by the fool");
    assert!(said(&message, commented.as_bytes()).contains("did not sign"));
    let folder = tempfile::tempdir().unwrap();
    let (other, public) = key(folder.path(), None);
    let by_another = other.sign(&message, "").unwrap();
    assert_eq!(
        said(&message, by_another.as_bytes()),
        format!("is by key {}, wanted one by the trusted key B9CBEAEBA36321BF", public.id())
    );
    for text in [&b""[..], b"a poem", b"one\ntwo\nthree\nfour\n", b"\xff\xfe"] {
        assert_eq!(said(&message, text), "is no signature as minisign writes it");
    }
}

#[test]
fn a_signature_is_looked_at_only_where_a_key_is_trusted_and_missed_only_where_it_is_required() {
    let message = bytes("message.txt");
    assert_eq!(Trust::default().verify(&message, Some(b"a poem")), Ok(None));
    let keys = Trust { required: false, ..trust_in_the_tool() };
    assert_eq!(keys.verify(&message, None), Ok(None));
    assert_eq!(keys.verify(&message, Some(b"a poem")), Err(Distrust::Unreadable));
    let said = trust_in_the_tool().verify(&message, None).unwrap_err().to_string();
    assert_eq!(said, "there is none, wanted one by the trusted key B9CBEAEBA36321BF");
}

#[test]
fn what_is_signed_here_counts_by_any_of_the_trusted_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public) = key(folder.path(), None);
    let signature = secret.sign(b"bytes", "model:gmv\tversion:1").unwrap();
    assert_eq!(secret.id(), Some(public.id()));
    let tool: PublicKey = fixture("tool.pub").to_str().unwrap().parse().unwrap();
    let signed = Trust::in_keys(vec![tool, public]).verify(b"bytes", Some(signature.as_bytes())).unwrap().unwrap();
    assert_eq!(signed.comment, "model:gmv\tversion:1");
}

#[test]
fn a_locked_key_needs_its_password_and_the_files_are_for_whom_they_are_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_, public) = key(folder.path(), Some("open sesame"));
    let files = KeyFiles::at(&folder.path().join("souk.key"));
    let text = fs::read_to_string(&files.secret).unwrap();
    assert!(is_locked(&text) && !is_locked("a poem"));
    let refused = SecretKey::unlock(text.clone(), Some("open barley".into())).err().unwrap().to_string();
    assert!(refused.contains("Wrong password"), "{refused}");
    assert!(SecretKey::unlock(text, None).is_err());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&files.secret), mode(&files.public) & 0o022), (0o600, 0));
    assert_eq!(files.public.to_str().unwrap().parse::<PublicKey>().unwrap(), public);
}

#[test]
fn a_key_without_a_checksum_signs_and_a_damaged_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_, public) = key(folder.path(), None);
    let text = fs::read_to_string(folder.path().join("souk.key")).unwrap();
    let line = text.lines().nth(1).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = STANDARD.decode(line).unwrap();
        change(&mut bytes);
        let text = format!("untrusted comment: \n{}\n", STANDARD.encode(bytes));
        SecretKey::unlock(text, None).and_then(|key| key.sign(b"bytes", "comment"))
    };
    let without = |bytes: &mut Vec<u8>| bytes[126..].fill(0);
    let signature = changed(&without).unwrap();
    assert!(Trust::in_keys(vec![public]).verify(b"bytes", Some(signature.as_bytes())).is_ok());
    for at in [62, 100, 130] {
        assert!(changed(&|bytes| bytes[at] ^= 1).is_err(), "{at}");
    }
    assert!(
        changed(&|bytes| {
            without(bytes);
            bytes[62] ^= 1
        })
        .is_err()
    );
    assert!(changed(&|bytes| bytes.truncate(100)).is_err());
}

#[test]
fn no_key_is_overwritten_and_no_half_of_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let files = KeyFiles::at(&folder.path().join("souk.key"));
    fs::write(&files.public, "somebody's").unwrap();
    let refused = files.generate(None).unwrap_err().to_string();
    assert!(refused.ends_with("souk.pub is there already: a key is never overwritten"), "{refused}");
    assert!(!files.secret.exists());
    let nowhere = KeyFiles { public: folder.path().join("no/such.pub"), ..files };
    assert!(nowhere.generate(None).is_err() && !nowhere.secret.exists());
}

#[test]
fn what_is_no_public_key_says_what_was_wanted() {
    let said = |text: &str| text.parse::<PublicKey>().unwrap_err().to_string();
    assert!(
        said("no/such.pub").contains("is neither a public key, which has 56 characters and begins with RW, nor a file")
    );
    assert!(said(&format!("RW{}", "?".repeat(54))).contains("holds no public key"));
    assert!(said(fixture("message.txt").to_str().unwrap()).contains("holds no public key"));
    assert!(said(fixture("").to_str().unwrap()).contains("is no regular file"));
}

proptest! {
    #[test]
    fn no_signature_that_was_changed_ends_in_a_panic_or_counts(at in 0_usize..273, to: u8) {
        let mut signature = bytes("message.txt.minisig");
        let first_line = signature.iter().position(|byte| *byte == b'\n').unwrap();
        let was = std::mem::replace(&mut signature[at], to);
        let verdict = trust_in_the_tool().verify(&bytes("message.txt"), Some(&signature));
        // The first line is a comment that nobody signed.
        prop_assert!(verdict.is_err() || to == was || at < first_line || b"\r\n".contains(&to), "{verdict:?}");
    }

    #[test]
    fn no_bytes_are_a_signature_or_a_key_that_ends_in_a_panic(text in any::<Vec<u8>>(), line in "[A-Za-z0-9+/=]{0,60}") {
        prop_assert!(trust_in_the_tool().verify(b"", Some(&text)).is_err());
        let lines = format!("untrusted comment: \n{line}\ntrusted comment: \n{line}{line}\n");
        prop_assert!(trust_in_the_tool().verify(b"", Some(lines.as_bytes())).is_err());
        let _any = format!("RW{line}").parse::<PublicKey>();
    }
}
