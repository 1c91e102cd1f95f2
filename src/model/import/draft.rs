//! A version's folder in the making: where no server looks, until it is proved.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{
    super::{
        file::{self, MOST_MODEL, digest},
        folder::{GOLDEN, MANIFEST, VersionFolder},
    },
    Archive, Derived, TensorSpec,
};
use crate::manifest::{Arguments, Engine, FORMAT_VERSION, Manifest, Tolerance};

/// The file for people.
const CARD: &str = "MODEL_CARD.md";

/// Sizes of the batches of a warm-up.
const WARMUP_ROWS: [usize; 3] = [1, 8, 64];

/// Names of folders in the making begin so, which servers pass over.
const PREFIX: &str = ".import-";

/// After so long nobody works on one any more.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a version is to be.
#[derive(Debug, Clone)]
pub struct Wish<'w> {
    /// The model's name.
    pub model: &'w str,
    /// The version's number.
    pub version: u64,
    /// One sentence for people.
    pub description: Option<&'w str>,
    /// Most rows in one pass, where the module has a dimension of rows.
    pub max_batch_rows: usize,
    /// The release of the library that ran it.
    pub torch_version: &'w str,
    /// How the module is called.
    pub arguments: Arguments,
}

/// A whole version, in a hidden folder of the models' root; gone where it is dropped.
#[derive(Debug)]
pub struct Draft {
    folder: TempDir,
    /// Gone after the folder within it.
    _root: Made,
    model: String,
    version: u64,
}

/// The number of a model's next version below `root`; none behind the largest number.
///
/// # Errors
///
/// [`io::Error`] where the model's folder is there and can't be listed.
pub fn next_version(root: &Path, model: &str) -> io::Result<Option<u64>> {
    match VersionFolder::of_model(&root.join(model)) {
        Ok(versions) => Ok(versions.first().map_or(Some(1), |newest| newest.version.checked_add(1))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(1)),
        Err(error) => Err(error),
    }
}

impl Draft {
    /// Writes the folder.
    ///
    /// # Errors
    ///
    /// What is wrong with the wish, or why a file can't be written, for people.
    pub fn write(
        root: &Path,
        model_file: &Path,
        (wish, archive, derived): (&Wish<'_>, &Archive, &Derived),
    ) -> Result<Self, String> {
        let created_at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let failed = |error: io::Error| format!("{}: can't be written: {error}", root.display());
        let made = Made::all(root).map_err(failed)?;
        remove_stale(root);
        // As any folder: whoever serves it may be another user.
        let permissions = Permissions::from_mode(0o777);
        let folder =
            tempfile::Builder::new().prefix(PREFIX).permissions(permissions).tempdir_in(root).map_err(failed)?;
        let at = folder.path();
        let model = Engine::Torchscript.model_file();
        let mut files = Map::from_iter([(model.to_owned(), copied(model_file, &at.join(model))?.into())]);
        let golden: String = derived.golden.iter().map(|line| format!("{line}\n")).collect();
        for (name, text) in [(GOLDEN, golden), (CARD, card(wish, archive, derived, &created_at))] {
            fs::write(at.join(name), &text).map_err(failed)?;
            files.insert(name.to_owned(), digest(text.as_bytes()).into());
        }
        let manifest = manifest(wish, derived, (&created_at, files));
        let text = serde_json::to_string_pretty(&manifest).map_err(|error| error.to_string())? + "\n";
        Manifest::parse(text.as_bytes()).map_err(|error| error.problems.join("\n"))?;
        fs::write(at.join(MANIFEST), text).map_err(failed)?;
        Ok(Self { folder, _root: made, model: wish.model.to_owned(), version: wish.version })
    }

    /// The version as it lies now, to be examined.
    pub fn folder(&self) -> VersionFolder {
        VersionFolder { path: self.folder.path().to_owned(), model: self.model.clone(), version: self.version }
    }

    /// Puts the version where servers find it, in one step.
    ///
    /// # Errors
    ///
    /// Why it can't be put there, such as a version that is there already.
    pub fn publish(self, root: &Path) -> Result<PathBuf, String> {
        let place = root.join(&self.model).join(self.version.to_string());
        let failed = |error: io::Error| format!("{}: can't be put there: {error}", place.display());
        let _made = Made::all(&root.join(&self.model)).map_err(failed)?;
        moved(self.folder.path(), &place).map_err(failed)?;
        // There is nothing to remove any more.
        let _moved = self.folder.keep();
        Ok(place)
    }
}

/// Folders that were made for a version; gone where it did not come into them.
#[derive(Debug)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a folder, and those above it that are not there.
    fn all(folder: &Path) -> io::Result<Self> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err();
        let made = Self(folder.ancestors().take_while(is_missing).map(Path::to_owned).collect());
        fs::create_dir_all(folder).map(|()| made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for folder in &self.0 {
            // Removes nothing that holds something.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Removes what imports left that were killed.
fn remove_stale(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && age.is_some_and(|age| age > STALE) {
            // Another user's stays.
            let _left = fs::remove_dir_all(entry.path());
        }
    }
}

/// Moves a folder to where nothing is: a plain rename would replace an empty one.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if to.symlink_metadata().is_err() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(Errno::EXIST.into()),
        moved => Ok(moved?),
    }
}

/// The digest of what was copied.
fn copied(from: &Path, to: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", from.display());
    let mut copy = File::create(to).map_err(|error| failed(&error))?;
    let digest = file::copy(from, MOST_MODEL, &mut copy).map_err(|fault| failed(&fault))?;
    copy.flush().map_err(|error| failed(&error))?;
    Ok(digest)
}

fn manifest(wish: &Wish<'_>, derived: &Derived, (created_at, files): (&str, Map<String, Value>)) -> Value {
    let most = if derived.not_batched.is_some() { 0 } else { wish.max_batch_rows };
    let warmup: Vec<usize> = WARMUP_ROWS.into_iter().filter(|rows| *rows <= most.max(1)).collect();
    let arguments = match wish.arguments {
        Arguments::Tensors => "tensors",
        Arguments::List => "list",
        Arguments::Dict => "dict",
    };
    let Tolerance { absolute, relative } = derived.tolerance;
    json!({
        "format_version": FORMAT_VERSION, "model": wish.model, "version": wish.version, "task": "tensors",
        "description": wish.description, "torch_version": wish.torch_version, "created_at": created_at,
        "files": files, "engine": "torchscript",
        "inputs": derived.inputs.iter().map(input).collect::<Vec<_>>(), "arguments": arguments,
        "outputs": derived.outputs.iter().map(output).collect::<Vec<_>>(), "head": {"kind": "tensors"},
        "tolerance": {"absolute": absolute, "relative": relative},
        "serving": {"max_batch_rows": most, "warmup_rows": warmup},
    })
}

fn input(spec: &TensorSpec) -> Value {
    json!({"name": spec.name, "dtype": spec.dtype.as_str(), "shape": spec.shape})
}

fn output(spec: &TensorSpec) -> Value {
    let TensorSpec { name, dtype, shape, non_finite } = spec;
    json!({"name": name, "dtype": dtype.as_str(), "shape": shape, "non_finite": non_finite})
}

fn card(wish: &Wish<'_>, archive: &Archive, derived: &Derived, created_at: &str) -> String {
    let listed = |specs: &[TensorSpec]| specs.iter().map(|spec| format!("- `{spec}`\n")).collect::<String>();
    let batches = match &derived.not_batched {
        None => format!("A request may hold several rows; up to {} run in one pass.", wish.max_batch_rows),
        Some(why) => format!("It has no dimension of rows ({why}): each request is run by itself."),
    };
    format!(
        "# {model} {version}\n\n{description}\n\nImported by `souk import` on {created_at}: what follows was read from the \
         file and found out by running it. Who trained it, on what and for whom, this file does not know: write it here, \
         and the sha256 of this file into `manifest.json`.\n\n\
         - `{signature}`\n- {bytes} bytes of tensors, PyTorch {torch}\n- proved by {rows} golden rows\n\n\
         ## Inputs\n\n{inputs}\n## Outputs\n\n{outputs}\n{batches}\n",
        model = wish.model,
        version = wish.version,
        description = wish.description.unwrap_or("A model of tensors."),
        signature = archive.signature,
        bytes = archive.tensor_bytes,
        torch = wish.torch_version,
        rows = derived.golden.len(),
        inputs = listed(&derived.inputs),
        outputs = listed(&derived.outputs),
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{FileTimes, OpenOptions};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn folders_that_nothing_came_into_are_gone() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        drop(Made::all(&deep).unwrap());
        assert!(!root.path().join("a").exists());
        let made = Made::all(&deep).unwrap();
        fs::write(root.path().join("a/b/file"), "kept").unwrap();
        drop(made);
        assert!(!deep.exists() && root.path().join("a/b/file").exists());
        drop(Made::all(&root.path().join("a")).unwrap());
        assert!(root.path().join("a").exists(), "it was there before");
    }

    #[test]
    fn a_folder_that_is_there_is_not_replaced() {
        let root = tempfile::tempdir().unwrap();
        let [from, to, free] = ["from", "to", "free"].map(|name| root.path().join(name));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        assert_eq!(moved(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        moved(&from, &free).unwrap();
        assert!(free.exists() && !from.exists());
    }

    #[test]
    fn what_a_killed_import_left_is_removed_after_a_day() {
        let root = tempfile::tempdir().unwrap();
        let [old, new, other] = [".import-old", ".import-new", "import-other"].map(|name| root.path().join(name));
        for folder in [&old, &new, &other] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("model.pt"), "").unwrap();
        }
        let before = FileTimes::new().set_modified(SystemTime::now() - 2 * STALE);
        for folder in [&old, &other] {
            OpenOptions::new().read(true).open(folder).unwrap().set_times(before).unwrap();
        }
        remove_stale(root.path());
        assert_eq!((old.exists(), new.exists(), other.exists()), (false, true, true));
    }

    #[test]
    fn no_number_comes_after_the_largest() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(next_version(root.path(), "model").unwrap(), Some(1));
        fs::create_dir_all(root.path().join("model").join(u64::MAX.to_string())).unwrap();
        assert_eq!(next_version(root.path(), "model").unwrap(), None);
    }
}
