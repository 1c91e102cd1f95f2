//! The directory of an archive, held against where the bytes lie.

use std::{
    collections::HashSet,
    io::{Read, Seek},
};

use super::{
    ArchiveFault, Shape,
    end::{End, record},
    entry::{Entry, fault},
    fields::Fields,
    local,
};

/// Most entries: a model has one for each tensor and each source.
const MOST_ENTRIES: u64 = 1 << 16;

/// Most bytes of the directory, which is read whole.
const MOST_BYTES: u64 = 32 << 20;

/// What there is in an archive, in its order; sound.
#[derive(Debug)]
pub(super) struct Directory {
    entries: Vec<Entry>,
}

impl Directory {
    /// Reads it. Takes memory for the directory, and time for it and for the header of each
    /// entry; entries themselves are not read.
    ///
    /// # Errors
    ///
    /// [`ArchiveFault`] of the first thing that is not as PyTorch or NumPy would have it.
    pub(super) fn read(reader: &mut (impl Read + Seek), shape: &Shape) -> Result<Self, ArchiveFault> {
        let end = End::read(reader)?;
        let bytes = end.directory.end - end.directory.start;
        if end.entries > MOST_ENTRIES || bytes > MOST_BYTES {
            let found = format!("has {} entries in a directory of {bytes} bytes", end.entries);
            return Err(ArchiveFault::Whole(format!("{found}, wanted at most {MOST_ENTRIES} and {MOST_BYTES}")));
        }
        let directory = Self::of(&record(reader, end.directory.start, bytes)?, &end)?;
        directory.check(shape)?;
        directory.check_bytes(reader, end.directory.start)?;
        Ok(directory)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn of(bytes: &[u8], end: &End) -> Result<Self, ArchiveFault> {
        let mut fields = Fields::new(bytes);
        let mut entries = Vec::new();
        while !fields.is_empty() {
            entries.push(Entry::next(&mut fields)?);
        }
        if entries.len() as u64 != end.entries {
            let (found, said) = (entries.len(), end.entries);
            return Err(ArchiveFault::Whole(format!("has {found} entries in its directory, and says it has {said}")));
        }
        Ok(Self { entries })
    }

    /// What can be seen without looking at the entries themselves.
    fn check(&self, shape: &Shape) -> Result<(), ArchiveFault> {
        let folder = self.entries.first().and_then(Entry::folder);
        let (mut names, mut claimed) = (HashSet::new(), 0_u64);
        for entry in &self.entries {
            let wrong = |reason: &str| Err(fault(entry.name.clone(), reason));
            entry.check(shape)?;
            if shape.one_folder && entry.folder() != folder {
                return wrong("lies in another folder than the first");
            }
            // libtorch looks for names in small letters.
            if !names.insert(entry.name.to_ascii_lowercase()) {
                return wrong("is there twice, or but for small letters");
            }
            claimed = claimed.saturating_add(if entry.is_compressed() { entry.unpacked } else { 0 });
            if claimed > shape.most_unpacked {
                return wrong(&format!("claims too much: wanted {} compressed bytes in all", shape.most_unpacked));
            }
        }
        Ok(())
    }

    /// Each byte before the directory belongs to one entry.
    fn check_bytes(&self, reader: &mut (impl Read + Seek), directory: u64) -> Result<(), ArchiveFault> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.offset);
        let begin = entries.first().map_or(directory, |entry| entry.offset);
        if begin != 0 {
            return Err(ArchiveFault::Whole(format!("begins with {begin} bytes that belong to no entry")));
        }
        let ends = entries.iter().skip(1).map(|next| next.offset).chain([directory]);
        entries.iter().zip(ends).try_for_each(|(entry, end)| local::check(reader, entry, end))
    }
}
