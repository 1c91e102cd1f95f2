use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::error::Shortage;

const CHECKOUT: &str = r#"
[[identity]]
name = "checkout"
token_file = "checkout"
roles = ["score"]
models = ["merchant_gmv"]
rows_per_second = 100
"#;

const ANNA: &str = r#"
[[identity]]
name = "anna"
certificate = ["anna@souk", "spiffe://souk/anna"]
roles = ["publish", "observe"]
expires = 2099-01-01T00:00:00Z
"#;

struct Folder(TempDir);

impl Folder {
    fn new(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.0.path().join("checkout"), "a token of checkout\n").unwrap();
        folder.write(text);
        folder
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("identities.toml")
    }

    fn read(&self) -> Result<Known, FileError> {
        Reading::of(&self.path()).known(None)
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn somebody_is_known_by_a_token_or_by_any_name_of_a_certificate() {
    let known = Folder::new(&format!("{CHECKOUT}{ANNA}")).read().unwrap();
    assert_eq!(known.who(Shown::Token("a token of checkout")).unwrap().terms.described.name, "checkout");
    for shown in [&["anna@souk"][..], &["x", "spiffe://souk/anna"]] {
        assert_eq!(known.who(Shown::Certificate(&names(shown))).unwrap().terms.described.name, "anna");
    }
    for unknown in ["", "a token of checkout ", "anna@souk"] {
        let refused = known.who(Shown::Token(unknown)).unwrap_err();
        assert!(matches!(refused, ScoreError::NotIdentified { .. }), "{refused:?}");
    }
    assert!(known.who(Shown::Certificate(&names(&["anna"]))).is_err());
    assert!(known.has_any(Role::Publish) && !Folder::new(CHECKOUT).read().unwrap().has_any(Role::Publish));
}

#[test]
fn roles_and_models_are_what_the_file_says() {
    let known = Folder::new(&format!("{CHECKOUT}{ANNA}")).read().unwrap();
    let checkout = known.who(Shown::Token("a token of checkout")).unwrap();
    checkout.has_one_of(&[Role::Publish, Role::Score]).unwrap();
    let refused = checkout.has_one_of(&[Role::Observe, Role::Publish]).unwrap_err().to_string();
    assert_eq!(refused, "checkout: has the roles score, wanted observe or publish");
    checkout.may_use("merchant_gmv").unwrap();
    assert!(checkout.may_use("user_portrait").is_err() && checkout.may_use_all().is_err());
    let anna = known.who(Shown::Certificate(&names(&["anna@souk"]))).unwrap();
    anna.may_use("user_portrait").unwrap();
    anna.may_use_all().unwrap();
}

#[test]
fn nobody_is_refused_where_nobody_has_to_say_who_he_is() {
    let caller = Caller::default();
    caller.may_use("anything").unwrap();
    assert!(caller.sees("anything") && caller.fare("anything", usize::MAX, || None).is_none());
}

#[test]
fn an_expired_identity_is_nobody() {
    let known = Folder::new(&ANNA.replace("2099", "2020")).read().unwrap();
    let refused = known.who(Shown::Certificate(&names(&["anna@souk"]))).unwrap_err().to_string();
    assert!(refused.contains("\"anna\" expired at 2020-01-01T00:00:00Z"), "{refused}");
}

#[test]
fn who_asks_by_a_certificate_is_nobody_after_its_end() {
    let caller = |until: &str| Caller { until: Some(until.parse().unwrap()), ..Caller::default() };
    caller("2999-01-01T00:00:00Z").may_use("anything").unwrap();
    let past = caller("2020-01-01T00:00:00Z");
    for refused in [past.holds(), past.may_use("anything")] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("the certificate expired at 2020-01-01T00:00:00Z"), "{refused}");
    }
}

#[test]
fn who_has_no_rows_left_is_told_when_to_come_again() {
    let known = Folder::new(CHECKOUT).read().unwrap();
    let identity = Some(Arc::clone(known.who(Shown::Token("a token of checkout")).unwrap()));
    let caller = Caller { identity, ..Caller::default() };
    let take = |rows| {
        let fare = caller.fare("merchant_gmv", rows, || None).unwrap();
        fare.spend();
        fare.take()
    };
    take(100_000).unwrap();
    let Err(ScoreError::Overloaded { shortage, retry_after }) = take(1) else { panic!("rows were left") };
    assert!(retry_after > Duration::from_secs(900), "{retry_after:?}");
    assert_eq!(shortage, Shortage::Rate { rows: 1, limit: 100 });
}

#[test]
fn who_is_in_the_file_as_before_stays_and_others_end() {
    let folder = Folder::new(&format!("{CHECKOUT}{ANNA}"));
    let before = folder.read().unwrap();
    let shown = names(&["anna@souk"]);
    let (checkout, anna) = (
        Arc::clone(before.who(Shown::Token("a token of checkout")).unwrap()),
        Arc::clone(before.who(Shown::Certificate(&shown)).unwrap()),
    );
    folder.write(&format!("{CHECKOUT}{}", ANNA.replace("\"publish\", ", "")));
    let after = Reading::of(&folder.path()).known(Some(&before)).unwrap();
    before.give_way(&after);
    checkout.holds().unwrap();
    assert!(anna.holds().is_err());
    after.who(Shown::Certificate(&shown)).unwrap().has_one_of(&[Role::Observe]).unwrap();
    assert!(after.who(Shown::Certificate(&shown)).unwrap().has_one_of(&[Role::Publish]).is_err());
}

/// Who asked before the file became this, once it is read.
fn edited(caller: &Caller, folder: &Folder, known: &mut Known, text: &str) -> Result<(), ScoreError> {
    folder.write(text);
    let next = Reading::of(&folder.path()).known(Some(known)).unwrap();
    known.give_way(&next);
    *known = next;
    caller.may_use("merchant_gmv")
}

#[test]
fn who_is_still_known_by_what_he_showed_goes_on_by_what_the_file_says_now() {
    let folder = Folder::new(CHECKOUT);
    fs::write(folder.0.path().join("next"), "the next token of it").unwrap();
    let mut known = folder.read().unwrap();
    let identity = Some(Arc::clone(known.who(Shown::Token("a token of checkout")).unwrap()));
    let old = Caller { identity, ..Caller::default() };
    let limit = |caller: &Caller| caller.rate().unwrap().map(|rate| rate.rows_per_second());
    let rotated = CHECKOUT.replace("\"checkout\"\nroles", "[\"checkout\", \"next\"]\nroles");
    edited(&old, &folder, &mut known, &rotated).unwrap();
    let identity = Some(Arc::clone(known.who(Shown::Token("the next token of it")).unwrap()));
    let new = Caller { identity, ..Caller::default() };
    edited(&old, &folder, &mut known, &rotated.replace("100", "200")).unwrap();
    assert_eq!((limit(&old), limit(&new)), (Some(200), Some(200)));
    // More roles are as good, other models count.
    let other = rotated.replace("\"score\"", "\"score\", \"observe\"").replace("\"merchant_gmv\"", "\"user_portrait\"");
    let refused = edited(&old, &folder, &mut known, &other).unwrap_err();
    assert!(matches!(refused, ScoreError::NotPermitted { .. }), "{refused:?}");
    assert!(old.sees("user_portrait") && !old.sees("merchant_gmv"));
    edited(&old, &folder, &mut known, &rotated).unwrap();
    // The old token is taken out, and who showed it is out, while who shows the new one stays.
    let refused =
        edited(&old, &folder, &mut known, &CHECKOUT.replace("\"checkout\"\nroles", "\"next\"\nroles")).unwrap_err();
    assert!(matches!(refused, ScoreError::NotIdentified { .. }), "{refused:?}");
    new.may_use("merchant_gmv").unwrap();
    for (other, reason) in [
        (rotated.replace("\"score\"", "\"observe\""), "a role less"),
        (rotated.replace("name = \"checkout\"", "name = \"somebody else\""), "somebody else's by now"),
        (format!("{rotated}expires = 2020-01-01T00:00:00Z\n"), "expired"),
        (String::new(), "withdrawn"),
    ] {
        edited(&new, &folder, &mut known, &rotated).unwrap_or_default();
        let identity = Some(Arc::clone(known.who(Shown::Token("the next token of it")).unwrap()));
        let caller = Caller { identity, ..Caller::default() };
        let refused = edited(&caller, &folder, &mut known, &other).unwrap_err();
        assert!(matches!(refused, ScoreError::NotIdentified { .. }) && !caller.sees("x"), "{reason}: {refused:?}");
    }
}

#[test]
fn a_token_s_file_is_read_again_with_the_others() {
    let folder = Folder::new(CHECKOUT);
    let before = folder.read().unwrap();
    fs::write(folder.0.path().join("checkout"), "another token of it").unwrap();
    let after = Reading::of(&folder.path()).known(Some(&before)).unwrap();
    after.who(Shown::Token("another token of it")).unwrap();
    assert!(after.who(Shown::Token("a token of checkout")).is_err());
}

#[test]
fn everything_that_is_wrong_is_named_and_no_secret_is_repeated() {
    let wrong = format!(
        "{CHECKOUT}{}{}{}",
        CHECKOUT.replace("\"merchant_gmv\"", ""),
        ANNA.replace("certificate = [\"anna@souk\", \"spiffe://souk/anna\"]", "")
            .replace("2099-01-01T00:00:00Z", "\"soon\""),
        "[[identity]]\nname = \"short\"\ntoken_sha256 = \"a5ec2e7\"\ntoken_file = \"nowhere\"\nroles = []\n",
    );
    let said = Folder::new(&wrong).read().unwrap_err().to_string();
    for text in [
        "identity \"checkout\": models: is empty",
        "identity \"checkout\" is there twice",
        "identity \"checkout\": another one has the same token",
        "identity \"anna\": wanted token_sha256, token_file or certificate",
        "identity \"anna\": expires: \"soon\", wanted",
        "identity \"short\": token_sha256: wanted the 64 hexadecimal digits",
        "identity \"short\": token_file \"nowhere\": can't be read: No such file",
    ] {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
    assert!(!said.contains("a5ec2e7") && !said.contains("a token"), "{said}");
}

#[test]
fn a_line_that_can_not_be_understood_is_named_by_its_number_and_not_repeated() {
    for (wrong, text) in [
        ("[[identity]]\nname = \"x\"\ntoken = \"5ec2e7\"\nroles = []\n", "line 3: unknown field `token`"),
        (
            "[[identity]]\nname = \"x\"\nroles = [\"admin\"]\ntoken_sha256 = \"5ec2e7\"\n",
            "line 3: unknown variant `admin`",
        ),
        ("[[identity]]\nname = \"x\"\ntoken_sha256 = 5ec2e7z\n", "line 3"),
    ] {
        let said = Folder::new(wrong).read().unwrap_err().to_string();
        assert!(said.contains(text) && !said.contains("5ec2e7\""), "no {text:?} in {said}");
    }
    assert!(matches!(Reading::of(Path::new("nowhere.toml")).known(None), Err(FileError::Unreadable { .. })));
}
