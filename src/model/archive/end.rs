//! The end of an archive: where its directory is.

use std::{
    io::{Read, Seek, SeekFrom},
    ops::Range,
};

use super::{ArchiveFault, fields::Fields};

const END: &[u8] = b"PK\x05\x06";
const LARGE_END: &[u8] = b"PK\x06\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";

/// Bytes of the three records; without a comment, which neither PyTorch nor NumPy writes.
const END_BYTES: u64 = 22;
const LOCATOR_BYTES: u64 = 20;
const LARGE_END_BYTES: u64 = 56;

/// Values that fill their fields.
const MOST_16: u64 = u16::MAX as u64;
const MOST_32: u64 = u32::MAX as u64;

/// What the large end says of its length: all behind that.
const LARGE_END_SAYS: u64 = 44;

/// What an archive says at its end.
pub(super) struct End {
    /// Where the directory is: right before.
    pub(super) directory: Range<u64>,
    pub(super) entries: u64,
}

/// Numbers of entries, and the directory's size and place.
struct Said {
    entries: u64,
    size: u64,
    offset: u64,
}

impl End {
    pub(super) fn read(reader: &mut (impl Read + Seek)) -> Result<Self, ArchiveFault> {
        let size = reader.seek(SeekFrom::End(0))?;
        let Some(at) = size.checked_sub(END_BYTES) else {
            return Err(wrong(&format!("has {size} bytes, wanted an end record of {END_BYTES}")));
        };
        let end = record(reader, at, END_BYTES)?;
        let said = end_said(&end).ok_or_else(|| {
            wrong("does not end with an end record: it was cut off, has a comment, or something was put behind it")
        })?;
        let locator = match at.checked_sub(LOCATOR_BYTES) {
            Some(before) => Some(record(reader, before, LOCATOR_BYTES)?).filter(|bytes| bytes.starts_with(LOCATOR)),
            None => None,
        };
        match locator {
            None if said.is_larger() => Err(wrong("has a larger end record than fits, which is not there")),
            None => said.before(at),
            Some(locator) => {
                large(reader, at - LOCATOR_BYTES, &locator)?.of(&said).ok_or_else(differ)?.before_large(at)
            }
        }
    }
}

impl Said {
    /// Whether a value fills its field, and so stands for a larger one.
    fn is_larger(&self) -> bool {
        let Self { entries, size, offset } = *self;
        entries == MOST_16 || size == MOST_32 || offset == MOST_32
    }

    /// This, of the large end, where the small one says the same as far as it can.
    fn of(self, small: &Self) -> Option<Self> {
        let agree = |small: u64, large: u64, most: u64| small == large || small == most;
        let Self { entries, size, offset } = *small;
        let all = agree(entries, self.entries, MOST_16)
            && agree(size, self.size, MOST_32)
            && agree(offset, self.offset, MOST_32);
        all.then_some(self)
    }

    fn before_large(self, end: u64) -> Result<End, ArchiveFault> {
        self.before(end.saturating_sub(LOCATOR_BYTES + LARGE_END_BYTES))
    }

    fn before(self, end: u64) -> Result<End, ArchiveFault> {
        let Self { entries, size, offset } = self;
        if offset.checked_add(size) != Some(end) {
            return Err(wrong(&format!(
                "says that its directory has {size} bytes from byte {offset} on, wanted it to end at byte {end}"
            )));
        }
        Ok(End { directory: offset..end, entries })
    }
}

fn end_said(record: &[u8]) -> Option<Said> {
    let mut fields = Fields::new(record.strip_prefix(END)?);
    let disks = (fields.u16()?, fields.u16()?);
    let entries = (fields.u16()?, fields.u16()?);
    let (size, offset, comment) = (fields.u32()?, fields.u32()?, fields.u16()?);
    let is_one = disks == (0, 0) && entries.0 == entries.1 && comment == 0;
    is_one.then(|| Said { entries: entries.1.into(), size: size.into(), offset: offset.into() })
}

/// What the large end says, which is right before its locator.
fn large(reader: &mut (impl Read + Seek), locator_at: u64, locator: &[u8]) -> Result<Said, ArchiveFault> {
    let at = locator_at.checked_sub(LARGE_END_BYTES).ok_or_else(differ)?;
    located(locator).filter(|said| *said == at).ok_or_else(differ)?;
    large_said(&record(reader, at, LARGE_END_BYTES)?).ok_or_else(differ)
}

fn located(locator: &[u8]) -> Option<u64> {
    let mut fields = Fields::new(locator.strip_prefix(LOCATOR)?);
    let (disk, at, disks) = (fields.u32()?, fields.u64()?, fields.u32()?);
    // Of the number of disks PyTorch says 1.
    (disk == 0 && disks <= 1).then_some(at)
}

fn large_said(record: &[u8]) -> Option<Said> {
    let mut fields = Fields::new(record.strip_prefix(LARGE_END)?);
    let (length, _versions) = (fields.u64()?, fields.u32()?);
    let disks = (fields.u32()?, fields.u32()?);
    let (here, entries, size, offset) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
    let is_one = length == LARGE_END_SAYS && disks == (0, 0) && here == entries;
    is_one.then_some(Said { entries, size, offset })
}

/// Bytes that are there: the caller knows the size.
pub(super) fn record(reader: &mut (impl Read + Seek), at: u64, bytes: u64) -> Result<Vec<u8>, ArchiveFault> {
    reader.seek(SeekFrom::Start(at))?;
    let mut record = vec![0; usize::try_from(bytes).unwrap_or_default()];
    reader.read_exact(&mut record)?;
    Ok(record)
}

fn differ() -> ArchiveFault {
    wrong("says different things of itself in its two end records")
}

fn wrong(reason: &str) -> ArchiveFault {
    ArchiveFault::Whole(reason.to_owned())
}
