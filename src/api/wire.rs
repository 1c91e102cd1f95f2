//! protobuf's wire format, read where it lies.
//!
//! What prost does for messages that own their fields, for views that borrow
//! them: the last value of a field counts, repeated ones may be packed or not,
//! unknown ones are skipped, text is UTF-8.

use prost::{
    DecodeError,
    encoding::{DecodeContext, WireType, decode_varint, skip_field},
};
use thiserror::Error;

/// Longest group that is passed over, in bytes: all of it is read for that, at once.
const MOST_GROUP: usize = 1024;

/// The value of one field, as far as its wire type tells.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    /// An integer.
    Varint(u64),
    /// 64 bits, as an integer: eight bytes would lie where reading them takes long.
    Fixed64(u64),
    /// 32 bits, as an integer.
    Fixed32(u32),
    /// A text, a message or packed numbers.
    Bytes(&'a [u8]),
    /// A group, which no message here has.
    Other,
}

/// Why bytes are no such message.
#[derive(Debug, Error)]
pub(super) enum Malformed {
    /// Not protobuf at all.
    #[error("{0}")]
    NotProtobuf(#[from] DecodeError),
    /// No field has such a number.
    #[error("a field has no number")]
    NoField,
    /// A length reaches beyond the end.
    #[error("a field is cut short")]
    Cut,
    /// A field of the proto is of another type here.
    #[error("a field is of another type than in the proto")]
    Mistyped,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotText,
    /// There is more to read than is read.
    #[error("there are more than {0} fields")]
    ManyFields(usize),
    /// So it is with texts, whose bytes are looked at.
    #[error("there are more than {0} bytes of text")]
    MuchText(usize),
    /// Nobody has a use for one, least of all for a long one.
    #[error("a group is longer than {MOST_GROUP} bytes")]
    LongGroup,
}

/// A message that borrows from the bytes that it is read from.
pub(super) trait View<'a>: Default {
    /// Takes in one field; unknown ones are passed over.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where the value is not the field's.
    fn field(&mut self, number: u32, value: Wire<'a>) -> Result<(), Malformed>;

    /// Becomes the empty message again, and keeps its memory.
    fn clear(&mut self);

    /// Takes in all fields of a message.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where the bytes are none.
    fn merge(&mut self, mut bytes: &'a [u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let (number, value) = next(&mut bytes)?;
            self.field(number, value)?;
        }
        Ok(())
    }
}

impl<'a> Wire<'a> {
    pub(super) fn number(self) -> Result<f64, Malformed> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Self::Varint(_) | Self::Fixed32(_) | Self::Bytes(_) | Self::Other => Err(Malformed::Mistyped),
        }
    }

    /// Appends one number, or packed ones.
    pub(super) fn numbers(self, into: &mut Vec<f64>) -> Result<(), Malformed> {
        match self {
            Self::Bytes(packed) => {
                let (numbers, rest) = packed.as_chunks();
                into.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)));
                if rest.is_empty() { Ok(()) } else { Err(Malformed::Cut) }
            }
            single => single.number().map(|number| into.push(number)),
        }
    }

    /// Appends one size of a shape, or packed ones, up to `most` in all; how many there
    /// were, of which those beyond `most` count as one.
    #[allow(clippy::cast_possible_wrap, reason = "so does protobuf")]
    pub(super) fn sizes(self, into: &mut Vec<i64>, most: usize) -> Result<usize, Malformed> {
        let before = into.len();
        let Self::Bytes(mut packed) = self else {
            let size = self.integer()?;
            into.extend((before < most).then_some(size as i64));
            return Ok(1);
        };
        while !packed.is_empty() {
            let size = varint(&mut packed)?;
            if into.len() >= most {
                return Ok(into.len() - before + 1);
            }
            into.push(size as i64);
        }
        Ok(into.len() - before)
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_invalid| Malformed::NotText)
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32(_) | Self::Other => Err(Malformed::Mistyped),
        }
    }

    pub(super) fn integer(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(integer) => Ok(integer),
            Self::Fixed64(_) | Self::Fixed32(_) | Self::Bytes(_) | Self::Other => Err(Malformed::Mistyped),
        }
    }
}

/// Takes the next field off the bytes: its number and its value.
///
/// # Errors
///
/// [`Malformed`] where no field begins there.
#[inline(always)]
pub(super) fn next<'a>(bytes: &mut &'a [u8]) -> Result<(u32, Wire<'a>), Malformed> {
    let key = varint(bytes)?;
    let number = u32::try_from(key).map_err(|_too_large| Malformed::NoField)? >> 3;
    if number == 0 {
        return Err(Malformed::NoField);
    }
    let value = match key & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => {
            let (value, rest) = bytes.split_first_chunk().ok_or(Malformed::Cut)?;
            *bytes = rest;
            Wire::Fixed64(u64::from_le_bytes(*value))
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).map_err(|_too_long| Malformed::Cut)?;
            Wire::Bytes(bytes.split_off(..length).ok_or(Malformed::Cut)?)
        }
        5 => {
            let (value, rest) = bytes.split_first_chunk().ok_or(Malformed::Cut)?;
            *bytes = rest;
            Wire::Fixed32(u32::from_le_bytes(*value))
        }
        wire_type => skip(number, wire_type, bytes)?,
    };
    Ok((number, value))
}

/// Takes a number of variable length off the bytes. Most are of one byte.
///
/// # Errors
///
/// [`Malformed`] where none begins there.
#[inline]
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    match bytes.split_first() {
        Some((byte, rest)) if *byte < 0x80 => {
            *bytes = rest;
            Ok(u64::from(*byte))
        }
        _ => Ok(decode_varint(bytes)?),
    }
}

/// Passes over a group to its end.
///
/// # Errors
///
/// [`Malformed`] where it has none or is too long.
#[cold]
fn skip<'a>(number: u32, wire_type: u64, bytes: &mut &'a [u8]) -> Result<Wire<'a>, Malformed> {
    let wire_type = WireType::try_from(wire_type)?;
    let mut near = bytes.get(..MOST_GROUP).unwrap_or(bytes);
    let before = near.len();
    match skip_field(wire_type, number, &mut near, DecodeContext::default()) {
        Err(_) if before < bytes.len() => Err(Malformed::LongGroup),
        skipped => {
            skipped?;
            *bytes = bytes.get(before - near.len()..).unwrap_or_default();
            Ok(Wire::Other)
        }
    }
}
