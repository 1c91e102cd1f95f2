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
        let seen = folder.telling().map(|path| fs::metadata(path).ok());
        let print = |seen: Option<fs::Metadata>| {
            seen.map_or_else(Default::default, |seen| (seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
        };
        Self(seen.map(print).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_and_the_weights_of_any_engine_change_how_a_version_looks() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("gmv/1");
        fs::create_dir_all(&path).unwrap();
        let folder = VersionFolder::at(&path).unwrap();
        for name in ["manifest.json", "manifest.json.minisig", "golden.jsonl", "model.pt", "model.safetensors"] {
            fs::write(path.join(name), "a").unwrap();
            let before = Fingerprint::of(&folder);
            fs::write(path.join(name), "ab").unwrap();
            assert_ne!(before, Fingerprint::of(&folder), "{name}");
        }
    }
}
