//! Defaults ← file ← environment, with every problem named at once.
//!
//! The environment is passed in: nobody but [`Environment::of_process`] reads it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use config::{Config, File, FileFormat, Value, ValueKind};
use thiserror::Error;

use super::Settings;

/// What the process was started with.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
    /// Variables that are ours and no text.
    problems: Vec<Problem>,
    /// By `USER`, or else by `LOGNAME`.
    user: Option<String>,
    key_password: Option<Secret>,
    token: Option<Secret>,
}

/// What is never printed.
#[derive(Clone)]
struct Secret(String);

impl Secret {
    fn of(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<secret>")
    }
}

/// The password of keys that sign. No setting: a server needs none.
const KEY_PASSWORD: &str = "SOUK_KEY_PASSWORD";

/// What every variable of ours begins with.
const PREFIX: &str = "SOUK__";

/// What the command line shows to servers.
const TOKEN: &str = "SOUK_TOKEN";

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
    /// The variables of this process that begin with `SOUK__`, and its user.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// Those of `variables` that begin with `SOUK__`, and the user.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            environment.know_person(&name, &value);
            if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                continue;
            }
            match (name.to_str(), value.to_str()) {
                (Some(name), Some(value)) => drop(environment.variables.insert(name.into(), value.into())),
                _ => environment.problems.push(no_text(&name, &value)),
            }
        }
        environment
    }

    fn know_person(&mut self, name: &OsStr, value: &OsStr) {
        let found = value.to_str().filter(|value| !value.is_empty()).map(ToOwned::to_owned);
        match name.to_str() {
            Some("USER") => self.user = found.or(self.user.take()),
            Some("LOGNAME") => self.user = self.user.take().or(found),
            Some(KEY_PASSWORD) => self.key_password = found.as_deref().map(Secret::of),
            Some(TOKEN) => self.token = value.to_str().map(str::trim).filter(|token| !token.is_empty()).map(Secret::of),
            _ => {}
        }
    }

    /// What tells a server who the command line is, by `SOUK_TOKEN`.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.0.as_str())
    }

    /// The login name of whoever started the process, where it is known.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password of keys that sign, by `SOUK_KEY_PASSWORD`.
    pub fn key_password(&self) -> Option<&str> {
        self.key_password.as_ref().map(|password| password.0.as_str())
    }
}

fn no_text(name: &OsStr, value: &OsStr) -> Problem {
    let key = name.to_string_lossy().trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
    Problem { key, message: format!("the variable {name:?} = {value:?} is not UTF-8") }
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
    let mut problems = environment.problems.clone();
    problems.extend(unknown.iter().filter_map(|(key, value)| unknown_key(key, value, &defaults)));

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
            // A key that is wrong already has its default in `settings`, which nobody asked for.
            let wrong: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
            problems.extend(settings.contradictions().into_iter().filter(|problem| !wrong.contains(&problem.key)));
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
        .source(Some(environment.variables.clone()));
    let path = file.map_or_else(|| "the environment".into(), |path| path.display().to_string());
    Ok(leaves(&read(builder.add_source(variables), &path)?))
}

fn read(builder: config::ConfigBuilder<config::builder::DefaultState>, path: &str) -> Result<Value, ConfigError> {
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

/// Every value that is not a table, and every empty table, by its path.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        match &value.kind {
            ValueKind::Table(table) if !table.is_empty() || prefix.is_empty() => {
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

/// The problem with a key that is none of `known`; an empty section may be one
/// of theirs.
fn unknown_key(key: &str, value: &Value, known: &BTreeMap<String, Value>) -> Option<Problem> {
    let (noun, found, known): (_, _, BTreeSet<&str>) = match &value.kind {
        ValueKind::Table(_) => ("section", origin(value), known.keys().filter_map(|key| section(key)).collect()),
        _ => ("key", found(value), known.keys().map(String::as_str).collect()),
    };
    if known.contains(key) {
        return None;
    }
    let near = known.iter().map(|other| (strsim::jaro_winkler(key, other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match near {
        Some((likeness, other)) if likeness > 0.85 => format!("; did you mean {other}?"),
        _ => String::new(),
    };
    let message = format!("{found} is no known {noun}{hint}");
    Some(Problem { key: key.to_owned(), message: message.trim_start().to_owned() })
}

fn section(key: &str) -> Option<&str> {
    key.split_once('.').map(|(section, _)| section)
}

fn found(value: &Value) -> String {
    format!("{:?}{}", value.to_string(), origin(value))
}

fn origin(value: &Value) -> String {
    value.origin().map_or_else(String::new, |origin| format!(" (from {origin})"))
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".into() } else { format!("{problems} problems") }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

#[cfg(test)]
mod tests;
