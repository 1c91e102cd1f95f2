//! The file of identities, entry by entry, with every problem named.

use std::{
    collections::BTreeSet,
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;

use super::{
    Role,
    token::{self, Hash, SHORTEST},
};

/// Why a file of identities can't be used. No message repeats a token or a hash.
#[derive(Debug, Error)]
pub enum FileError {
    /// It can't be read.
    #[error("auth.file = {path:?}: can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It can't be understood.
    #[error("auth.file = {path:?}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, and what was wanted.
        reason: String,
    },
    /// All that is wrong with its entries.
    #[error("auth.file = {path:?}: {}", problems.join("; "))]
    Problems {
        /// The file.
        path: PathBuf,
        /// Each names its identity.
        problems: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    identity: Vec<Entry>,
}

/// `[[identity]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    token_sha256: Several,
    #[serde(default)]
    token_file: Several,
    #[serde(default)]
    certificate: Several,
    roles: BTreeSet<Role>,
    models: Option<BTreeSet<String>>,
    rows_per_second: Option<NonZeroU32>,
    expires: Option<Moment>,
}

/// One, or a list of them: two tokens while clients change from one to the other.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Several {
    #[default]
    None,
    One(String),
    List(Vec<String>),
}

impl Several {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::List(list) => list,
        }
    }
}

/// In quotes or as TOML's own.
#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    Text(String),
    Toml(toml::value::Datetime),
}

/// An identity as its entry says, with the tokens that its files held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) tokens: BTreeSet<Hash>,
    pub(super) certificates: BTreeSet<String>,
    pub(super) roles: BTreeSet<Role>,
    pub(super) models: Option<BTreeSet<String>>,
    pub(super) rows_per_second: Option<NonZeroU32>,
    pub(super) expires: Option<Timestamp>,
}

/// Reads a file and those that it names.
///
/// # Errors
///
/// [`FileError`] with all problems of all entries.
pub(super) fn read(path: &Path) -> Result<Vec<Described>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.into(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    // Not the error's own form, which repeats the line at fault, with whatever it holds.
    let malformed = |error: toml::de::Error| FileError::Malformed { path: path.into(), reason: place(&error, &text) };
    let File { identity } = toml::from_str(&text).map_err(malformed)?;
    let (mut described, mut problems) = (Vec::new(), Vec::new());
    // What it names lies beside it, wherever the server was started.
    let folder = path.parent().unwrap_or(Path::new(""));
    for entry in identity {
        let (one, wrong) = entry.described(folder);
        problems.extend(wrong.into_iter().map(|problem| format!("identity {:?}: {problem}", one.name)));
        described.push(one);
    }
    problems.extend(twice(&described));
    if problems.is_empty() { Ok(described) } else { Err(FileError::Problems { path: path.into(), problems }) }
}

fn place(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(0, |before| before.matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

impl Entry {
    /// The identity as far as it can be understood, and all that is wrong.
    fn described(self, folder: &Path) -> (Described, Vec<String>) {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() || self.name.chars().any(char::is_control) {
            problems.push("name: wanted a word or two, in one line".to_owned());
        }
        let mut tokens = BTreeSet::new();
        for hash in self.token_sha256.into_list() {
            match token::of_hex(&hash) {
                Some(hash) => drop(tokens.insert(hash)),
                None => problems.push("token_sha256: wanted the 64 hexadecimal digits that `souk token` prints".into()),
            }
        }
        for file in self.token_file.into_list() {
            match of_file(&folder.join(&file)) {
                Ok(hash) => drop(tokens.insert(hash)),
                Err(reason) => problems.push(format!("token_file {file:?}: {reason}")),
            }
        }
        let certificates: BTreeSet<String> = self.certificate.into_list().into_iter().collect();
        if tokens.is_empty() && certificates.is_empty() && problems.is_empty() {
            problems.push("wanted token_sha256, token_file or certificate, by which it is known".into());
        }
        if self.models.as_ref().is_some_and(BTreeSet::is_empty) {
            problems.push("models: is empty; leave it out for all models".into());
        }
        let expires = self.expires.map(Moment::read).transpose().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let Self { name, roles, models, rows_per_second, .. } = self;
        (Described { name, tokens, certificates, roles, models, rows_per_second, expires }, problems)
    }
}

impl Moment {
    fn read(self) -> Result<Timestamp, String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Toml(moment) => moment.to_string(),
        };
        text.parse().map_err(|_| format!("expires: {text:?}, wanted a moment such as 2027-01-01T00:00:00Z"))
    }
}

/// The hash of the token that a file holds.
fn of_file(path: &Path) -> Result<Hash, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"))?;
    let token = text.trim();
    let length = token.chars().count();
    if length < SHORTEST {
        return Err(format!("holds {length} characters, wanted at least {SHORTEST}, as `souk token` makes them"));
    }
    Ok(token::hash(token))
}

/// What would make two identities one.
fn twice(described: &[Described]) -> Vec<String> {
    let (mut names, mut tokens, mut certificates) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut problems = Vec::new();
    for Described { name, tokens: own, certificates: shown, .. } in described {
        if !names.insert(name) {
            problems.push(format!("identity {name:?} is there twice"));
        }
        if own.iter().filter(|token| !tokens.insert(*token)).count() > 0 {
            problems.push(format!("identity {name:?}: another one has the same token"));
        }
        for certificate in shown.iter().filter(|certificate| !certificates.insert(*certificate)) {
            problems.push(format!("identity {name:?}: another one has the certificate {certificate:?} too"));
        }
    }
    problems
}
