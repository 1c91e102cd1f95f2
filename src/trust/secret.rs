//! Secret keys: made, kept in files for their owner alone, and signed with.
//!
//! Nothing here can be printed: neither keys nor passwords have a form for people.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Cursor, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minisign::{KeyPair, PError, PublicKey, SecretKeyBox};
use thiserror::Error;

use super::KeyId;

/// Readable and writable for the owner.
const PRIVATE: u32 = 0o600;

/// Bytes of the checksum at the end of a key.
const CHECKSUM: usize = 32;

/// A key that can sign.
pub struct SecretKey(minisign::SecretKey);

/// Why a key can't be made, read or used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file can't be had.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key is there already, which others may trust.
    #[error("{path} is there already: a key is never overwritten")]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// minisign's reason, such as a wrong password.
    #[error("{0}")]
    Key(PError),
}

/// Where a new pair of keys is to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// For the owner alone.
    pub secret: PathBuf,
    /// For everybody.
    pub public: PathBuf,
}

impl KeyFiles {
    /// The public key lies beside the secret one, by the same name with `.pub`.
    pub fn at(secret: &Path) -> Self {
        Self { secret: secret.to_owned(), public: secret.with_extension("pub") }
    }

    /// Whether neither is there.
    ///
    /// # Errors
    ///
    /// [`SecretError::Taken`].
    pub fn are_free(&self) -> Result<(), SecretError> {
        let taken = [&self.secret, &self.public].into_iter().find(|path| path.symlink_metadata().is_ok());
        taken.map_or(Ok(()), |path| Err(SecretError::Taken { path: path.clone() }))
    }

    /// Makes a pair of keys, the secret one locked by a password where there is one. The
    /// public key, as one line.
    ///
    /// # Errors
    ///
    /// [`SecretError`]; no file is left behind then.
    pub fn generate(&self, password: Option<String>) -> Result<String, SecretError> {
        self.are_free()?;
        let KeyPair { pk, sk } = match password {
            Some(_) => KeyPair::generate_encrypted_keypair(password),
            None => KeyPair::generate_unencrypted_keypair(),
        }?;
        let (secret, public) = (sk.to_box(Some("souk secret key"))?, pk.to_box()?);
        self.write(&secret.into_string(), &public.into_string())?;
        Ok(pk.to_base64())
    }

    fn write(&self, secret: &str, public: &str) -> Result<(), SecretError> {
        written(&self.secret, PRIVATE, secret)?;
        let done = written(&self.public, 0o644, public);
        if done.is_err() {
            // A secret key without its public one is good for nothing.
            let _left = fs::remove_file(&self.secret);
        }
        done
    }
}

fn written(path: &Path, mode: u32, text: &str) -> Result<(), SecretError> {
    let write = |mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    made.and_then(write).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SecretError::Taken { path: path.to_owned() },
        _ => SecretError::File { path: path.to_owned(), source },
    })
}

/// Whether a key in minisign's format needs a password: what is no key does not.
pub fn is_locked(text: &str) -> bool {
    // Behind the two letters of the algorithm are those of how it is locked.
    decoded(text).is_some_and(|bytes| bytes.get(2..4).is_some_and(|how| how != [0, 0]))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.lines().nth(1)?.trim()).ok()
}

/// A key that is not locked and has no checksum: `minisign -W` up to 0.11 writes none.
fn unchecked(text: &str) -> Option<minisign::SecretKey> {
    let bytes = decoded(text).filter(|_| !is_locked(text))?;
    let (_, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    checksum.iter().all(|byte| *byte == 0).then(|| minisign::SecretKey::from_bytes(&bytes).ok())?
}

impl SecretKey {
    /// The key in the text of a file, unlocked where there is a password.
    ///
    /// # Errors
    ///
    /// [`SecretError::Key`] where it is none, or the password is not its.
    pub fn unlock(text: String, password: Option<String>) -> Result<Self, SecretError> {
        if let Some(key) = unchecked(&text) {
            return Ok(Self(key));
        }
        let held = SecretKeyBox::from(text);
        // Without a password minisign would ask for one by itself.
        let key = match password {
            Some(_) => held.into_secret_key(password),
            None => held.into_unencrypted_secret_key(),
        };
        Ok(Self(key?))
    }

    /// Its number; none of a key that is none.
    pub fn id(&self) -> Option<KeyId> {
        KeyId::of_bytes(self.0.keynum())
    }

    /// A signature of these bytes and of the comment, which holds no line break.
    ///
    /// # Errors
    ///
    /// [`SecretError::Key`] where the system has no random numbers.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, SecretError> {
        let untrusted = "signature from souk secret key";
        // With its public half the signature is verified at once: a damaged key makes none.
        let public = PublicKey::from_secret_key(&self.0)?;
        let signature = minisign::sign(Some(&public), &self.0, Cursor::new(bytes), Some(comment), Some(untrusted))?;
        Ok(signature.into_string())
    }
}

impl From<PError> for SecretError {
    fn from(error: PError) -> Self {
        Self::Key(error)
    }
}
