//! A version's folder in the making: where no server looks, until it is proved.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
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
    model: String,
    version: u64,
}

/// The number of a model's next version below `root`.
///
/// # Errors
///
/// [`io::Error`] where the model's folder is there and can't be listed.
pub fn next_version(root: &Path, model: &str) -> io::Result<u64> {
    match VersionFolder::of_model(&root.join(model)) {
        Ok(versions) => Ok(versions.first().map_or(1, |newest| newest.version + 1)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(1),
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
        fs::create_dir_all(root).map_err(failed)?;
        // As any folder: whoever serves it may be another user.
        let permissions = Permissions::from_mode(0o777);
        let folder =
            tempfile::Builder::new().prefix(".import-").permissions(permissions).tempdir_in(root).map_err(failed)?;
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
        Ok(Self { folder, model: wish.model.to_owned(), version: wish.version })
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
        fs::create_dir_all(root.join(&self.model)).map_err(failed)?;
        fs::rename(self.folder.path(), &place).map_err(failed)?;
        // There is nothing to remove any more.
        let _moved = self.folder.keep();
        Ok(place)
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
