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
    /// At least one, or there are `problems`.
    pub versions: Vec<VersionFolder>,
    /// Why there may be versions that were not found.
    pub problems: Vec<String>,
}

/// A folder that can't be listed.
#[derive(Debug, Error)]
#[error("{path}: can't be listed")]
pub struct ScanError {
    path: PathBuf,
    source: io::Error,
}

/// The models below `root`, by name. A folder without a version, such as one of
/// training code, is no model; nor is one whose name begins with a dot. A folder
/// that can't be listed has a problem and takes no other from its users.
///
/// # Errors
///
/// [`ScanError`] where `root` itself can't be listed.
pub fn scan(root: &Path) -> Result<Vec<ModelFolder>, ScanError> {
    let failed = |source| ScanError { path: root.to_owned(), source };
    let mut models = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        models.extend(model(&entry.map_err(failed)?.path()));
    }
    models.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(models)
}

/// The model in `folder`, if that is one.
fn model(folder: &Path) -> Option<ModelFolder> {
    let written = folder.file_name()?;
    // A name that is not UTF-8 shows as near as it can be written.
    let name = written.to_string_lossy().into_owned();
    if name.starts_with('.') {
        return None;
    }
    let found = match fs::metadata(folder) {
        Ok(seen) if !seen.is_dir() => return None,
        Ok(_) => VersionFolder::of_model(folder),
        Err(error) => Err(error),
    };
    let place = folder.display();
    match found {
        Err(error) => Some(ModelFolder {
            name,
            versions: Vec::new(),
            problems: vec![format!("{place}: the model's folder can't be listed: {error}")],
        }),
        Ok(_) if written.to_str().is_none() => Some(ModelFolder {
            name,
            versions: Vec::new(),
            problems: vec![format!("{place}: the folder's name is not UTF-8, and so no model's")],
        }),
        Ok(versions) if versions.is_empty() => None,
        Ok(versions) => Some(ModelFolder { name, versions, problems: unreadable_names(folder) }),
    }
}

/// A version that can't be seen to be one must not be missed in silence.
fn unreadable_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let unreadable = entries.filter(|path| path.file_name().is_some_and(|name| name.to_str().is_none()));
    unreadable.map(|path| format!("{}: the name is not UTF-8, and so no version's", path.display())).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt as _, fs::symlink},
    };

    use super::*;

    /// Models of one version each, as `<model>/<version>`.
    fn root(folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        root
    }

    fn found(root: &Path) -> Vec<(String, Vec<u64>, usize)> {
        let models = scan(root).unwrap().into_iter();
        let numbers = |versions: &[VersionFolder]| versions.iter().map(|version| version.version).collect();
        models.map(|model| (model.name.clone(), numbers(&model.versions), model.problems.len())).collect()
    }

    #[test]
    fn what_holds_no_version_is_no_model() {
        let root = root(&["gmv/2", "gmv/10", "gmv/01", "gmv/v3", "training/tests", ".git/1"]);
        fs::write(root.path().join("README.md"), "").unwrap();
        assert_eq!(found(root.path()), [("gmv".to_owned(), vec![10, 2], 0)]);
    }

    #[test]
    fn a_model_that_can_not_be_listed_is_a_problem_and_the_others_are_found() {
        let root = root(&["gmv/1"]);
        symlink("nowhere", root.path().join("portraits")).unwrap();
        // Around in a circle: found by the system only when it is opened.
        symlink("ring", root.path().join("ring")).unwrap();
        let names = ["portraits", "ring"].map(|name| (name.to_owned(), vec![], 1));
        let [portraits, ring] = names;
        assert_eq!(found(root.path()), [("gmv".to_owned(), vec![1], 0), portraits, ring]);
    }

    #[test]
    fn a_version_that_links_to_nowhere_is_a_version() {
        let root = root(&["gmv/1"]);
        symlink("nowhere", root.path().join("gmv/2")).unwrap();
        fs::write(root.path().join("gmv/3"), "").unwrap();
        assert_eq!(found(root.path()), [("gmv".to_owned(), vec![2, 1], 0)]);
        let dangling = &scan(root.path()).unwrap()[0].versions[0];
        assert!(!dangling.is_unfinished(), "it would be passed over in silence");
        assert!(dangling.manifest().unwrap_err().to_string().starts_with("the version's folder can't be opened"));
    }

    #[test]
    fn names_that_are_not_utf_8_are_problems() {
        let root = root(&["gmv/1"]);
        let name = OsStr::from_bytes(b"caf\xe9");
        fs::create_dir(root.path().join("gmv").join(name)).unwrap();
        fs::create_dir_all(root.path().join(name).join("1")).unwrap();
        assert_eq!(found(root.path()), [("caf\u{fffd}".to_owned(), vec![], 1), ("gmv".to_owned(), vec![1], 1)]);
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        let root = root(&[]);
        let error = scan(&root.path().join("nothing")).unwrap_err().to_string();
        assert!(error.contains("nothing: can't be listed"), "{error}");
    }
}
