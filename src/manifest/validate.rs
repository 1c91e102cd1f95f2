//! What a manifest's shape can't say: names that must match, widths, ranges.

use super::Manifest;

impl Manifest {
    /// Everything that is wrong with the meaning of the manifest; empty where it is sound.
    pub fn check(&self) -> Vec<String> {
        Vec::new()
    }
}
