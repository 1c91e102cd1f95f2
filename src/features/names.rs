//! Maps that are asked by names that callers send.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What is known of some names. Filled from a manifest alone, so that no caller
/// can make its hashes collide, and a fast hash will do.
pub(super) type Names<T> = HashMap<Box<str>, T, BuildHasherDefault<NameHasher>>;

/// xxh3 of one name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, name: &[u8]) {
        self.0 = xxh3_64_with_seed(name, self.0);
    }

    /// What ends a name: there is one alone.
    fn write_u8(&mut self, _end: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
