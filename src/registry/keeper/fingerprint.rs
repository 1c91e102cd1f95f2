//! How a version's folder looks from outside: enough to see that it was changed
//! since it was rejected.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::model::VersionFolder;

/// Inode, size and time of change of what matters most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fingerprint(Vec<(u64, u64, i64, i64)>);

impl Fingerprint {
    /// Of the folder as it is now; of a link, of what it leads to.
    pub(super) fn of(folder: &VersionFolder) -> Self {
        let paths = [
            folder.path.clone(),
            folder.path.join("manifest.json"),
            folder.path.join("model.pt"),
            folder.path.join("golden.jsonl"),
        ];
        let seen = paths.iter().map(|path| fs::metadata(path).ok());
        let print = |seen: Option<fs::Metadata>| {
            seen.map_or_else(Default::default, |seen| (seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
        };
        Self(seen.map(print).collect())
    }
}
