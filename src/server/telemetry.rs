//! Logs, on stderr: text for people, JSON for machines.

use std::io::{self, IsTerminal as _};

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, TelemetryConfig};

/// The logs can't be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// `telemetry.log` is no list of directives.
    #[error("telemetry.log = {value:?}, wanted e.g. `info` or `souk=debug,warn`")]
    Directives {
        /// The setting's value.
        value: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody set up logs before.
    #[error("logs were set up twice")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends logs to stderr from now on.
///
/// # Errors
///
/// [`TelemetryError`] where the filter is malformed or logs were set up before.
pub fn log_to_stderr(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&config.log)
        .map_err(|source| TelemetryError::Directives { value: config.log.clone(), source })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log_format {
        LogFormat::Text => logs.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError::Twice)
}
