//! `souk verify`.

use std::path::PathBuf;

use clap::Args;

use super::super::{
    Failure,
    check::{Found, count, found},
    print,
};
use crate::{
    model::{VersionFolder, Whole},
    trust::{PublicKey, Signed, Trust},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk verify models/merchant_gmv/3 --public-key souk.pub
  souk verify models --public-key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3

Prints one line for each version, with the key that signed it and what the signer wrote beside it, and one for each
problem: no signature, one by another key, or a file that is not what was signed. Nothing is loaded or run: that is
`souk check --public-key KEY`. Exit code 1 where any version has a problem.")]
pub(in crate::cli) struct Verify {
    /// A version's folder, a model's, or one of models.
    folder: PathBuf,
    /// Whose signature counts: a public key itself, or its file. Several may be given.
    #[arg(long = "public-key", value_name = "KEY", required = true)]
    public_keys: Vec<PublicKey>,
}

impl Verify {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let Found { versions, problems } = found(&self.folder).map_err(Failure::Usage)?;
        let trust = Trust::in_keys(self.public_keys).required();
        problems.iter().for_each(|problem| print(format_args!("FAILED  {problem}")));
        let wrong = versions.iter().filter(|version| !verifies(version, &trust)).count();
        print(format_args!("{} verified, {wrong} with problems", count(versions.len(), "version")));
        if wrong == 0 && problems.is_empty() { Ok(()) } else { Err(Failure::Bad) }
    }
}

/// Verifies one version and prints what was found.
fn verifies(folder: &VersionFolder, trust: &Trust) -> bool {
    let place = format!("{} version {}", folder.model, folder.version);
    match signed(folder, trust) {
        Ok(Signed { key, comment }) => {
            print(format_args!("ok      {place}: signed by {key}, {comment:?}"));
            true
        }
        Err(problems) => {
            print(format_args!("FAILED  {place}: {}", count(problems.len(), "problem")));
            problems.iter().for_each(|problem| print(format_args!("        {problem}")));
            false
        }
    }
}

fn signed(folder: &VersionFolder, trust: &Trust) -> Result<Signed, Vec<String>> {
    Whole::signed(folder, trust)?.ok_or_else(|| vec!["nobody signed it".to_owned()])
}
