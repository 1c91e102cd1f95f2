//! `souk token`: a secret for a client, and its hash for the server.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use tokio_rustls::rustls::crypto::ring;

use super::{Failure, print};
use crate::identity::{Token, TokenError};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk token                          # prints both; the hash goes into the file that auth.file names
  souk token --out checkout.token     # writes the token for its owner alone, and prints the hash

The file of identities, which a running server reads again when it changes:

  [[identity]]
  name = \"checkout\"
  token_sha256 = \"HASH\"               # or token_file = \"FILE\", or certificate = \"NAME\"
  roles = [\"score\"]                   # score, observe, publish
  models = [\"merchant_gmv\"]           # all, where this line is not there
  rows_per_second = 50000             # no bound, where this line is not there
  expires = 2027-01-01T00:00:00Z      # never, where this line is not there

A client sends `authorization: Bearer TOKEN`; `souk score` and `souk models` take it from SOUK_TOKEN or
--token-file. The server never needs the token itself, and nobody can find it from the hash.")]
pub(super) struct NewToken {
    /// Write the token there, readable for its owner alone, and print its hash.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl NewToken {
    pub(super) fn run(self) -> Result<(), Failure> {
        let token = Token::new(|bytes| ring::default_provider().secure_random.fill(bytes).map_err(|_| TokenError))?;
        match &self.out {
            Some(file) => write(file, token.secret())?,
            None => print(format_args!("token = \"{}\"", token.secret())),
        }
        print(format_args!("token_sha256 = \"{}\"", token.sha256()));
        Ok(())
    }
}

/// A file that nobody else can read, which was not there before.
fn write(path: &Path, secret: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{secret}"));
    written.with_context(|| format!("--out {}: can't be written", path.display()))
}
