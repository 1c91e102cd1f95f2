//! From the bytes of `manifest.json` to a checked [`Manifest`], or to everything
//! that is wrong with it.

use serde_json::Value;
use thiserror::Error;

use super::Manifest;
use super::explain::{Fault, explain};

/// Everything that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("the manifest has {} problem(s): {}", problems.len(), problems.join("; "))]
pub struct ManifestError {
    /// One sentence for each: the key's path, what was found and what was wanted.
    pub problems: Vec<String>,
    /// What could be understood all the same, for finding out what else is wrong
    /// with the version. Never to be served.
    pub readable: Option<Box<Manifest>>,
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
        let value: Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(error) => return Err(ManifestError { problems: vec![format!("not JSON: {error}")], readable: None }),
        };
        let faults = explain(&value, &json_schema());
        let mut problems: Vec<String> = faults.iter().map(Fault::to_string).collect();
        let readable = match serde_json::from_slice::<Self>(bytes) {
            Ok(manifest) => Some(manifest),
            // Such as a key given twice, which a `Value` can't show, or a number
            // too large for its type.
            Err(error) if faults.is_empty() => {
                problems.push(error.to_string());
                None
            }
            Err(_explained) => without_unknown_keys(value, &faults),
        };
        problems.extend(readable.iter().flat_map(Self::check));
        match readable {
            Some(manifest) if problems.is_empty() => Ok(manifest),
            readable => Err(ManifestError { problems, readable: readable.map(Box::new) }),
        }
    }
}

/// The manifest in `value`, where unknown keys are all that is wrong with its shape.
fn without_unknown_keys(mut value: Value, faults: &[Fault]) -> Option<Manifest> {
    strip_unknown(&mut value, faults);
    serde_json::from_value(value).ok()
}

fn strip_unknown(value: &mut Value, faults: &[Fault]) {
    for fault in faults {
        let Some(key) = &fault.unknown_key else { continue };
        if let Some(object) = value.pointer_mut(&fault.pointer).and_then(Value::as_object_mut) {
            object.remove(key);
        }
    }
}
