//! From the bytes of `manifest.json` to a checked [`Manifest`], or to everything
//! that is wrong with it.

use serde_json::Value;
use thiserror::Error;

use super::Manifest;
use super::explain::{Fault, explain};

/// Everything that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the manifest has {} problem(s): {}", problems.len(), problems.join("; "))]
pub struct ManifestError {
    /// One sentence for each: the key's path, what was found and what was wanted.
    pub problems: Vec<String>,
}

/// The JSON Schema of a manifest: its shape, without what only
/// [`Manifest::parse`] can check, such as names that must match.
pub fn json_schema() -> Value {
    schemars::schema_for!(Manifest).to_value()
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] with all problems at once: every unknown key, every
    /// missing key and every value of the wrong type; and, where nothing but
    /// unknown keys is wrong with the shape, everything that [`Manifest::check`] finds.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let problems = match serde_json::from_slice::<Self>(bytes) {
            Ok(manifest) => match manifest.check() {
                problems if problems.is_empty() => return Ok(manifest),
                problems => problems,
            },
            Err(error) => problems_of(bytes, &error),
        };
        Err(ManifestError { problems })
    }
}

/// serde stops at the first error, with a line instead of a path. It alone
/// decides what is refused; the walk along the schema finds the rest to say.
fn problems_of(bytes: &[u8], error: &serde_json::Error) -> Vec<String> {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        return vec![format!("not JSON: {error}")];
    };
    let faults = explain(&value, &json_schema());
    let mut problems: Vec<String> = faults.iter().map(Fault::to_string).collect();
    strip_unknown(&mut value, &faults);
    match serde_json::from_value::<Manifest>(value) {
        Ok(manifest) => problems.extend(manifest.check()),
        Err(error) if problems.is_empty() => problems.push(error.to_string()),
        Err(_explained) => {}
    }
    if problems.is_empty() {
        // Such as a key given twice, which a `Value` can't show.
        problems.push(error.to_string());
    }
    problems
}

fn strip_unknown(value: &mut Value, faults: &[Fault]) {
    for fault in faults {
        let Some(key) = &fault.unknown_key else { continue };
        if let Some(object) = value.pointer_mut(&fault.pointer).and_then(Value::as_object_mut) {
            object.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::fixture;

    fn problems(value: &Value) -> Vec<String> {
        match Manifest::parse(value.to_string().as_bytes()) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems,
        }
    }

    #[test]
    fn the_example_is_accepted() {
        assert_eq!(problems(&fixture::gmv()), Vec::<String>::new());
        assert_eq!(problems(&fixture::portrait()), Vec::<String>::new());
    }
}
