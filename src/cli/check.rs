//! `souk check`: what the server would find, for a person or a pipeline.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;

use super::{Failure, engines, print, thread_setup};
use crate::{
    api::JsonForms,
    model::{Engines, VersionFolder, examine},
    registry::scan,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk check models                    every version of every model
  souk check models/merchant_gmv       every version of one model
  souk check models/merchant_gmv/3     one version

Prints one line for each version and one for each problem. Exit code 1 where any version has a problem.")]
pub(super) struct Check {
    /// A version's folder, a model's, or one of models.
    folder: PathBuf,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let versions = versions(&self.folder).map_err(Failure::Usage)?;
        let forms = JsonForms::new()?;
        let engines = engines(NonZeroUsize::MAX);
        let _thread = thread_setup(NonZeroUsize::MIN)();
        let mut wrong = 0_usize;
        for version in &versions {
            wrong += usize::from(!passes(version, &forms, engines.as_ref()));
        }
        print(format_args!("{} checked, {wrong} with problems", count(versions.len(), "version")));
        if wrong == 0 { Ok(()) } else { Err(Failure::Bad) }
    }
}

/// Examines one version and prints what was found.
fn passes(folder: &VersionFolder, forms: &JsonForms, engines: &dyn Engines) -> bool {
    let mut examination = examine(folder, forms, engines);
    if let Some(version) = &examination.version {
        for rows in version.warmup_rows() {
            if let Err(error) = version.engine.forward(&rows) {
                examination.problems.push(format!("warm-up with {} rows: {error}", rows.len()));
            }
        }
    }
    let place = format!("{} version {}", folder.model, folder.version);
    match (&examination.version, examination.problems.as_slice()) {
        (Some(version), []) => {
            let rows = count(version.golden.len(), "golden row");
            print(format_args!("ok      {place}: {rows} agree, sha256 {}", version.digest));
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

/// The versions at or below `folder`, oldest first.
fn versions(folder: &Path) -> anyhow::Result<Vec<VersionFolder>> {
    let folder = folder.canonicalize().with_context(|| format!("{}", folder.display()))?;
    if let Some(version) = VersionFolder::at(&folder) {
        return Ok(vec![version]);
    }
    let mut found = VersionFolder::of_model(&folder).with_context(|| format!("{}", folder.display()))?;
    if found.is_empty() {
        found = scan(&folder)?.into_iter().flat_map(|model| model.versions).collect();
    }
    anyhow::ensure!(
        !found.is_empty(),
        "{}: there is no version in it: wanted folders <model>/<number>, <number>, or one of them",
        folder.display()
    );
    found.sort_by(|one, other| (&one.model, one.version).cmp(&(&other.model, other.version)));
    Ok(found)
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
