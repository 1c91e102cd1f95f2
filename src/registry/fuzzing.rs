//! The policy file and the history. For fuzzing and unit tests alone.

#![allow(clippy::panic, reason = "a finding ends the program")]

use super::policy::{
    file::{parse, text},
    history::Change,
};

/// The policy file: what can be followed reads the same once it was written.
pub(crate) fn policy(bytes: &[u8]) {
    let read = parse(bytes);
    let again = text(&read.policies).map(|text| parse(text.as_bytes()));
    let Ok(again) = again else { panic!("{:?} can't be written", read.policies) };
    assert!(again.problems.is_empty(), "{:?}", again.problems);
    assert_eq!(again.policies, read.policies);
    for line in String::from_utf8_lossy(bytes).lines() {
        let _shown = serde_json::from_str(line).map(|change: Change| change.to_string());
    }
}
