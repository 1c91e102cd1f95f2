//! The shipped models, and copies of them to bend.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use souk::model::VersionFolder;

/// The models of this checkout.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// The newest shipped version of a model: the one that answers.
pub(crate) fn newest(model: &str) -> VersionFolder {
    let versions = VersionFolder::of_model(&shipped().join(model)).unwrap();
    versions.into_iter().next().unwrap()
}

/// `manifest.json` of the newest shipped version.
pub(crate) fn manifest(model: &str) -> Value {
    serde_json::from_slice(&newest(model).manifest().unwrap()).unwrap()
}

/// A copy of a version, right until it is bent.
pub(crate) struct Copy {
    pub(crate) path: PathBuf,
}

impl Copy {
    /// The newest shipped version of `model` as `<root>/<model>/<number>`.
    pub(crate) fn new(model: &str, root: &Path, number: u64) -> Self {
        Self::of(&newest(model), root, number)
    }

    /// The tiny DeepFM of the engine of the same name as `<root>/merchant_gmv/<number>`.
    pub(crate) fn deepfm(root: &Path, number: u64) -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deepfm/merchant_gmv/1");
        Self::of(&VersionFolder::at(&fixture).unwrap(), root, number)
    }

    fn of(version: &VersionFolder, root: &Path, number: u64) -> Self {
        let path = root.join(&version.model).join(number.to_string());
        fs::create_dir_all(&path).unwrap();
        for file in fs::read_dir(&version.path).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), path.join(file.file_name())).unwrap();
        }
        let copy = Self { path };
        copy.with_manifest(|manifest| manifest["version"] = number.into());
        copy
    }

    /// Changes the bytes of a file.
    pub(crate) fn with_file(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> &Self {
        let mut bytes = fs::read(self.path.join(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path.join(name), bytes).unwrap();
        self
    }

    /// Changes the manifest.
    pub(crate) fn with_manifest(&self, change: impl FnOnce(&mut Value)) -> &Self {
        self.with_file("manifest.json", |bytes| {
            let mut manifest = serde_json::from_slice(bytes).unwrap();
            change(&mut manifest);
            *bytes = serde_json::to_vec_pretty(&manifest).unwrap();
        })
    }

    /// Flips one bit in the middle of a file.
    pub(crate) fn flip(&self, name: &str) -> &Self {
        self.with_file(name, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        })
    }

    pub(crate) fn truncate(&self, name: &str, bytes: usize) -> &Self {
        self.with_file(name, |file| file.truncate(bytes))
    }

    pub(crate) fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.path.join(name)).unwrap();
        self
    }

    /// Writes the digest of the file as it is now into the manifest.
    pub(crate) fn correct_digest(&self, name: &str) -> &Self {
        let digest = digest(&fs::read(self.path.join(name)).unwrap());
        self.with_manifest(|manifest| manifest["files"][name] = digest.into())
    }

    /// Changes the golden rows, and the digest with them.
    pub(crate) fn with_golden(&self, change: impl FnOnce(&mut Vec<Value>)) -> &Self {
        self.with_file("golden.jsonl", |bytes| {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let mut lines = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
            change(&mut lines);
            *bytes = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        });
        self.correct_digest("golden.jsonl")
    }

    /// Makes it a version of another model, in name only.
    pub(crate) fn rename(self, root: &Path, model: &str) -> Self {
        let path = root.join(model).join(self.path.file_name().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(self.path, &path).unwrap();
        let renamed = Self { path };
        renamed.with_manifest(|manifest| manifest["model"] = model.into());
        renamed
    }

    /// Adds 1 to the third digit of the first output of the first golden row.
    pub(crate) fn bend_golden_output(&self) -> &Self {
        self.with_file("golden.jsonl", |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let (first, rest) = text.split_once('\n').unwrap();
            let mut line: Value = serde_json::from_str(first).unwrap();
            let output = line["outputs"].as_object_mut().unwrap().values_mut().next().unwrap();
            let value = output[0].as_f64().unwrap();
            let third_digit = 10_f64.powf(value.abs().log10().floor() - 2.0);
            output[0] = (value + third_digit).into();
            *bytes = format!("{line}\n{rest}").into_bytes();
        })
    }
}

/// sha256 in lower-case hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
