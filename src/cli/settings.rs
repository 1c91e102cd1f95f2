//! Which settings a command is run with: those of the server on this machine.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{Environment, Settings, load};

/// Read where no `--config` is given, if it is there.
const DEFAULT_FILE: &str = "souk.toml";

#[derive(Debug, Args)]
pub(super) struct SettingsFile {
    /// Settings, in TOML [default: souk.toml, where it is there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SettingsFile {
    /// Defaults, the file and the environment together.
    pub(super) fn read(self) -> Result<Settings, Failure> {
        let usual = Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists());
        let file = self.config.or(usual);
        load(file.as_deref(), &Environment::of_process()).map_err(|error| Failure::Usage(error.into()))
    }
}
