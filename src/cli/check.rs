//! `souk check`: what the server would find, for a person or a pipeline.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf, absolute},
};

use anyhow::Context as _;
use clap::Args;

use super::{Failure, engines, print, thread_setup};
use crate::{
    api::JsonForms,
    config::ModelsConfig,
    model::{Engines, Examination, Means, VersionFolder, examine},
    registry::scan,
    rows::Rows,
    trust::{PublicKey, Trust},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk check models                    every version of every model
  souk check models/merchant_gmv       every version of one model
  souk check models/merchant_gmv/3     one version
  souk check --public-key souk.pub models
                                       as a server whose models.trusted_keys has this key and which
                                       has models.require_signature

Prints one line for each version and one for each problem. Exit code 1 where any version has a problem.
A model whose sha256 is not the manifest's is never loaded, since loading a model.pt runs its code: the outputs
of its golden rows are not compared then, and a line says so. A version that takes more than a second for
one row is refused before the others are scored; a server's limit is models.slowest_row. Nor is a model loaded that
nobody signed with one of the public keys, where any are given; without them signatures are not looked at.")]
pub(super) struct Check {
    /// A version's folder, a model's, or one of models.
    folder: PathBuf,
    /// A key that versions have to be signed with: itself, or its file. Several may be given.
    #[arg(long = "public-key", value_name = "KEY")]
    public_keys: Vec<PublicKey>,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Found { versions, problems } = found(&self.folder).map_err(Failure::Usage)?;
        let forms = JsonForms::new()?;
        let engines = engines(NonZeroUsize::MAX);
        let trust =
            if self.public_keys.is_empty() { Trust::default() } else { Trust::in_keys(self.public_keys).required() };
        let means = means(&forms, engines.as_ref(), &trust);
        let _thread = thread_setup(NonZeroUsize::MIN)();
        for problem in &problems {
            print(format_args!("FAILED  {problem}"));
        }
        let mut wrong = 0_usize;
        for version in &versions {
            wrong += usize::from(!passes(version, &means));
        }
        print(format_args!("{} checked, {wrong} with problems", count(versions.len(), "version")));
        if wrong == 0 && problems.is_empty() { Ok(()) } else { Err(Failure::Bad) }
    }
}

/// What a server on defaults examines with.
pub(super) fn means<'m>(rows: &'m JsonForms, engines: &'m dyn Engines, trust: &'m Trust) -> Means<'m> {
    Means { rows, engines, slowest_row: ModelsConfig::default().slowest_row, trust }
}

/// Examines one version as a server does, warm-up included.
pub(super) fn examined(folder: &VersionFolder, with: &Means<'_>) -> Examination {
    let mut examination = examine(folder, with);
    if let Some(version) = &examination.version {
        for rows in version.warmup_rows(&Rows::default()) {
            if let Err(error) = version.engine.forward(&[&rows]) {
                examination.problems.push(format!("warm-up with {} rows: {error}", rows.len()));
            }
        }
    }
    examination
}

/// Examines one version and prints what was found.
fn passes(folder: &VersionFolder, with: &Means<'_>) -> bool {
    let examination = examined(folder, with);
    let place = format!("{} version {}", folder.model, folder.version);
    match (&examination.version, examination.problems.as_slice()) {
        (Some(version), []) => {
            let rows = count(version.proved_by, "golden row");
            let signed =
                version.signed.as_ref().map(|signed| format!(", signed by {}", signed.key)).unwrap_or_default();
            print(format_args!("ok      {place}: {rows} agree, sha256 {}{signed}", version.digest));
            true
        }
        (_, problems) => {
            print(format_args!("FAILED  {place}: {}", count(problems.len(), "problem")));
            for problem in problems {
                print(format_args!("        {problem}"));
            }
            false
        }
    }
}

/// What there is at or below a folder.
#[derive(Default)]
pub(super) struct Found {
    /// Oldest first.
    pub(super) versions: Vec<VersionFolder>,
    /// Folders in which there may be more.
    pub(super) problems: Vec<String>,
}

pub(super) fn found(folder: &Path) -> anyhow::Result<Found> {
    let context = || format!("{}", folder.display());
    // By its own names first, as the server would find it: a model or version may
    // be a link. Where that leads to nothing, such as `..`, by those it stands for.
    let places = [absolute(folder).with_context(context)?, folder.canonicalize().with_context(context)?];
    for place in places {
        let mut found = below(&place).with_context(context)?;
        if !(found.versions.is_empty() && found.problems.is_empty()) {
            found.versions.sort_by(|one, other| (&one.model, one.version).cmp(&(&other.model, other.version)));
            return Ok(found);
        }
    }
    anyhow::bail!(
        "{}: there is no version in it: wanted folders <model>/<number>, <number>, or one of them",
        folder.display()
    )
}

fn below(folder: &Path) -> anyhow::Result<Found> {
    if let Some(version) = VersionFolder::at(folder) {
        return Ok(Found { versions: vec![version], ..Found::default() });
    }
    let mut found = Found { versions: VersionFolder::of_model(folder)?, ..Found::default() };
    if found.versions.is_empty() {
        for model in scan(folder)? {
            found.versions.extend(model.versions);
            found.problems.extend(model.problems);
        }
    }
    Ok(found)
}

pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
