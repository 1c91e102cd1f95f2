//! A version's folder: its files and their digests.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    file::{self, FileFault, MOST_MANIFEST, MOST_MODEL, MOST_OTHER, MOST_SIGNATURE, digest},
    model_file::ModelFile,
};
use crate::manifest::{Engine, is_plain_name};

/// The file that says what the others are.
pub(super) const MANIFEST: &str = "manifest.json";

/// Who vouches for the manifest, and so for all that it holds the digests of.
pub(super) const SIGNATURE: &str = "manifest.json.minisig";

/// The rows that prove it.
pub(super) const GOLDEN: &str = "golden.jsonl";

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

/// What is needed of a version's files.
#[derive(Default)]
pub(super) struct Files {
    /// The model, only where its digest is right: it is code.
    pub(super) model: Option<ModelFile>,
    /// The golden rows, also where their digest is wrong: they are data, and say
    /// which of them was changed.
    pub(super) golden: Option<Vec<u8>>,
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

    /// The version folders of one model's folder, newest first. A link that leads
    /// nowhere is one of them: its examination says so.
    ///
    /// # Errors
    ///
    /// [`io::Error`] where the folder can't be listed.
    pub fn of_model(folder: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            // Follows links: a version may be one.
            if fs::metadata(&path).map_or(true, |seen| seen.is_dir()) {
                found.extend(Self::at(&path));
            }
        }
        found.sort_by_key(|folder| std::cmp::Reverse(folder.version));
        Ok(found)
    }

    /// Whether the manifest, which is written last, is not there: so the version
    /// is not there yet either.
    pub fn is_unfinished(&self) -> bool {
        let missing = |seen: io::Result<_>| matches!(seen, Err(error) if error.kind() == io::ErrorKind::NotFound);
        fs::metadata(&self.path).is_ok() && missing(fs::symlink_metadata(self.path.join(MANIFEST)))
    }

    /// The bytes of `manifest.json`.
    ///
    /// # Errors
    ///
    /// [`FileFault`] of the file, or of the folder.
    pub fn manifest(&self) -> Result<Vec<u8>, FileFault> {
        fs::metadata(&self.path).map_err(FileFault::Folder)?;
        file::read(&self.path.join(MANIFEST), MOST_MANIFEST)
    }

    /// The files by whose looks a change of the version is seen, the folder among them.
    pub fn telling(&self) -> impl Iterator<Item = PathBuf> {
        let models = [Engine::Torchscript, Engine::Deepfm].map(Engine::model_file);
        let names = [MANIFEST, SIGNATURE, GOLDEN].into_iter().chain(models);
        [self.path.clone()].into_iter().chain(names.map(|name| self.path.join(name)))
    }

    /// The bytes of `manifest.json.minisig`; none where nobody signed.
    ///
    /// # Errors
    ///
    /// [`FileFault`] of a file that is there.
    pub fn signature(&self) -> Result<Option<Vec<u8>>, FileFault> {
        match file::read(&self.path.join(SIGNATURE), MOST_SIGNATURE) {
            Err(FileFault::Missing) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Reads every one of these files once, so that what was checked is what is
    /// loaded. The one named `model` holds the trained model.
    pub(super) fn files<'a>(&self, model: &str, wanted: impl IntoIterator<Item = (&'a str, &'a str)>) -> Files {
        let mut files = Files::default();
        // Another folder's file is a problem of the manifest.
        for (name, wanted) in wanted.into_iter().filter(|(name, _)| is_plain_name(name)) {
            let file = match self.file(name, name == model) {
                Ok(file) => file,
                Err(fault) => {
                    files.problems.push(format!("{name}: {fault}"));
                    continue;
                }
            };
            let problem = differs(name, &file.digest, wanted);
            let is_right = problem.is_none();
            files.problems.extend(problem);
            match file.kept {
                Kept::Model(model) => files.model = Some(model).filter(|_| is_right),
                Kept::Golden(rows) => files.golden = Some(rows),
                Kept::Nothing => {}
            }
        }
        files
    }

    /// What is wrong with these files, of which nothing is kept.
    pub(super) fn differences<'a>(
        &self,
        model: &str,
        wanted: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Vec<String> {
        let problem = |(name, wanted): (&str, &str)| {
            let most = if name == model { MOST_MODEL } else { MOST_OTHER };
            match file::read_digest(&self.path.join(name), most) {
                Ok(found) => differs(name, &found, wanted),
                Err(fault) => Some(format!("{name}: {fault}")),
            }
        };
        wanted.into_iter().filter(|(name, _)| is_plain_name(name)).filter_map(problem).collect()
    }

    /// Keeps only what is needed.
    fn file(&self, name: &str, is_model: bool) -> Result<Hashed, FileFault> {
        let path = self.path.join(name);
        match name {
            _ if is_model => {
                let (model, digest) = ModelFile::copied(&path, MOST_MODEL)?;
                Ok(Hashed { digest, kept: Kept::Model(model) })
            }
            GOLDEN => {
                let rows = file::read(&path, MOST_OTHER)?;
                Ok(Hashed { digest: digest(&rows), kept: Kept::Golden(rows) })
            }
            _ => Ok(Hashed { digest: file::read_digest(&path, MOST_OTHER)?, kept: Kept::Nothing }),
        }
    }
}

fn differs(name: &str, found: &str, wanted: &str) -> Option<String> {
    (found != wanted).then(|| format!("{name}: sha256 is {found}, the manifest says {wanted}"))
}

struct Hashed {
    digest: String,
    kept: Kept,
}

enum Kept {
    Model(ModelFile),
    Golden(Vec<u8>),
    Nothing,
}
