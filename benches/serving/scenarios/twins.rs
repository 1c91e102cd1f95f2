//! A server with two versions of one model that differ in their numbers only.

use std::{fs, path::Path};

use anyhow::Context as _;
use indicatif::ProgressBar;
use serde_json::Value;
use tempfile::TempDir;

use super::{Hall, orders::Orders};
use crate::settings::{Model, Settings};

/// The server with its two versions, 1 and 2; 2 answers at first.
pub(super) struct Twins<'s> {
    pub(super) hall: Hall<'s>,
    pub(super) orders: Orders,
    /// The models' folder, and room for what is measured.
    pub(super) folder: TempDir,
}

impl<'s> Twins<'s> {
    /// Copies the version twice and starts the servers.
    pub(super) async fn open(settings: &'s Settings, model: Model, progress: &ProgressBar) -> anyhow::Result<Self> {
        let original = super::version(settings, model)?.path;
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("models");
        for number in [1, 2] {
            copy(&original, &root.join("merchant_gmv").join(number.to_string()), number)?;
        }
        progress.set_message(format!("{}: two versions", model.name()));
        let hall = Hall::open(settings, model, &root, original.join("golden.jsonl"), progress.clone()).await?;
        let orders = Orders::to(hall.souk.admin).await?;
        Ok(Self { hall, orders, folder })
    }
}

/// A copy of a version with another number.
fn copy(original: &Path, to: &Path, number: u64) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(original)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    let path = to.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path)?)?;
    *manifest.get_mut("version").context("a manifest without a version")? = number.into();
    Ok(fs::write(path, serde_json::to_vec(&manifest)?)?)
}
