//! Public keys: one line of base64, or a file that holds it.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::Path,
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minisign_verify::Signature;
use thiserror::Error;

/// What is in front of the key itself: two letters that name the algorithm, then the number.
const HEAD: usize = 2 + size_of::<u64>();

/// Characters of a public key: algorithm, number and 32 bytes.
const LENGTH: usize = 56;

/// Most bytes of a file that holds a public key; minisign's comments have up to 1024.
const MOST_FILE: u64 = 4096;

/// The number of a key, by which people and signatures name it. Chosen by chance, and
/// proof of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId(u64);

/// A key that signatures are verified with.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
}

/// Why something is no public key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Neither a key nor a file.
    #[error("{text:?} is neither a public key, which has {LENGTH} characters and begins with RW, nor a file: {source}")]
    Neither {
        /// What was given.
        text: String,
        /// What the system said of such a file.
        source: io::Error,
    },
    /// It looks like a key, or is a file, and is none.
    #[error("{text:?} holds no public key as minisign writes it")]
    NoKey {
        /// What was given.
        text: String,
    },
}

impl KeyId {
    /// Of what two letters and the number are the beginning of, in base64.
    fn of_line(line: &str) -> Option<Self> {
        let bytes = STANDARD.decode(line.trim()).ok()?;
        let number = bytes.get(HEAD - size_of::<u64>()..)?.first_chunk()?;
        Some(Self(u64::from_le_bytes(*number)))
    }

    /// The one that a signature says it is by.
    pub(super) fn of_signature(text: &str) -> Option<Self> {
        Self::of_line(text.lines().nth(1)?)
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|number| Self(u64::from_le_bytes(*number)))
    }
}

/// As minisign writes it.
impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016X}", self.0)
    }
}

impl PublicKey {
    /// Its number.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Also what releases of minisign before 0.8 signed, without a hash.
    pub(super) fn has_signed(&self, bytes: &[u8], signature: &Signature) -> bool {
        self.key.verify(bytes, signature, true).is_ok()
    }

    /// The one that a file's text holds. Its comment may be missing.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        text.lines().take(2).find_map(Self::of_line)
    }

    fn of_line(line: &str) -> Option<Self> {
        let line = line.trim();
        let key = minisign_verify::PublicKey::from_base64(line).ok()?;
        Some(Self { id: KeyId::of_line(line)?, key })
    }
}

/// A key itself, or the path of a file with it, such as `souk keygen` and `minisign -G` write.
impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let no_key = || KeyError::NoKey { text: text.to_owned() };
        if text.len() == LENGTH && text.starts_with("RW") {
            return Self::of_line(text).ok_or_else(no_key);
        }
        let held = read(Path::new(text)).map_err(|source| KeyError::Neither { text: text.to_owned(), source })?;
        Self::of_text(&held).ok_or_else(no_key)
    }
}

fn read(path: &Path) -> io::Result<String> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MOST_FILE).read_to_string(&mut text)?;
    Ok(text)
}
