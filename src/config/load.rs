//! Defaults ← file ← environment, with every problem named at once.
//!
//! The environment is passed in: nobody but [`Environment::of_process`] reads it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

use config::{Config, File, FileFormat, Value, ValueKind};
use thiserror::Error;

use super::Settings;

/// What the process was started with.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<String, String>);

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, e.g. `batch.max_rows`.
    pub key: String,
    /// What was found, where, and what was wanted.
    pub message: String,
}

/// The configuration can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read or is no TOML.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// All that is wrong with keys and values.
    #[error("{} in the configuration:{}", count(.0.len()), list(.0))]
    Problems(Vec<Problem>),
}

impl Environment {
    /// The variables of this process that begin with `SOUK__`.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self::new(std::env::vars())
    }

    /// Those of `variables` that begin with `SOUK__`.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().filter(|(name, _)| name.starts_with("SOUK__")).collect())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.message)
    }
}

/// Reads the settings. `file` must exist where it is given.
///
/// # Errors
///
/// [`ConfigError`] names every unknown key and every wrong value at once.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Settings, ConfigError> {
    let given = given(file, environment)?;
    let defaults = leaves(&read(Config::builder().add_source(defaults()?), "the defaults")?);

    let (known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) =
        given.into_iter().partition(|(key, _)| defaults.contains_key(key));
    let mut problems: Vec<Problem> = unknown.iter().map(|(key, value)| unknown_key(key, value, &defaults)).collect();

    let mut right = Vec::new();
    for (key, value) in known {
        match with(std::iter::once((&key, &value))) {
            Ok(_) => right.push((key, value)),
            Err(reason) => problems.push(Problem { message: format!("{} {reason}", found(&value)), key }),
        }
    }
    let settings = with(right.iter().map(|(key, value)| (key, value)));
    match settings {
        Ok(settings) => {
            problems.extend(settings.contradictions());
            if problems.is_empty() { Ok(settings) } else { Err(ConfigError::Problems(problems)) }
        }
        Err(reason) => Err(ConfigError::Problems(vec![Problem { key: "souk".into(), message: reason }])),
    }
}

/// The keys that the file and the environment set, with their values.
fn given(file: Option<&Path>, environment: &Environment) -> Result<BTreeMap<String, Value>, ConfigError> {
    let mut builder = Config::builder();
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    let variables = config::Environment::with_prefix("SOUK")
        .prefix_separator("__")
        .separator("__")
        .source(Some(environment.0.clone()));
    let path = file.map_or_else(|| "the environment".into(), |path| path.display().to_string());
    Ok(leaves(&read(builder.add_source(variables), &path)?))
}

fn read(
    builder: config::ConfigBuilder<config::builder::DefaultState>,
    path: &str,
) -> Result<Value, ConfigError> {
    let failed = |error: config::ConfigError| ConfigError::File { path: path.into(), reason: error.to_string() };
    builder.build().map(|config| config.cache).map_err(failed)
}

fn defaults() -> Result<Config, ConfigError> {
    Config::try_from(&Settings::default())
        .map_err(|error| ConfigError::File { path: "the defaults".into(), reason: error.to_string() })
}

/// The settings with nothing but these values changed.
fn with<'a>(values: impl Iterator<Item = (&'a String, &'a Value)>) -> Result<Settings, String> {
    let mut builder = Config::builder().add_source(defaults().map_err(|error| error.to_string())?);
    for (key, value) in values {
        builder = builder.set_override(key, value.clone()).map_err(|error| error.to_string())?;
    }
    let settings = builder.build().and_then(Config::try_deserialize);
    settings.map_err(|error: config::ConfigError| format!("is not usable: {}", short(&error.to_string())))
}

/// The reader's message without the key and origin that we say ourselves.
fn short(message: &str) -> &str {
    let message = message.split(" for key ").next().unwrap_or(message);
    message.trim_end()
}

/// Every value that is not a table, by its path.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        match &value.kind {
            ValueKind::Table(table) => {
                for (name, value) in table {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&key, value, found);
                }
            }
            _ => {
                found.insert(prefix.to_owned(), value.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", value, &mut found);
    found
}

fn unknown_key(key: &str, value: &Value, known: &BTreeMap<String, Value>) -> Problem {
    let near = known.keys().map(|other| (strsim::jaro_winkler(key, other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match near {
        Some((likeness, other)) if likeness > 0.85 => format!("; did you mean {other}?"),
        _ => String::new(),
    };
    Problem { key: key.to_owned(), message: format!("{} is no known key{hint}", found(value)) }
}

fn found(value: &Value) -> String {
    let origin = value.origin().map_or_else(String::new, |origin| format!(" (from {origin})"));
    format!("= {value:?}{origin}", value = value.to_string())
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".into() } else { format!("{problems} problems") }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
