//! Everything that can be wrong with a version, found in one go.
//!
//! The server and `souk check` use the same examination. A model file whose
//! digest is wrong is never given to an engine, whoever asks: a TorchScript
//! archive runs code, and whatever the file holds, it is not what was trained. Nor is one
//! whose manifest nobody vouches for, where somebody has to; the bytes that were verified
//! are those that are parsed.

use std::{sync::Arc, time::Duration};

use serde::Deserialize as _;
use serde_json::Value;

use super::{
    Engines, ModelFile, RowReader, Version,
    file::digest,
    folder::{self, GOLDEN, MANIFEST, VersionFolder},
    golden,
};
use crate::{
    features::Encoder,
    heads::Head,
    manifest::{Engine, Manifest, Task},
    rows::{Forward, Rows},
    trust::{Signed, Trust},
};

/// How a problem of a version's signature begins.
pub const SIGNATURE: &str = "signature";

/// What an examination found.
pub struct Examination {
    /// The version, where nothing is wrong with it.
    pub version: Option<Version>,
    /// All that is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// What an examination needs.
#[derive(Clone, Copy)]
pub struct Means<'m> {
    /// Reads golden rows.
    pub rows: &'m dyn RowReader,
    /// Loads models.
    pub engines: &'m dyn Engines,
    /// A version that runs for longer on a single row is refused.
    pub slowest_row: Duration,
    /// Who has to vouch for a version before its model is loaded.
    pub trust: &'m Trust,
}

/// Examines the version in `folder`.
pub fn examine(folder: &VersionFolder, with: &Means<'_>) -> Examination {
    let mut problems = Vec::new();
    let version = examine_into(folder, with, &mut problems);
    Examination { version: version.filter(|_| problems.is_empty()), problems }
}

fn examine_into(folder: &VersionFolder, with: &Means<'_>, problems: &mut Vec<String>) -> Option<Version> {
    let &Means { rows, engines, slowest_row, trust } = with;
    let bytes = folder.manifest().map_err(|fault| problems.push(format!("{MANIFEST}: {fault}"))).ok()?;
    let signed = signed(folder, &bytes, trust).map_err(|problem| problems.push(problem));
    let Some(manifest) = readable(&bytes, problems) else {
        problems.extend(files_at_least(folder, &bytes));
        return None;
    };
    problems.extend(mismatches(folder, &manifest, engines));

    let model_file = manifest.engine.model_file();
    let digests = manifest.files.iter().map(|(name, digest)| (name.as_str(), digest.as_str()));
    let mut files = folder.files(model_file, digests);
    problems.append(&mut files.problems);
    let encoder = Encoder::new(&manifest, rows.fields(manifest.task)).map_err(|found| problems.extend(found)).ok();
    let model = files.model.take();
    let trusted = model.as_ref().filter(|_| signed.is_ok());
    let engine = trusted.and_then(|model| load(engines, &manifest, model, problems));
    let why_not = match (&model, &engine, &encoder) {
        (None, ..) => Some(format!("{model_file} is not the file that was trained")),
        _ if signed.is_err() => Some("nobody who is trusted vouches for the model's code".to_owned()),
        (_, None, _) => Some(format!("{model_file} can't be loaded")),
        (.., None) => Some("no row can be encoded by this manifest".to_owned()),
        (Some(_), Some(_), Some(_)) => None,
    };
    problems.extend(why_not.as_deref().map(not_compared));
    drop(model);
    let golden = golden_rows(&manifest, rows, encoder.as_ref(), files.golden.as_ref(), problems);
    let (encoder, engine, golden, signed) = (encoder?, engine?, golden?, signed.ok()?);
    problems.extend(golden::score(&manifest, engine.as_ref(), &golden, slowest_row));

    let (head, proved_by) = (Head::new(&manifest), golden.len());
    let golden = golden.into_most_alike();
    Some(Version { digest: digest(&bytes), signed, head, encoder, engine, golden, proved_by, manifest })
}

/// Who vouches for these bytes of the manifest.
pub(super) fn signed(folder: &VersionFolder, manifest: &[u8], trust: &Trust) -> Result<Option<Signed>, String> {
    if !trust.is_asked() {
        return Ok(None);
    }
    let problem = |reason: &dyn std::fmt::Display| format!("{SIGNATURE}: {} {reason}", folder::SIGNATURE);
    let signature = folder.signature().map_err(|fault| problem(&fault))?;
    trust.verify(manifest, signature.as_deref()).map_err(|distrust| problem(&distrust))
}

fn not_compared(why: &str) -> String {
    format!("{GOLDEN}: outputs were not compared, since {why}")
}

/// What can be said of the files where the manifest around them is no manifest.
fn files_at_least(folder: &VersionFolder, manifest: &[u8]) -> Vec<String> {
    let mut problems = Vec::new();
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    if let Some(files) = manifest.get("files").and_then(Value::as_object) {
        let engine = manifest.get("engine").and_then(|name| Engine::deserialize(name).ok()).unwrap_or_default();
        let missing = engine.needed_files().into_iter().filter(|name| !files.contains_key(*name));
        problems.extend(missing.map(|name| format!("{MANIFEST}: files.{name}: missing")));
        let digests = files.iter().filter_map(|(name, digest)| Some((name.as_str(), digest.as_str()?)));
        problems.append(&mut folder.files(engine.model_file(), digests).problems);
    }
    problems.push(not_compared("manifest.json can't be understood"));
    problems
}

/// The manifest, as far as it can be understood with its problems named.
pub(super) fn readable(bytes: &[u8], problems: &mut Vec<String>) -> Option<Manifest> {
    match Manifest::parse(bytes) {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            problems.extend(error.problems.iter().map(|problem| format!("manifest.json: {problem}")));
            error.readable.map(|manifest| *manifest)
        }
    }
}

/// What the manifest says against where it lies and what would run it.
fn mismatches(folder: &VersionFolder, manifest: &Manifest, engines: &dyn Engines) -> Vec<String> {
    let mut found = mismatched_place(folder, manifest);
    // A service asks for the model of its task's name. By another name a model
    // would answer nobody; under this name another task would answer wrongly.
    let named = Task::of_model(&manifest.model);
    if named != Task::of_model(manifest.task.as_str()) {
        let wanted = match manifest.task {
            Task::MerchantGmv | Task::UserPortrait => format!("the model {:?} for it", manifest.task.as_str()),
            Task::Tensors => "a name that is no other task's".into(),
        };
        found.push(format!("manifest.json: task is {} of model {:?}, wanted {wanted}", manifest.task, manifest.model));
    }
    let release = manifest.torch_version.split('+').next().unwrap_or_default();
    if release != engines.release() {
        found.push(format!(
            "manifest.json: torch_version is {:?}, this server runs {}",
            manifest.torch_version,
            engines.release()
        ));
    }
    found
}

/// What the manifest says against where it lies.
pub(super) fn mismatched_place(folder: &VersionFolder, manifest: &Manifest) -> Vec<String> {
    let mut found = Vec::new();
    if manifest.model != folder.model {
        found.push(format!("manifest.json: model is {:?}, the folder says {:?}", manifest.model, folder.model));
    }
    if manifest.version != folder.version {
        found.push(format!("manifest.json: version is {}, the folder says {}", manifest.version, folder.version));
    }
    found
}

fn load(
    engines: &dyn Engines,
    manifest: &Manifest,
    model: &ModelFile,
    problems: &mut Vec<String>,
) -> Option<Arc<dyn Forward>> {
    let problem = |reason| format!("{}: {reason}", manifest.engine.model_file());
    engines.load(manifest, model).map_err(|reason| problems.push(problem(reason))).ok()
}

fn golden_rows(
    manifest: &Manifest,
    rows: &dyn RowReader,
    encoder: Option<&Encoder>,
    file: Option<&Vec<u8>>,
    problems: &mut Vec<String>,
) -> Option<golden::Golden> {
    let golden = golden::read(manifest, rows, encoder?, file?);
    problems.extend(golden.problems.iter().cloned());
    Some(golden).filter(|golden| golden.problems.is_empty() || golden.len() > 0)
}

impl Version {
    /// Batches for warming up: `recent` rows of this version, and golden ones, repeated
    /// up to each size of the manifest that the engine's limit allows.
    pub fn warmup_rows(&self, recent: &Rows) -> Vec<Rows> {
        // Rows of another version have other columns.
        let rows = Rows::joined(&[recent, &self.golden]).unwrap_or_else(|_ragged| self.golden.clone());
        let most = self.engine.max_batch_rows().get();
        let sizes = self.manifest.serving.warmup_rows.iter().copied();
        sizes.filter(|&size| size <= most).filter_map(|size| repeated(&rows, size)).collect()
    }
}

fn repeated(all: &Rows, size: usize) -> Option<Rows> {
    let mut rows = all.slice(0..size);
    while !rows.is_empty() && rows.len() < size {
        rows.append(&all.slice(0..size - rows.len())).ok()?;
    }
    Some(rows).filter(|rows| rows.len() == size)
}
