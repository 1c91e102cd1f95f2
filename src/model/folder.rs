//! A version's folder: its files and their digests.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::manifest::Manifest;

/// `<root>/<model>/<version>/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFolder {
    /// The folder.
    pub path: PathBuf,
    /// The name of the folder above.
    pub model: String,
    /// The folder's own name.
    pub version: u64,
}

/// The files of a version, as far as they are what the manifest says.
pub(super) struct Files {
    /// Bytes of the files whose digest is right.
    pub(super) trusted: BTreeMap<String, Vec<u8>>,
    /// What is missing or differs.
    pub(super) problems: Vec<String>,
}

impl VersionFolder {
    /// The folder's place among models, where its name is a version's number:
    /// digits without a leading zero.
    pub fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let version: u64 = name.parse().ok().filter(|number| *number > 0)?;
        let model = path.parent()?.file_name()?.to_str()?.to_owned();
        (version.to_string() == name).then(|| Self { path: path.to_owned(), model, version })
    }

    /// The version folders of one model's folder, newest first.
    ///
    /// # Errors
    ///
    /// [`io::Error`] where the folder can't be listed.
    pub fn of_model(folder: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            // `is_dir` follows links: a version may be one.
            if path.is_dir() {
                found.extend(Self::at(&path));
            }
        }
        found.sort_by_key(|folder| std::cmp::Reverse(folder.version));
        Ok(found)
    }

    /// The bytes of `manifest.json`; without it the version is not yet there.
    ///
    /// # Errors
    ///
    /// [`io::Error`] of reading the file.
    pub fn manifest(&self) -> io::Result<Vec<u8>> {
        fs::read(self.path.join("manifest.json"))
    }

    /// Reads every file of the manifest once, so that what was checked is what
    /// is loaded.
    pub(super) fn files(&self, manifest: &Manifest) -> Files {
        let mut files = Files { trusted: BTreeMap::new(), problems: Vec::new() };
        for (name, wanted) in &manifest.files {
            match fs::read(self.path.join(name)) {
                Ok(bytes) => {
                    let found = digest(&bytes);
                    if found == *wanted {
                        files.trusted.insert(name.clone(), bytes);
                    } else {
                        files.problems.push(format!("{name}: sha256 is {found}, the manifest says {wanted}"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    files.problems.push(format!("{name}: the file is missing"));
                }
                Err(error) => files.problems.push(format!("{name}: can't be read: {error}")),
            }
        }
        files
    }
}

/// sha256 as 64 lower-case hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
