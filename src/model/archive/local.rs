//! An entry where it lies: its own header, its bytes, and what may follow them.

use std::io::{Read, Seek};

use super::{
    ArchiveFault,
    end::record,
    entry::{Entry, SIZES_FOLLOW, fault},
    fields::{Fields, IN_EXTRA, widened},
};

const HEADER: &[u8] = b"PK\x03\x04";
const FOLLOWING: &[u8] = b"PK\x07\x08";

/// Bytes of the header, without the name and further fields.
const HEADER_BYTES: u64 = 30;

/// Holds an entry against its bytes, which end where the next one begins.
pub(super) fn check(reader: &mut (impl Read + Seek), entry: &Entry, end: u64) -> Result<(), ArchiveFault> {
    let wrong = |reason: &str| fault(entry.name.clone(), reason);
    let differs = || wrong("says another thing of itself than the directory, or is not where that says");
    let within = |bytes: u64, from: u64| from.checked_add(bytes).filter(|until| *until <= end).ok_or_else(differs);
    let named = within(HEADER_BYTES, entry.offset)?;
    let head = record(reader, entry.offset, HEADER_BYTES)?;
    let local = Local::of(&head).ok_or_else(differs)?;
    let begin = within(u64::from(local.name) + u64::from(local.extra), named)?;
    let rest = record(reader, named, begin - named)?;
    let (name, extra) = rest.split_at_checked(local.name.into()).ok_or_else(differs)?;
    if name != entry.name.as_bytes() || !local.agrees(entry, extra) {
        return Err(differs());
    }
    let after = begin.checked_add(entry.packed).filter(|after| *after <= end);
    let after = after.ok_or_else(|| wrong("has fewer bytes than it claims: it reaches into the next, or beyond"))?;
    match end - after {
        0 if entry.flags & SIZES_FOLLOW == 0 => Ok(()),
        following @ (12 | 16 | 20 | 24) if entry.flags & SIZES_FOLLOW != 0 => {
            let said = follows(&record(reader, after, following)?, entry);
            said.ok_or_else(|| wrong("is followed by other sizes than the directory says"))
        }
        gap => Err(wrong(&format!("is followed by {gap} bytes that belong to no entry"))),
    }
}

/// A header, as far as it matters.
struct Local {
    flags: u16,
    method: u16,
    checksum: u32,
    packed: u32,
    unpacked: u32,
    /// Bytes of the name, and of further fields.
    name: u16,
    extra: u16,
}

impl Local {
    fn of(header: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(header.strip_prefix(HEADER)?);
        let _version = fields.u16()?;
        let (flags, method, _time) = (fields.u16()?, fields.u16()?, fields.u32()?);
        let (checksum, packed, unpacked) = (fields.u32()?, fields.u32()?, fields.u32()?);
        Some(Self { flags, method, checksum, packed, unpacked, name: fields.u16()?, extra: fields.u16()? })
    }

    fn agrees(&self, entry: &Entry, extra: &[u8]) -> bool {
        let sizes = if entry.flags & SIZES_FOLLOW == 0 {
            widened([self.unpacked, self.packed], extra) == Some([entry.unpacked, entry.packed])
                && self.checksum == entry.checksum
        } else {
            // They are said behind the bytes; here they are 0 as a rule.
            let known =
                [(self.unpacked, entry.unpacked), (self.packed, entry.packed), (self.checksum, entry.checksum.into())];
            known.into_iter().all(|(here, there)| matches!(here, 0 | IN_EXTRA) || u64::from(here) == there)
        };
        sizes && self.flags == entry.flags && self.method == entry.method
    }
}

/// Checksum and sizes behind the bytes: with or without a mark, in 4 or 8 bytes.
fn follows(bytes: &[u8], entry: &Entry) -> Option<()> {
    let is_large = matches!(bytes.len(), 20 | 24);
    let bytes = if matches!(bytes.len(), 16 | 24) { bytes.strip_prefix(FOLLOWING)? } else { bytes };
    let mut fields = Fields::new(bytes);
    let checksum = fields.u32()?;
    let mut size = || if is_large { fields.u64() } else { fields.u32().map(u64::from) };
    let (packed, unpacked) = (size()?, size()?);
    ((checksum, packed, unpacked) == (entry.checksum, entry.packed, entry.unpacked)).then_some(())
}
