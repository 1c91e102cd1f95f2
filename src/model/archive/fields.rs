//! Numbers of a record, one behind the other, and the fields that may follow it.

/// Bytes that are not read yet.
pub(super) struct Fields<'b>(&'b [u8]);

/// A value that fills its field says that the real one is in a field of its own.
pub(super) const IN_EXTRA: u32 = u32::MAX;

/// The number of the field that holds values too large for theirs.
const ZIP64: u16 = 1;

impl<'b> Fields<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }
}

/// What values really are, some of which may be in the field for large ones, in this
/// order; none where that field is not as these values want it, or the fields are none.
pub(super) fn widened<const N: usize>(values: [u32; N], extra: &[u8]) -> Option<[u64; N]> {
    let mut wide = Fields::new(large(extra)?.unwrap_or_default());
    let mut found = [0; N];
    for (value, found) in values.into_iter().zip(&mut found) {
        *found = if value == IN_EXTRA { wide.u64()? } else { value.into() };
    }
    wide.is_empty().then_some(found)
}

/// The field for large values, where there is one; none where fields are no fields, or it
/// is there twice.
#[allow(clippy::option_option, reason = "that there is none is no fault")]
fn large(extra: &[u8]) -> Option<Option<&[u8]>> {
    let (mut fields, mut found) = (Fields::new(extra), None);
    while !fields.is_empty() {
        let (number, length) = (fields.u16()?, fields.u16()?);
        let value = fields.bytes(length.into())?;
        if number == ZIP64 && found.replace(value).is_some() {
            return None;
        }
    }
    Some(found)
}
