//! What is fuzzed: everything that reads bytes which somebody else made, and what writes
//! replies. For `tests/fuzz` and unit tests alone.
//!
//! A target takes any bytes and comes back. Where there are two ways to read something, or
//! one to read and one to write, it holds one against the other.

mod seeds;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    api::{JsonForms, fuzzing as api},
    features::Encoder,
    fixture,
    manifest::{self, Architecture, Manifest},
    model::{RowReader as _, Version, fuzzing as model},
    registry::fuzzing as registry,
    trust::Trust,
};

/// What targets need, made once.
pub struct Fuzzing {
    forms: JsonForms,
    /// With every kind of feature.
    gmv: Version,
    portrait: Version,
    /// With every type of tensor.
    tensors: Arc<Version>,
    architecture: Architecture,
    trust: Trust,
}

/// One thing that is fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Takes any bytes; whatever is wrong is a panic.
    pub run: fn(&Fuzzing, &[u8]),
}

/// All targets.
pub const TARGETS: [Target; 18] = [
    Target { name: "merchant", run: |with, bytes| api::merchant(&with.forms, &with.gmv, bytes) },
    Target { name: "user", run: |with, bytes| api::user(&with.forms, &with.portrait, bytes) },
    Target { name: "gmv_request", run: |_, bytes| api::gmv_request(bytes) },
    Target { name: "gmv_reply", run: |_, bytes| api::gmv_reply(bytes) },
    Target { name: "portraits_request", run: |_, bytes| api::portraits_request(bytes) },
    Target { name: "portraits_reply", run: |_, bytes| api::portraits_reply(bytes) },
    Target { name: "infer", run: |with, bytes| api::infer(&with.tensors, bytes) },
    Target { name: "contents", run: |_, bytes| api::contents(bytes) },
    Target { name: "traffic", run: |_, bytes| api::traffic(bytes) },
    Target { name: "manifest", run: |with, bytes| model::manifest(&with.forms, bytes) },
    Target { name: "policy", run: |_, bytes| registry::policy(bytes) },
    Target { name: "golden", run: |with, bytes| model::golden(&with.forms, &with.gmv, bytes) },
    Target { name: "golden_tensors", run: |with, bytes| model::golden(&with.forms, &with.tensors, bytes) },
    Target { name: "torchscript", run: |_, bytes| model::torchscript(bytes) },
    Target { name: "source", run: |_, bytes| model::source(bytes) },
    Target { name: "arrays", run: |_, bytes| model::arrays(bytes) },
    Target { name: "weights", run: |with, bytes| model::weights(&with.architecture, bytes) },
    Target { name: "signature", run: signature },
];

/// Nobody signed this.
fn signature(with: &Fuzzing, bytes: &[u8]) {
    let verdict = with.trust.verify(b"signed by nobody", Some(bytes));
    assert!(verdict.is_err(), "{verdict:?}");
    let _key = crate::trust::PublicKey::of_text(&String::from_utf8_lossy(bytes));
}

/// The public half of a key that signs nothing any more.
const KEY: &str = include_str!("../../tests/fixtures/trust/tool.pub");

/// The architecture of the smallest file of weights.
const DEEPFM: &[u8] = include_bytes!("../../tests/fixtures/deepfm/merchant_gmv/1/manifest.json");

#[allow(clippy::expect_used, reason = "these files are in the repository")]
impl Fuzzing {
    /// Reads what the repository has.
    ///
    /// # Panics
    ///
    /// Where its own files can't be read.
    #[allow(clippy::new_without_default, reason = "it reads files")]
    pub fn new() -> Self {
        let forms = JsonForms::new().expect("the descriptors are sound");
        let parsed = |json: String| Manifest::parse(json.as_bytes()).expect("a manifest");
        let version = |manifest: Manifest| {
            let encoder = Encoder::new(&manifest, forms.fields(manifest.task)).expect("an encoder");
            fixture::of_manifest(manifest, encoder)
        };
        let architecture = Manifest::parse(DEEPFM).expect("a manifest").architecture.expect("an architecture");
        let key = KEY.lines().nth(1).and_then(|key| key.parse().ok()).expect("a key");
        Self {
            gmv: version(parsed(manifest::fixture::gmv().to_string())),
            portrait: version(parsed(manifest::fixture::portrait().to_string())),
            tensors: Arc::new(fixture::echo(1, &seeds::all_types(), 64)),
            architecture,
            trust: Trust::in_keys(vec![key]).required(),
            forms,
        }
    }

    /// What a target is begun with: what the repository has of its kind.
    pub fn seeds(&self, target: &str) -> Vec<Vec<u8>> {
        seeds::of(&self.forms, target)
    }
}
