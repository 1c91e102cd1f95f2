//! Reads the files of a version, which anybody may have put there.
//!
//! Only regular files, after following links, and none beyond a bound: opening a
//! FIFO waits for ever, a device has no end, and a file that is larger than its
//! bound would take the server's memory before anything proved it right.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write},
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

const MIB: u64 = 1 << 20;

/// Most bytes of `manifest.json`. Those of large vocabularies (a million words)
/// have some 10 MB, and parsing takes a multiple of it in memory.
pub(super) const MOST_MANIFEST: u64 = 16 * MIB;

/// Most bytes of a signature: minisign's comments have up to 8192 and 1024.
pub(super) const MOST_SIGNATURE: u64 = 16 << 10;

/// Most bytes of a model, which is copied. Larger ones than libtorch runs on a
/// CPU within any deadline.
pub(super) const MOST_MODEL: u64 = 16 * 1024 * MIB;

/// Most bytes of `golden.jsonl`, which is read whole, and of a file that the
/// server does not read, such as the card: its digest is checked all the same.
pub(super) const MOST_OTHER: u64 = 256 * MIB;

/// Bytes that are read and hashed at a time: they stay in the processor's cache.
const CHUNK: usize = 1 << 16;

/// Why a file of a version can't be used.
#[derive(Debug, Error)]
pub enum FileFault {
    /// The folder itself is not there, or not for us: such as a link to nowhere.
    #[error("the version's folder can't be opened: {0}")]
    Folder(io::Error),
    /// There is no such file.
    #[error("the file is missing")]
    Missing,
    /// Neither a regular file nor a link to one.
    #[error("is {0}, wanted a regular file")]
    NotRegular(&'static str),
    /// Larger than such files may be.
    #[error("has {found} bytes, wanted at most {most}")]
    TooLarge {
        /// Its size as far as it is known, in bytes.
        found: u64,
        /// Its bound, in bytes.
        most: u64,
    },
    /// The system did not give it.
    #[error("can't be read: {0}")]
    Read(io::Error),
    /// The system has no memory for a copy of it.
    #[error("can't be copied to memory: {0}")]
    Copy(io::Error),
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Read(error),
        }
    }
}

/// The whole file.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, FileFault> {
    let (file, size) = open(path, most)?;
    let mut bytes = Vec::new();
    // Too little memory is this version's problem, and no reason to abort.
    bytes.try_reserve_exact(usize::try_from(size).unwrap_or_default()).map_err(io::Error::from)?;
    // One more than allowed: the file may have grown since.
    file.take(most + 1).read_to_end(&mut bytes)?;
    within(bytes.len(), most).map(|_| bytes)
}

/// Copies the file, read once and in small pieces; the sha256 of what was copied.
pub(super) fn copy(path: &Path, most: u64, into: &mut impl Write) -> Result<String, FileFault> {
    let (file, _) = open(path, most)?;
    let mut file = file.take(most + 1);
    let (mut hash, mut chunk, mut total) = (Sha256::new(), vec![0; CHUNK], 0);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                total += read;
                let read = chunk.get(..read).unwrap_or_default();
                hash.update(read);
                into.write_all(read).map_err(FileFault::Copy)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    within(total, most).map(|_| hexadecimal(&hash.finalize()))
}

/// The sha256 of a file that nobody needs in memory.
pub(super) fn read_digest(path: &Path, most: u64) -> Result<String, FileFault> {
    copy(path, most, &mut io::sink())
}

/// sha256 as 64 lower-case hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Looked at before it is opened: opening a FIFO already waits.
fn open(path: &Path, most: u64) -> Result<(File, u64), FileFault> {
    let seen = fs::metadata(path)?;
    if !seen.is_file() {
        return Err(FileFault::NotRegular(what(seen.file_type())));
    }
    if seen.len() > most {
        return Err(FileFault::TooLarge { found: seen.len(), most });
    }
    Ok((File::open(path)?, seen.len()))
}

fn within(found: usize, most: u64) -> Result<(), FileFault> {
    let found = found as u64;
    if found > most { Err(FileFault::TooLarge { found, most }) } else { Ok(()) }
}

fn what(kind: fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn with_file(bytes: &[u8]) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_is_hashed_alike_whole_and_in_chunks() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 5).map(|index| (index % 251) as u8).collect();
        let (_folder, path) = with_file(&bytes);
        let most = bytes.len() as u64;
        assert_eq!(read(&path, most).unwrap(), bytes);
        assert_eq!(read_digest(&path, most).unwrap(), digest(&bytes));
    }

    #[test]
    fn a_file_of_one_byte_too_many_is_refused() {
        let (_folder, path) = with_file(b"abcd");
        for error in [read(&path, 3).unwrap_err(), read_digest(&path, 3).unwrap_err()] {
            assert_eq!(error.to_string(), "has 4 bytes, wanted at most 3");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_never_opened() {
        let (folder, path) = with_file(b"abcd");
        let said = |path: &Path| read(path, MOST_OTHER).unwrap_err().to_string();
        assert_eq!(said(folder.path()), "is a folder, wanted a regular file");
        assert_eq!(said(Path::new("/dev/zero")), "is a device, wanted a regular file");
        assert_eq!(said(&folder.path().join("nothing")), "the file is missing");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link, MOST_OTHER).unwrap(), b"abcd");
    }
}
