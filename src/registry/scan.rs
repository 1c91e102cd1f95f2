//! Finds the versions below a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::model::VersionFolder;

/// A model's folder and its versions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// The model's name: the folder's.
    pub name: String,
    /// At least one.
    pub versions: Vec<VersionFolder>,
}

/// A folder that can't be listed.
#[derive(Debug, Error)]
#[error("{path}: can't be listed: {source}")]
pub struct ScanError {
    path: PathBuf,
    source: io::Error,
}

/// The models below `root`, by name. A folder without a version, such as one of
/// training code, is no model; nor is one whose name begins with a dot.
///
/// # Errors
///
/// [`ScanError`] names the folder that can't be listed.
pub fn scan(root: &Path) -> Result<Vec<ModelFolder>, ScanError> {
    let failed = |path: &Path, source| ScanError { path: path.to_owned(), source };
    let mut models = Vec::new();
    for entry in fs::read_dir(root).map_err(|source| failed(root, source))? {
        let path = entry.map_err(|source| failed(root, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'));
        let Some(name) = name.filter(|_| path.is_dir()) else { continue };
        let versions = VersionFolder::of_model(&path).map_err(|source| failed(&path, source))?;
        if !versions.is_empty() {
            models.push(ModelFolder { name: name.to_owned(), versions });
        }
    }
    models.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(models)
}
