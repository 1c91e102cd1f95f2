//! The entries of a TorchScript archive, a zip file, unpacked to memory: one at a time, and
//! all together no more than a bound, whatever the archive claims.

use std::io::{Read, Seek};

use zip::ZipArchive;

/// Most bytes that are unpacked of one archive: the sources of the largest models have a few
/// millions.
const MOST_BYTES: u64 = 64 << 20;

/// An archive that is read.
pub(super) struct Entries<R> {
    archive: ZipArchive<R>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<R: Read + Seek> Entries<R> {
    /// Reads the directory; what is wrong with it, for people.
    pub(super) fn new(reader: R) -> Result<Self, String> {
        let archive = ZipArchive::new(reader).map_err(|error| error.to_string())?;
        Ok(Self { archive, left: MOST_BYTES })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.archive.file_names().map(str::to_owned).collect()
    }

    /// The size that the archive claims for an entry; 0 where there is none.
    pub(super) fn size(&mut self, name: &str) -> u64 {
        self.archive.by_name(name).map_or(0, |entry| entry.size())
    }

    /// A whole entry, never a part of one; why not, for people.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let unpacked = |error: &dyn std::fmt::Display| format!("{name} can't be unpacked: {error}");
        let entry = self.archive.by_name(name).map_err(|error| unpacked(&error))?;
        let mut bytes = Vec::new();
        entry.take(self.left + 1).read_to_end(&mut bytes).map_err(|error| unpacked(&error))?;
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| format!("{name} is too large: wanted code of at most {MOST_BYTES} bytes in all"))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::{ZipWriter, write::FileOptions};

    use super::*;

    fn archive(entries: &[(&str, usize)]) -> Entries<Cursor<Vec<u8>>> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, size) in entries {
            writer.start_file(*name, FileOptions::default()).unwrap();
            writer.write_all(&vec![b' '; *size]).unwrap();
        }
        Entries::new(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn entries_are_whole_and_no_more_than_the_bound_together() {
        let half = usize::try_from(MOST_BYTES / 2).unwrap();
        let mut entries = archive(&[("first", half), ("second", half), ("third", 1)]);
        assert_eq!(entries.size("first"), MOST_BYTES / 2);
        assert_eq!(entries.read("first").unwrap().len(), half);
        assert_eq!(entries.read("second").unwrap().len(), half);
        assert!(entries.read("third").unwrap_err().starts_with("third is too large"));
        assert!(archive(&[]).read("none").unwrap_err().starts_with("none can't be unpacked"));
        assert!(Entries::new(Cursor::new(b"no archive")).is_err());
    }
}
