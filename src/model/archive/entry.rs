//! One entry, as the directory tells of it.

use super::{
    ArchiveFault, Shape,
    fields::{Fields, widened},
};

const HEADER: &[u8] = b"PK\x01\x02";

/// Bytes of a name below which libtorch reads it whole.
const LONGEST_NAME: usize = 511;

/// Sizes and checksum follow the entry's bytes, as PyTorch writes them.
pub(super) const SIZES_FOLLOW: u16 = 1 << 3;

/// The name is UTF-8.
const UTF_8: u16 = 1 << 11;

/// How hard it was compressed: said for nobody's use.
const EFFORT: u16 = 3 << 1;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Bytes that one compressed byte can become, at most: a match of 258 in two bits.
const MOST_PER_BYTE: u64 = 1032;

/// What a file's mode says it is: a regular one, or nothing.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Of file systems that know folders by a flag.
const FOLDER: u32 = 1 << 4;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) checksum: u32,
    /// Bytes in the archive.
    pub(super) packed: u64,
    pub(super) unpacked: u64,
    /// Where its own header is.
    pub(super) offset: u64,
    attributes: u32,
}

impl Entry {
    /// The next entry of the directory.
    pub(super) fn next(directory: &mut Fields<'_>) -> Result<Self, ArchiveFault> {
        let cut = || ArchiveFault::Whole("has a directory with something else in it than entries".into());
        let (head, name, extra) = parts(directory).ok_or_else(cut)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| {
            ArchiveFault::Whole(format!("has an entry whose name is not UTF-8: {:?}", name.escape_ascii().to_string()))
        })?;
        let wide = widened([head.unpacked, head.packed, head.offset], extra);
        let Some([unpacked, packed, offset]) = wide else {
            return Err(fault(name, "has fields that are none, or none for sizes over 4 GiB that it says it has"));
        };
        let Head { flags, method, checksum, attributes, disk, .. } = head;
        if disk != 0 {
            return Err(fault(name, "is in another file"));
        }
        Ok(Self { name, flags, method, checksum, packed, unpacked, offset, attributes })
    }

    /// Whether it is one that PyTorch or NumPy would write.
    pub(super) fn check(&self, shape: &Shape) -> Result<(), ArchiveFault> {
        let wrong = self.name_fault(shape).or_else(|| self.kind_fault()).or_else(|| self.size_fault());
        wrong.map_or(Ok(()), |reason| Err(fault(self.name.clone(), &reason)))
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.method == DEFLATED
    }

    /// The folder that it lies in, seen from the top.
    pub(super) fn folder(&self) -> Option<&str> {
        self.name.split_once('/').map(|(folder, _)| folder)
    }

    fn name_fault(&self, shape: &Shape) -> Option<String> {
        let name = self.name.as_str();
        if name.len() > LONGEST_NAME {
            return Some(format!("has a name of {} bytes, wanted at most {LONGEST_NAME}", name.len()));
        }
        if !name.is_ascii() && self.flags & UTF_8 == 0 {
            return Some("has a name that is not ASCII and does not say that it is UTF-8".into());
        }
        if name.contains('\\') || name.chars().any(char::is_control) {
            return Some("has a backslash or a control character in its name".into());
        }
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Some("has no plain name: wanted no /, . or .. but between names".into());
        }
        (shape.one_folder && self.folder().is_none()).then(|| "lies in no folder".into())
    }

    fn kind_fault(&self) -> Option<String> {
        let effort = if self.is_compressed() { EFFORT } else { 0 };
        let unknown = self.flags & !(SIZES_FOLLOW | UTF_8 | effort);
        if unknown != 0 {
            return Some(format!("is encrypted, or of a kind that nobody writes (flags {unknown:#06x})"));
        }
        if !matches!(self.method, STORED | DEFLATED) {
            return Some(format!("is compressed by method {}, wanted stored or deflated", self.method));
        }
        let kind = (self.attributes >> 16) & KIND;
        let is_file = matches!(kind, 0 | REGULAR) && self.attributes & FOLDER == 0;
        (!is_file).then(|| "is no file: a link, a folder or a device".into())
    }

    fn size_fault(&self) -> Option<String> {
        let Self { packed, unpacked, .. } = self;
        let most = if self.is_compressed() { packed.saturating_mul(MOST_PER_BYTE) } else { *packed };
        let is_possible = if self.is_compressed() { *unpacked <= most } else { unpacked == packed };
        (!is_possible).then(|| format!("claims {unpacked} bytes out of {packed}, wanted at most {most}"))
    }
}

/// The fixed part, as far as it matters.
struct Head {
    flags: u16,
    method: u16,
    checksum: u32,
    packed: u32,
    unpacked: u32,
    disk: u16,
    attributes: u32,
    offset: u32,
}

/// Fixed part, name and further fields.
fn parts<'d>(directory: &mut Fields<'d>) -> Option<(Head, &'d [u8], &'d [u8])> {
    let fields = directory;
    if fields.bytes(HEADER.len())? != HEADER {
        return None;
    }
    let _versions = fields.u32()?;
    let (flags, method, _time) = (fields.u16()?, fields.u16()?, fields.u32()?);
    let (checksum, packed, unpacked) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let (disk, _text, attributes, offset) = (fields.u16()?, fields.u16()?, fields.u32()?, fields.u32()?);
    let (name, extra) = (fields.bytes(name.into())?, fields.bytes(extra.into())?);
    fields.bytes(comment.into())?;
    Some((Head { flags, method, checksum, packed, unpacked, disk, attributes, offset }, name, extra))
}

pub(super) fn fault(name: String, reason: &str) -> ArchiveFault {
    ArchiveFault::Entry { name, reason: reason.to_owned() }
}
