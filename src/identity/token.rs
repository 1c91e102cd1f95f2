//! Tokens: secrets of which the server keeps the hash alone.
//!
//! They are compared by their hashes, so that the time of a comparison tells nothing of a token:
//! who comes near to a hash knows no more of what it is the hash of.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// What our tokens begin with, so that whoever finds one, a scanner of repositories say, knows what
/// it is.
const PREFIX: &str = "souk_";

/// Random bytes of a token.
const BYTES: usize = 32;

/// Fewest characters of a token that somebody else made: what is shorter can be guessed.
pub(super) const SHORTEST: usize = 16;

/// The sha256 of a token.
pub(super) type Hash = [u8; 32];

/// Why there is no token.
#[derive(Debug, Error)]
#[error("the system gave no random bytes")]
pub struct TokenError;

/// A secret, which its holder shows. Not printed but on purpose.
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(<secret>)")
    }
}

impl Token {
    /// A new one, from a source of random bytes.
    ///
    /// # Errors
    ///
    /// [`TokenError`] where there are none.
    pub fn new(random: impl FnOnce(&mut [u8]) -> Result<(), TokenError>) -> Result<Self, TokenError> {
        let mut bytes = [0; BYTES];
        random(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", hex(&bytes))))
    }

    /// What its holder keeps.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the server keeps, in hexadecimal.
    pub fn sha256(&self) -> String {
        hex(&hash(&self.0))
    }
}

pub(super) fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash that is written so.
pub(super) fn of_hex(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    let digits = text.as_bytes();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_its_hash_is_that_of_every_tool() {
        let token = Token::new(|bytes| {
            bytes.fill(0xab);
            Ok(())
        });
        let token = token.unwrap();
        assert_eq!(token.secret(), format!("souk_{}", "ab".repeat(32)));
        // `printf %s TOKEN | sha256sum`
        assert_eq!(hex(&hash("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(of_hex(&token.sha256()), Some(hash(token.secret())));
        assert!(!format!("{token:?}").contains("ab"), "{token:?}");
    }

    #[test]
    fn only_64_digits_are_a_hash() {
        for wrong in ["", "ab", &"g".repeat(64), &"+a".repeat(32), &"é".repeat(32)] {
            assert_eq!(of_hex(wrong), None, "{wrong}");
        }
    }
}
