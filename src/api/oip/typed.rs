//! `InferTensorContents` to elements as they lie in memory. In turns.
//!
//! Floats are the same bytes on the wire; whatever has a variable length there is
//! written once.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::{
    super::{
        turns::Turn,
        wire::{Malformed, Wire, next, varint},
    },
    datatype,
};
use crate::rows::Dtype;

/// Elements between two looks at the turn.
const STRETCH: usize = 1024;

/// Why contents are not those of a tensor.
pub(super) type Description = String;

/// A field of the message, by the type of what it holds.
struct Field {
    number: u32,
    name: &'static str,
}

const FIELDS: [Field; 8] = [
    Field { number: 1, name: "bool_contents" },
    Field { number: 2, name: "int_contents" },
    Field { number: 3, name: "int64_contents" },
    Field { number: 4, name: "uint_contents" },
    Field { number: 5, name: "uint64_contents" },
    Field { number: 6, name: "fp32_contents" },
    Field { number: 7, name: "fp64_contents" },
    Field { number: 8, name: "bytes_contents" },
];

/// The elements of `contents`, `count` of them.
///
/// # Errors
///
/// What was found and what was wanted.
pub(super) async fn read(dtype: Dtype, contents: &Bytes, count: usize) -> Result<Bytes, Description> {
    let mut reading = Reading::new(dtype, contents, count)?;
    let mut rest: &[u8] = contents;
    while !rest.is_empty() {
        let before = rest.len();
        let (number, value) = next(&mut rest).map_err(malformed)?;
        if !reading.is_field(number)? {
            reading.rest_after(before - rest.len()).await;
            continue;
        }
        match value {
            // The usual case: all of them, as they are in memory.
            Wire::Bytes(all) if reading.is_plain() && all.len() == count * dtype.size() && rest.is_empty() => {
                return Ok(contents.slice_ref(all));
            }
            Wire::Bytes(packed) => reading.take_packed(packed).await?,
            single => {
                reading.take(single)?;
                reading.rest_after(before - rest.len()).await;
            }
        }
    }
    reading.finish()
}

/// Contents, as far as they are read.
struct Reading {
    dtype: Dtype,
    field: &'static Field,
    count: usize,
    read: usize,
    elements: Vec<u8>,
    turn: Turn,
}

impl Reading {
    fn new(dtype: Dtype, contents: &Bytes, count: usize) -> Result<Self, Description> {
        let Some(field) = field(dtype) else {
            let name = datatype::name(dtype);
            return Err(format!("are typed, wanted raw_input_contents: {name} has no typed contents"));
        };
        // Each takes a byte at least.
        let room = count.min(contents.len()) * dtype.size();
        Ok(Self { dtype, field, count, read: 0, elements: Vec::with_capacity(room), turn: Turn::begin() })
    }

    /// Whether a field holds elements; unknown ones are passed over.
    fn is_field(&self, number: u32) -> Result<bool, Description> {
        match FIELDS.iter().find(|field| field.number == number) {
            Some(field) if number != self.field.number => {
                Err(format!("has {}, wanted {} for {}", field.name, self.field.name, datatype::name(self.dtype)))
            }
            found => Ok(found.is_some()),
        }
    }

    /// Gives others their turn where it is, after these bytes more.
    async fn rest_after(&mut self, bytes: usize) {
        if self.turn.is_over_after(bytes) {
            tokio::task::yield_now().await;
            self.turn = Turn::begin();
        }
    }

    /// Whether nothing is read yet of what lies on the wire as it does in memory.
    fn is_plain(&self) -> bool {
        self.read == 0 && matches!(self.dtype, Dtype::Float32 | Dtype::Float64)
    }

    async fn take_packed(&mut self, mut packed: &[u8]) -> Result<(), Description> {
        while !packed.is_empty() {
            for _ in 0..STRETCH {
                if packed.is_empty() {
                    break;
                }
                let value = self.next_packed(&mut packed).map_err(malformed)?;
                self.take(value)?;
            }
            self.rest_after(STRETCH * self.dtype.size()).await;
        }
        Ok(())
    }

    fn next_packed<'p>(&self, packed: &mut &'p [u8]) -> Result<Wire<'p>, Malformed> {
        match self.dtype {
            Dtype::Float32 => {
                let (bits, rest) = packed.split_first_chunk().ok_or(Malformed::Cut)?;
                *packed = rest;
                Ok(Wire::Fixed32(u32::from_le_bytes(*bits)))
            }
            Dtype::Float64 => {
                let (bits, rest) = packed.split_first_chunk().ok_or(Malformed::Cut)?;
                *packed = rest;
                Ok(Wire::Fixed64(u64::from_le_bytes(*bits)))
            }
            _ => varint(packed).map(Wire::Varint),
        }
    }

    /// Takes in one element.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "so does protobuf")]
    fn take(&mut self, value: Wire<'_>) -> Result<(), Description> {
        let place = self.read;
        self.read += 1;
        if place >= self.count {
            // Counted to the end, for the message.
            return Ok(());
        }
        let name = self.field.name;
        match (self.dtype, value) {
            (Dtype::Bool, Wire::Varint(number)) => self.elements.push(u8::from(number != 0)),
            (Dtype::Uint8, Wire::Varint(number)) => {
                let element =
                    u8::try_from(number as u32).map_err(|_large| beyond(name, place, number as u32, 0..=u8::MAX))?;
                self.elements.push(element);
            }
            (Dtype::Int8, Wire::Varint(number)) => {
                let number = number as i32;
                let element = i8::try_from(number).map_err(|_large| beyond(name, place, number, i8::MIN..=i8::MAX))?;
                self.elements.extend(element.to_le_bytes());
            }
            (Dtype::Int16, Wire::Varint(number)) => {
                let number = number as i32;
                let element =
                    i16::try_from(number).map_err(|_large| beyond(name, place, number, i16::MIN..=i16::MAX))?;
                self.elements.extend(element.to_le_bytes());
            }
            (Dtype::Int32, Wire::Varint(number)) => self.elements.extend((number as i32).to_le_bytes()),
            (Dtype::Int64, Wire::Varint(number)) => self.elements.extend(number.to_le_bytes()),
            (Dtype::Float32, Wire::Fixed32(bits)) => self.elements.extend(bits.to_le_bytes()),
            (Dtype::Float64, Wire::Fixed64(bits)) => self.elements.extend(bits.to_le_bytes()),
            _ => return Err(malformed(Malformed::Mistyped)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Bytes, Description> {
        if self.read == self.count {
            return Ok(self.elements.into());
        }
        Err(format!("has {} values in {}, wanted {} by its shape", self.read, self.field.name, self.count))
    }
}

/// The field for elements of a type.
fn field(dtype: Dtype) -> Option<&'static Field> {
    let number = match dtype {
        Dtype::Bool => 1,
        Dtype::Int8 | Dtype::Int16 | Dtype::Int32 => 2,
        Dtype::Int64 => 3,
        Dtype::Uint8 => 4,
        Dtype::Float32 => 6,
        Dtype::Float64 => 7,
        Dtype::Float16 | Dtype::Bfloat16 => return None,
    };
    FIELDS.iter().find(|field| field.number == number)
}

fn beyond<N: std::fmt::Display, L: std::fmt::Display>(
    field: &str,
    place: usize,
    found: N,
    limits: RangeInclusive<L>,
) -> Description {
    format!("has {found} as {field}[{place}], wanted {} to {}", limits.start(), limits.end())
}

fn malformed(malformed: Malformed) -> Description {
    format!("can't be read: {malformed}")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use prost::Message as _;

    use super::*;
    use crate::api::proto::inference::InferTensorContents;

    #[tokio::test]
    async fn fields_that_nobody_knows_are_passed_over() {
        let contents = InferTensorContents { int64_contents: vec![7, 8], ..Default::default() };
        let unknown = [&[0x78, 0x05][..], &[0xf2, 0x01, 0x02, 0x01, 0x02], &[0xfd, 0x01, 1, 2, 3, 4]].concat();
        let all = [&unknown[..], &contents.encode_to_vec(), &unknown].concat().into();
        let read = read(Dtype::Int64, &all, 2).await.unwrap();
        assert_eq!(&*read, [7_i64, 8].map(i64::to_le_bytes).concat());
    }

    #[tokio::test]
    async fn long_contents_are_read_in_turns_packed_or_not_or_unknown() {
        const COUNT: usize = 1 << 20;
        let packed = InferTensorContents { int64_contents: vec![1; COUNT], ..Default::default() }.encode_to_vec();
        let (single, unknown) = ([0x18, 1].repeat(COUNT), [0x78, 1].repeat(COUNT));
        for (contents, count) in [(packed, COUNT), (single, COUNT), (unknown, 0)] {
            let contents = contents.into();
            // In one turn there is no time for so many.
            assert!(read(Dtype::Int64, &contents, count).now_or_never().is_none());
            assert_eq!(read(Dtype::Int64, &contents, count).await.unwrap().len(), 8 * count);
        }
    }
}
