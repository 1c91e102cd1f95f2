//! Everything that can be wrong with a version, found in one go.
//!
//! The server and `souk check` use the same examination. A model file whose
//! digest is wrong is never given to an engine, whoever asks: a TorchScript
//! archive runs code.

use std::sync::Arc;

use super::{
    Engines, RowReader, Version,
    folder::{VersionFolder, digest},
    golden,
};
use crate::{
    features::Encoder,
    heads::Head,
    manifest::Manifest,
    rows::{Forward, Rows},
};

/// What an examination found.
pub struct Examination {
    /// The version, where nothing is wrong with it.
    pub version: Option<Version>,
    /// All that is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// Examines the version in `folder`.
pub fn examine(folder: &VersionFolder, rows: &dyn RowReader, engines: &dyn Engines) -> Examination {
    let mut problems = Vec::new();
    let version = examine_into(folder, rows, engines, &mut problems);
    Examination { version: version.filter(|_| problems.is_empty()), problems }
}

fn examine_into(
    folder: &VersionFolder,
    rows: &dyn RowReader,
    engines: &dyn Engines,
    problems: &mut Vec<String>,
) -> Option<Version> {
    let bytes = match folder.manifest() {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(format!("manifest.json: can't be read: {error}"));
            return None;
        }
    };
    let manifest = readable(&bytes, problems)?;
    problems.extend(mismatches(folder, &manifest, engines));

    let mut files = folder.files(&manifest);
    problems.append(&mut files.problems);
    let encoder = Encoder::new(&manifest, rows.fields(manifest.task)).map_err(|found| problems.extend(found)).ok();
    let engine = match files.trusted.get("model.pt") {
        Some(model) => load(engines, &manifest, model, problems),
        None => {
            problems
                .push("golden.jsonl: the rows were not scored, since model.pt is not the file that was trained".into());
            None
        }
    };
    let golden = golden_rows(&manifest, rows, encoder.as_ref(), files.trusted.get("golden.jsonl"), problems);
    let (encoder, engine, golden) = (encoder?, engine?, golden?);
    problems.extend(golden::score(&manifest, engine.as_ref(), &golden));

    let head = Head::new(&manifest);
    Some(Version { digest: digest(&bytes), head, encoder, engine, golden: golden.encoded, manifest })
}

/// The manifest, as far as it can be understood with its problems named.
fn readable(bytes: &[u8], problems: &mut Vec<String>) -> Option<Manifest> {
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
    let mut found = Vec::new();
    if manifest.model != folder.model {
        found.push(format!("manifest.json: model is {:?}, the folder says {:?}", manifest.model, folder.model));
    }
    if manifest.version != folder.version {
        found.push(format!("manifest.json: version is {}, the folder says {}", manifest.version, folder.version));
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

fn load(
    engines: &dyn Engines,
    manifest: &Manifest,
    model: &[u8],
    problems: &mut Vec<String>,
) -> Option<Arc<dyn Forward>> {
    engines.load(manifest, model).map_err(|reason| problems.push(format!("model.pt: {reason}"))).ok()
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
    Some(golden).filter(|golden| golden.problems.is_empty() || !golden.encoded.is_empty())
}

impl Version {
    /// Batches for warming up: golden rows, repeated up to each size of the
    /// manifest that the engine's limit allows.
    pub fn warmup_rows(&self) -> Vec<Rows> {
        let most = self.engine.max_batch_rows().get();
        let sizes = self.manifest.serving.warmup_rows.iter().copied();
        sizes.filter(|&size| size <= most).filter_map(|size| repeated(&self.golden, size)).collect()
    }
}

fn repeated(golden: &Rows, size: usize) -> Option<Rows> {
    let mut rows = golden.slice(0..size);
    while !rows.is_empty() && rows.len() < size {
        rows.append(&golden.slice(0..size - rows.len())).ok()?;
    }
    Some(rows).filter(|rows| rows.len() == size)
}
