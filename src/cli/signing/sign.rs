//! `souk sign`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{
    super::{
        Failure,
        check::{Found, count, found},
        print, say,
    },
    password::password,
};
use crate::{
    model::{VersionFolder, Whole},
    trust::{SecretKey, is_locked},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk sign models/merchant_gmv/3 --key souk.key      one version
  souk sign models --key souk.key                     every version below a folder
  souk sign models/merchant_gmv/3 --key souk.key --password-file /run/secrets/key-password

Signs each version's manifest.json, which holds the sha256 of all its other files, into manifest.json.minisig beside
it; `minisign -V -p souk.pub -m manifest.json` verifies it too. A version of which a file is not what its manifest says
is not signed; whether its model is good, `souk check` finds out. A signature that is there is replaced. Prints the
files that were written; exit code 1 where any version was not signed.")]
pub(in crate::cli) struct Sign {
    /// A version's folder, a model's, or one of models.
    folder: PathBuf,
    /// The secret key, as `souk keygen` or `minisign -G` writes it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A file whose first line is the key's password [default: SOUK_KEY_PASSWORD, or a prompt].
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Sign {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let Found { versions, problems } = found(&self.folder).map_err(Failure::Usage)?;
        let key = self.unlocked().map_err(Failure::Usage)?;
        problems.iter().for_each(|problem| say(format_args!("souk: {problem}")));
        let mut unsigned = problems.len();
        for version in &versions {
            match signed(version, &key) {
                Ok(place) => print(format_args!("{}", place.display())),
                Err(problems) => {
                    unsigned += 1;
                    tell(version, &problems);
                }
            }
        }
        if unsigned == 0 { Ok(()) } else { Err(Failure::Bad) }
    }

    fn unlocked(&self) -> anyhow::Result<SecretKey> {
        let named = || self.key.display().to_string();
        let text = fs::read_to_string(&self.key).with_context(named)?;
        let prompt = format!("password of {}", named());
        let password = is_locked(&text).then(|| password(self.password_file.as_deref(), &[&prompt])).transpose()?;
        SecretKey::unlock(text, password).map_err(|error| anyhow!("{}: {error}", named()))
    }
}

fn signed(version: &VersionFolder, key: &SecretKey) -> Result<PathBuf, Vec<String>> {
    Whole::read(version)?.sign(key).map_err(|error| vec![error.to_string()])
}

fn tell(VersionFolder { model, version, path }: &VersionFolder, problems: &[String]) {
    let path: &Path = path;
    say(format_args!(
        "souk: {model} version {version} ({}) is not signed: {}",
        path.display(),
        count(problems.len(), "problem")
    ));
    problems.iter().for_each(|problem| say(format_args!("        {problem}")));
}
