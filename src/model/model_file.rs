//! A copy of a model file that nobody can change any more: what was hashed is what
//! is loaded, whoever overwrites the file meanwhile.
//!
//! The copy lies in a file that has no name and no disk (a memfd), from which
//! libtorch reads each tensor right to where it stays. Loading from bytes would copy
//! them three times more. Rejected: loading from the version's own file, which may
//! change after it was hashed even where it stays open; an unnamed file on a disk
//! (`O_TMPFILE`), which needs a place that may be written to, and can't be sealed.

use std::{borrow::Cow, fs::File, io, path::Path};

use super::file::{self, FileFault, MOST_MODEL};

/// The copy. Its memory is free again once this is dropped.
#[derive(Debug)]
pub struct ModelFile {
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// Sealed, and not in this process's memory.
    Sealed(File),
    /// Where the system has no such files.
    Bytes(Vec<u8>),
}

/// Where the bytes of a model file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<'f> {
    /// In a file with this path, which is good while the [`ModelFile`] is there, and
    /// for this process alone.
    Path(String),
    /// In memory.
    Bytes(&'f [u8]),
}

impl ModelFile {
    /// Copies a file; with it the sha256 of what was copied.
    pub(super) fn copied(path: &Path, most: u64) -> Result<(Self, String), FileFault> {
        match unnamed() {
            Ok(mut file) => {
                let digest = file::copy(path, most, &mut file)?;
                seal(&file).map_err(FileFault::Copy)?;
                Ok((Self { held: Held::Sealed(file) }, digest))
            }
            Err(_refused) => Self::in_memory(path, most),
        }
    }

    fn in_memory(path: &Path, most: u64) -> Result<(Self, String), FileFault> {
        let bytes = file::read(path, most)?;
        let digest = file::digest(&bytes);
        Ok((Self { held: Held::Bytes(bytes) }, digest))
    }

    /// All its bytes, in memory of their own where they can be had no other way.
    ///
    /// # Errors
    ///
    /// [`FileFault`] where the system doesn't give them, or has no memory for them.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, FileFault> {
        match self.place() {
            Place::Path(path) => file::read(Path::new(&path), MOST_MODEL).map(Cow::Owned),
            Place::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }

    /// Where its bytes are.
    pub fn place(&self) -> Place<'_> {
        match &self.held {
            Held::Sealed(file) => Place::Path(path_of(file)),
            Held::Bytes(bytes) => Place::Bytes(bytes),
        }
    }
}

fn path_of(file: &File) -> String {
    use std::os::fd::AsRawFd as _;

    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A file in memory that has no name, where it can be had and be found by its path.
#[cfg(target_os = "linux")]
fn unnamed() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};

    let file = File::from(memfd_create("model", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    // A container may have no /proc.
    std::fs::metadata(path_of(&file))?;
    Ok(file)
}

/// Nobody, not even this process, can write to the file any more.
#[cfg(target_os = "linux")]
fn seal(file: &File) -> io::Result<()> {
    use rustix::fs::{SealFlags, fcntl_add_seals};

    Ok(fcntl_add_seals(file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?)
}

#[cfg(not(target_os = "linux"))]
fn unnamed() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn seal(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn bytes_of(file: &ModelFile) -> Vec<u8> {
        file.bytes().unwrap().into_owned()
    }

    #[test]
    fn what_was_hashed_stays_whoever_overwrites_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        let wanted: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        for copied in [ModelFile::copied, ModelFile::in_memory] {
            fs::write(&path, &wanted).unwrap();
            let (file, digest) = copied(&path, 1 << 20).unwrap();
            fs::write(&path, b"something else").unwrap();
            assert_eq!(digest, file::digest(&wanted));
            assert_eq!(bytes_of(&file), wanted);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_copy_can_not_be_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        fs::write(&path, b"abcd").unwrap();
        let (file, _digest) = ModelFile::copied(&path, 4).unwrap();
        let Place::Path(copy) = file.place() else { unreachable!("it is in memory") };
        assert!(
            fs::OpenOptions::new()
                .write(true)
                .open(&copy)
                .and_then(|mut file| io::Write::write(&mut file, b"x"))
                .is_err()
        );
        assert_eq!(bytes_of(&file), b"abcd");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_however_it_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        fs::write(&path, b"abcd").unwrap();
        for copied in [ModelFile::copied, ModelFile::in_memory] {
            assert_eq!(copied(&path, 3).unwrap_err().to_string(), "has 4 bytes, wanted at most 3");
        }
    }
}
