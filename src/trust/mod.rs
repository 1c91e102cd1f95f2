//! Whose signatures count: ed25519 in minisign's format, so that `minisign` verifies what
//! Souk signed and the other way round.
//!
//! Bytes in, a verdict out: it knows neither versions nor settings, and opens no file but
//! those of public keys. A signature says who made something and that it is whole; not that
//! it is good, nor that nothing newer was made since.
//!
//! Format: <https://jedisct1.github.io/minisign/>.

mod key;
mod secret;
#[cfg(test)]
mod tests;

use std::fmt;

use minisign_verify::Signature;
use thiserror::Error;

pub use key::{KeyError, KeyId, PublicKey};
pub use secret::{KeyFiles, SecretError, SecretKey, is_locked};

/// Whose signatures count, and whether one is needed. By default nobody's, and none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trust {
    keys: Vec<PublicKey>,
    required: bool,
}

/// What a signature says that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// By which of the trusted keys.
    pub key: KeyId,
    /// What the signer wrote beside it, which is signed too. May be empty.
    pub comment: String,
}

/// Why something is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Distrust {
    /// Nobody signed.
    #[error("there is none, wanted one by {trusted}")]
    Missing {
        /// Whose would count.
        trusted: String,
    },
    /// What is there is no signature.
    #[error("is no signature as minisign writes it")]
    Unreadable,
    /// Somebody else signed.
    #[error("is by key {key}, wanted one by {trusted}")]
    UnknownKey {
        /// Who says to have signed.
        key: KeyId,
        /// Whose would count.
        trusted: String,
    },
    /// It is that of other bytes, or of other comments, or forged.
    #[error("says that it is by key {key}, which did not sign these bytes")]
    Forged {
        /// Who says to have signed.
        key: KeyId,
    },
}

impl Trust {
    /// A signature that is there must be by one of these keys; nothing is looked at where
    /// there is no key.
    pub fn in_keys(keys: Vec<PublicKey>) -> Self {
        Self { keys, required: false }
    }

    /// The same, where what nobody signed is not trusted either.
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Whether signatures are to be looked at.
    pub fn is_asked(&self) -> bool {
        self.required || !self.keys.is_empty()
    }

    /// Who signed these bytes; nobody, where nobody had to.
    ///
    /// # Errors
    ///
    /// [`Distrust`] where a signature is needed and missing, or is there and wrong.
    pub fn verify(&self, bytes: &[u8], signature: Option<&[u8]>) -> Result<Option<Signed>, Distrust> {
        match signature {
            _ if !self.is_asked() => Ok(None),
            None if self.required => Err(Distrust::Missing { trusted: self.to_string() }),
            None => Ok(None),
            Some(signature) => self.signed(bytes, signature).map(Some),
        }
    }

    fn signed(&self, bytes: &[u8], signature: &[u8]) -> Result<Signed, Distrust> {
        let text = str::from_utf8(signature).map_err(|_no_text| Distrust::Unreadable)?;
        let key = KeyId::of_signature(text).ok_or(Distrust::Unreadable)?;
        let signature = Signature::decode(text).map_err(|_no_signature| Distrust::Unreadable)?;
        let mut keys = self.keys.iter().filter(|trusted| trusted.id() == key).peekable();
        if keys.peek().is_none() {
            return Err(Distrust::UnknownKey { key, trusted: self.to_string() });
        }
        // Two keys may have one number.
        if !keys.any(|trusted| trusted.has_signed(bytes, &signature)) {
            return Err(Distrust::Forged { key });
        }
        Ok(Signed { key, comment: signature.trusted_comment().to_owned() })
    }
}

/// Whose signatures count, for people.
impl fmt::Display for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|key| key.id().to_string()).collect();
        match keys.as_slice() {
            [] => formatter.write_str("a trusted key, of which there is none"),
            [key] => write!(formatter, "the trusted key {key}"),
            keys => write!(formatter, "one of the trusted keys {}", keys.join(", ")),
        }
    }
}
