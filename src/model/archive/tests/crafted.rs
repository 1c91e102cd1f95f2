//! Zip files whose every field can be bent.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// An entry of five bytes.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) local_name: Option<String>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) local_method: Option<u16>,
    /// What it says; there are five.
    pub(super) packed: u32,
    pub(super) unpacked: u32,
    pub(super) disk: u16,
    pub(super) attributes: u32,
    pub(super) offset: Option<u32>,
    /// Further fields in the directory.
    pub(super) extra: Vec<u8>,
    /// Bytes of sizes behind it, and by how much they are wrong.
    pub(super) follow: usize,
    pub(super) lie: u64,
    /// What is put behind it.
    pub(super) after: Vec<u8>,
}

const BYTES: &[u8] = b"hello";
const CHECKSUM: u32 = 0x3610_a686;

impl Default for Part {
    fn default() -> Self {
        Self {
            name: "m/data.pkl".into(),
            local_name: None,
            flags: 0,
            method: 0,
            local_method: None,
            packed: 5,
            unpacked: 5,
            disk: 0,
            attributes: 0,
            offset: None,
            extra: Vec::new(),
            follow: 0,
            lie: 0,
            after: Vec::new(),
        }
    }
}

impl Part {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    fn local(&self) -> Vec<u8> {
        let name = self.local_name.as_deref().unwrap_or(&self.name);
        let follow = self.flags & 8 != 0;
        let said = |value: u32| if follow { 0 } else { value };
        let mut bytes = b"PK\x03\x04\x14\0".to_vec();
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.local_method.unwrap_or(self.method).to_le_bytes());
        bytes.extend([0; 4]);
        for value in [said(CHECKSUM), said(self.packed), said(self.unpacked)] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(name.bytes());
        bytes.extend(BYTES);
        bytes.extend(self.following());
        bytes.extend(&self.after);
        bytes
    }

    fn following(&self) -> Vec<u8> {
        let mut bytes = if matches!(self.follow, 16 | 24) { b"PK\x07\x08".to_vec() } else { Vec::new() };
        bytes.extend(CHECKSUM.to_le_bytes());
        for size in [self.packed, self.unpacked].map(|size| u64::from(size) + self.lie) {
            let size = size.to_le_bytes();
            bytes.extend(if matches!(self.follow, 20 | 24) { &size[..] } else { &size[..4] });
        }
        bytes.truncate(self.follow);
        bytes
    }

    fn central(&self, offset: usize) -> Vec<u8> {
        let mut bytes = b"PK\x01\x02\x14\0\x14\0".to_vec();
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend([0; 4]);
        for value in [CHECKSUM, self.packed, self.unpacked] {
            bytes.extend(value.to_le_bytes());
        }
        for value in [self.name.len() as u16, self.extra.len() as u16, 0, self.disk, 0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(self.attributes.to_le_bytes());
        bytes.extend(self.offset.unwrap_or(offset as u32).to_le_bytes());
        bytes.extend(self.name.bytes());
        bytes.extend(&self.extra);
        bytes
    }
}

/// An archive.
#[derive(Debug, Clone, Default)]
pub(super) struct Crafted {
    pub(super) parts: Vec<Part>,
    pub(super) before: Vec<u8>,
    pub(super) before_directory: Vec<u8>,
    pub(super) comment: Vec<u8>,
    pub(super) after: Vec<u8>,
    /// With the records for large archives.
    pub(super) large: bool,
    pub(super) count: Option<u16>,
    pub(super) large_count: Option<u64>,
    pub(super) large_at: Option<u64>,
}

impl Crafted {
    pub(super) fn of<const N: usize>(parts: [Part; N]) -> Self {
        Self { parts: parts.into(), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let only = [Part::default()];
        let parts = if self.parts.is_empty() { &only[..] } else { &self.parts };
        let (mut bytes, mut directory) = (self.before.clone(), Vec::new());
        for part in parts {
            directory.extend(part.central(bytes.len()));
            bytes.extend(part.local());
        }
        bytes.extend(&self.before_directory);
        let (offset, size) = (bytes.len(), directory.len());
        bytes.extend(directory);
        let large_at = bytes.len() as u64;
        if self.large {
            bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x1e\x03\x2d\0\0\0\0\0\0\0\0\0");
            let count = self.large_count.unwrap_or(parts.len() as u64);
            for value in [count, count, size as u64, offset as u64] {
                bytes.extend(value.to_le_bytes());
            }
            bytes.extend(b"PK\x06\x07\0\0\0\0");
            bytes.extend(self.large_at.unwrap_or(large_at).to_le_bytes());
            bytes.extend(1_u32.to_le_bytes());
        }
        let count = self.count.unwrap_or(parts.len() as u16).to_le_bytes();
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([count, count].concat());
        bytes.extend((size as u32).to_le_bytes());
        bytes.extend((offset as u32).to_le_bytes());
        bytes.extend((self.comment.len() as u16).to_le_bytes());
        bytes.extend(&self.comment);
        bytes.extend(&self.after);
        bytes
    }
}

/// An archive of more than 4 GiB, nearly all of it a hole, with the records that PyTorch
/// writes then.
pub(super) fn huge() -> io::Result<File> {
    let (file, size) = (tempfile::tempfile()?, (1_u64 << 32) + 5);
    let field = |values: &[u64]| {
        let mut field = [1_u16.to_le_bytes(), (values.len() as u16 * 8).to_le_bytes()].concat();
        field.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        field
    };
    let local = |name: &str, extra: &[u8]| {
        let mut bytes = b"PK\x03\x04\0\0\x08\x08".to_vec();
        bytes.extend([0; 18]);
        bytes.extend([(name.len() as u16).to_le_bytes(), (extra.len() as u16).to_le_bytes()].concat());
        bytes.extend(name.bytes());
        bytes.extend(extra);
        bytes
    };
    let first = local("m/data/0", &field(&[size, size]));
    file.write_all_at(&first, 0)?;
    let first = Part { name: "m/data/0".into(), flags: 0x808, packed: u32::MAX, unpacked: u32::MAX, ..Part::default() };
    let at = 30 + 8 + 20 + size;
    let mut rest = b"PK\x07\x08".to_vec();
    rest.extend(CHECKSUM.to_le_bytes());
    rest.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
    let second_at = at + rest.len() as u64;
    let second = Part { flags: 0x808, follow: 24, ..Part::named("m/version") };
    rest.extend(local("m/version", &field(&[second_at])));
    rest.extend(BYTES);
    rest.extend(second.following());
    let directory_at = at + rest.len() as u64;
    rest.extend(Part { extra: field(&[size, size]), ..first }.central(0));
    rest.extend(Part { extra: field(&[second_at]), offset: Some(u32::MAX), ..second }.central(0));
    let directory = at + rest.len() as u64 - directory_at;
    let large_at = at + rest.len() as u64;
    rest.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x1e\x03\x2d\0\0\0\0\0\0\0\0\0");
    rest.extend([2, 2, directory, directory_at].into_iter().flat_map(u64::to_le_bytes));
    rest.extend(b"PK\x06\x07\0\0\0\0");
    rest.extend(large_at.to_le_bytes());
    rest.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0\x02\0\x02\0");
    rest.extend((directory as u32).to_le_bytes());
    rest.extend(b"\xff\xff\xff\xff\0\0");
    file.write_all_at(&rest, at)?;
    Ok(file)
}
