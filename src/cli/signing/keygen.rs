//! `souk keygen`.

use std::path::PathBuf;

use clap::Args;

use super::{
    super::{Failure, print, say},
    password::password,
};
use crate::trust::KeyFiles;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk keygen                                 writes souk.key and souk.pub, and asks for a password
  souk keygen --out /secrets/release.key      and /secrets/release.pub
  souk keygen --no-password                   for a pipeline that keeps the file itself secret

The secret key is readable for its owner alone, and no key is ever overwritten. Prints the public key on standard
output: a server trusts it where models.trusted_keys has it, or the path of its file. `minisign -S -s souk.key` signs
with it too.")]
pub(in crate::cli) struct Keygen {
    /// Where the secret key is put; the public one lies beside it, with the ending `.pub`.
    #[arg(long, value_name = "FILE", default_value = "souk.key")]
    out: PathBuf,
    /// Leave the secret key unlocked: whoever has the file can sign.
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
    /// A file whose first line is the password [default: SOUK_KEY_PASSWORD, or a prompt].
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Keygen {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let files = KeyFiles::at(&self.out);
        if files.secret == files.public {
            return Err(Failure::Usage(anyhow::anyhow!(
                "{}: the secret key would have the public one's name: wanted another ending than .pub",
                self.out.display()
            )));
        }
        // Before anybody types a password.
        files.are_free()?;
        let locked = (!self.no_password)
            .then(|| password(self.password_file.as_deref(), &["password of the new key", "the same again"]))
            .transpose()?;
        let public = files.generate(locked)?;
        say(format_args!("secret key: {}", files.secret.display()));
        say(format_args!("public key: {}", files.public.display()));
        print(format_args!("{public}"));
        Ok(())
    }
}
