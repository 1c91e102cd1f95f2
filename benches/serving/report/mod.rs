//! What people read of a run.

mod table;
mod throughput;

use std::process::ExitCode;

use crate::{results::Results, settings::Settings};

/// Prints the tables.
pub(crate) fn report(results: &Results, _settings: &Settings) -> anyhow::Result<ExitCode> {
    println!("{}", throughput::tables(results));
    Ok(ExitCode::SUCCESS)
}
