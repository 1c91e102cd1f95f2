//! TorchScript archives and NumPy's `.npz`: zip files, which may come from anybody.
//!
//! A zip file says twice what is in it, and readers differ in whom they believe. So before
//! anybody else sees one, all that it says is held against where its bytes lie
//! ([`Directory`]): entries one behind the other from the first byte to the directory, each
//! once, under a plain name, as large as it says. What PyTorch and NumPy write is so; what
//! isn't is refused, though it might be harmless.
//!
//! Entries are unpacked to memory one at a time, and all together no more than a bound,
//! whatever the archive claims. What TorchScript's code does once it is loaded, nobody can
//! see from here: that is what signatures are for.

mod directory;
mod end;
mod entry;
mod fields;
mod local;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek},
};

use thiserror::Error;
use zip::ZipArchive;

use self::directory::Directory;
use super::Place;

/// What an archive may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Whether all entries lie below one folder.
    one_folder: bool,
    /// Most bytes that are unpacked of it, or that its compressed entries claim.
    most_unpacked: u64,
}

/// As `torch.jit.save` writes it. It compresses sources alone: those of the largest models
/// have a few millions of bytes.
pub(super) const TORCHSCRIPT: Shape = Shape { one_folder: true, most_unpacked: 64 << 20 };

/// As `np.savez` and `np.savez_compressed` write it: rows that prove a model are far fewer.
pub(super) const ARRAYS: Shape = Shape { one_folder: false, most_unpacked: 1 << 30 };

/// What is wrong with an archive.
#[derive(Debug, Error)]
pub(super) enum ArchiveFault {
    /// With the archive as a whole.
    #[error("{0}")]
    Whole(String),
    /// With one entry.
    #[error("its entry {name:?} {reason}")]
    Entry { name: String, reason: String },
    /// The system did not give its bytes.
    #[error("can't be read: {0}")]
    Read(#[from] io::Error),
}

/// An archive that is read.
pub(super) struct Entries<R> {
    directory: Directory,
    archive: ZipArchive<R>,
    most: u64,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<R: Read + Seek> Entries<R> {
    /// Reads the directory and holds it against the bytes.
    pub(super) fn new(mut reader: R, shape: &Shape) -> Result<Self, ArchiveFault> {
        let directory = Directory::read(&mut reader, shape)?;
        let archive = ZipArchive::new(reader).map_err(|error| ArchiveFault::Whole(error.to_string()))?;
        Ok(Self { directory, archive, most: shape.most_unpacked, left: shape.most_unpacked })
    }

    /// In the archive's order, with the bytes that each has unpacked.
    pub(super) fn names(&self) -> Vec<(String, u64)> {
        self.directory.entries().iter().map(|entry| (entry.name.clone(), entry.unpacked)).collect()
    }

    /// A whole entry, never a part of one; why not, for people.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let unpacked = |error: &dyn std::fmt::Display| format!("{name} can't be unpacked: {error}");
        let entry = self.archive.by_name(name).map_err(|error| unpacked(&error))?;
        let mut bytes = Vec::new();
        entry.take(self.left + 1).read_to_end(&mut bytes).map_err(|error| unpacked(&error))?;
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| format!("{name} is too large: wanted at most {} bytes in all", self.most))?;
        Ok(bytes)
    }
}

/// Whether a TorchScript archive may be given to libtorch.
///
/// # Errors
///
/// [`ArchiveFault`], which names the entry at fault.
pub(super) fn check(place: &Place<'_>) -> Result<(), ArchiveFault> {
    match place {
        Place::Path(path) => check_file(&mut File::open(path)?),
        Place::Bytes(bytes) => check_file(&mut Cursor::new(bytes)),
    }
}

/// The same, of a file that is open.
pub(super) fn check_file(file: &mut (impl Read + Seek)) -> Result<(), ArchiveFault> {
    // Not through a buffer: what is read of each entry is little, and far from the next.
    Directory::read(file, &TORCHSCRIPT).map(drop)
}
