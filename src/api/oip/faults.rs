//! What is wrong with a request, by the tensor: where, what was found, what was wanted.

use crate::error::{ScoreError, shown};

/// A fault of a field of the request.
pub(super) fn fault(field: &str, description: impl Into<String>) -> ScoreError {
    ScoreError::BadField { field: field.to_owned(), description: description.into() }
}

/// A fault of an input; `part` is the field within it, e.g. `.shape`, or empty.
pub(super) fn of_input(name: &str, part: &str, description: impl Into<String>) -> ScoreError {
    ScoreError::BadField { field: format!("inputs[{:?}]{part}", shown(name)), description: description.into() }
}

/// The same of a requested output.
pub(super) fn of_output(name: &str, part: &str, description: impl Into<String>) -> ScoreError {
    ScoreError::BadField { field: format!("outputs[{:?}]{part}", shown(name)), description: description.into() }
}

/// Names, for a message.
pub(super) fn named<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    quoted.join(", ")
}
