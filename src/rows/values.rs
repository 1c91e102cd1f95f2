//! The elements of one column.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use half::{bf16, f16};

use super::Dtype;

/// The values of one tensor, row-major, first dimension = rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers, such as the indices of embeddings.
    I64(Vec<i64>),
    /// Elements of any type as they lie in memory and on the wire: little-endian, one
    /// after the other. Slices of them are no copies.
    Raw {
        /// The type of the elements.
        dtype: Dtype,
        /// Whole elements.
        bytes: Bytes,
    },
}

impl Values {
    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::Float32,
            Self::I64(_) => Dtype::Int64,
            Self::Raw { dtype, .. } => *dtype,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Raw { dtype, bytes } => bytes.len() / dtype.size(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as they lie in memory.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::I64(values) => bytemuck::cast_slice(values),
            Self::Raw { bytes, .. } => bytes,
        }
    }

    /// The elements as they go onto the wire; no copy where they are raw already.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Raw { bytes, .. } => bytes,
            other => Bytes::copy_from_slice(other.as_bytes()),
        }
    }

    /// Whether all floats are numbers, and not infinite.
    pub fn is_all_finite(&self) -> bool {
        self.is_finite(0..self.len())
    }

    /// The first value in `range` that is wrong, with its place. Integers beyond 2^53 are
    /// looked at as the nearest float.
    pub fn find(&self, range: Range<usize>, wrong: impl Fn(f64) -> bool) -> Option<(usize, f64)> {
        let start = range.start;
        let first = |values: &mut dyn Iterator<Item = f64>| {
            values.enumerate().find(|(_, value)| wrong(*value)).map(|(place, value)| (start + place, value))
        };
        match self {
            Self::F32(values) => first(&mut values.get(range)?.iter().map(|&value| value.into())),
            Self::I64(values) => first(&mut values.get(range)?.iter().map(|&value| value as f64)),
            Self::Raw { dtype, bytes } => {
                let size = dtype.size();
                raw_find(*dtype, bytes.get(range.start * size..range.end * size)?, wrong)
                    .map(|(place, value)| (start + place, value))
            }
        }
    }

    /// Whether all floats in `range` are numbers, and not infinite.
    pub fn is_finite(&self, range: Range<usize>) -> bool {
        match self {
            Self::F32(values) => values.get(range).unwrap_or_default().iter().all(|value| value.is_finite()),
            Self::I64(_) => true,
            Self::Raw { dtype, bytes } => {
                let size = dtype.size();
                raw_is_finite(*dtype, bytes.get(range.start * size..range.end * size).unwrap_or_default())
            }
        }
    }

    /// The values in `range`, each as the nearest 64-bit float.
    pub(super) fn numbers(&self, range: Range<usize>) -> Vec<f64> {
        match self {
            Self::F32(values) => values.get(range).unwrap_or_default().iter().map(|&value| value.into()).collect(),
            Self::I64(values) => values.get(range).unwrap_or_default().iter().map(|&value| value as f64).collect(),
            Self::Raw { dtype, bytes } => {
                let size = dtype.size();
                raw_numbers(*dtype, bytes.get(range.start * size..range.end * size).unwrap_or_default())
            }
        }
    }

    /// No values of the same kind, with room for `len`.
    pub(super) fn emptied(&self, len: usize) -> Self {
        match self {
            Self::F32(_) => Self::F32(Vec::with_capacity(len)),
            Self::I64(_) => Self::I64(Vec::with_capacity(len)),
            Self::Raw { dtype, .. } => {
                Self::Raw { dtype: *dtype, bytes: BytesMut::with_capacity(len * dtype.size()).freeze() }
            }
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Self::F32(values) => values.truncate(len),
            Self::I64(values) => values.truncate(len),
            Self::Raw { dtype, bytes } => bytes.truncate(len * dtype.size()),
        }
    }

    /// The values in `range`, none where the range lies outside.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(values.get(range).unwrap_or_default().to_vec()),
            Self::I64(values) => Self::I64(values.get(range).unwrap_or_default().to_vec()),
            Self::Raw { dtype, bytes } => {
                let range = range.start * dtype.size()..range.end * dtype.size();
                let inside = range.start <= range.end && range.end <= bytes.len();
                Self::Raw { dtype: *dtype, bytes: if inside { bytes.slice(range) } else { Bytes::new() } }
            }
        }
    }

    /// Appends `other`; whether both hold elements of the same type.
    pub(super) fn extend(&mut self, other: &Self) -> bool {
        match (&mut *self, other) {
            (Self::F32(mine), Self::F32(theirs)) => mine.extend_from_slice(theirs),
            (Self::I64(mine), Self::I64(theirs)) => mine.extend_from_slice(theirs),
            (Self::Raw { dtype, bytes }, theirs) if *dtype == theirs.dtype() => append(bytes, theirs.as_bytes()),
            (mine, Self::Raw { dtype, bytes: theirs }) if mine.dtype() == *dtype => {
                let mut bytes = Bytes::copy_from_slice(mine.as_bytes());
                append(&mut bytes, theirs);
                *self = Self::Raw { dtype: *dtype, bytes };
            }
            _ => return false,
        }
        true
    }
}

/// Without a copy of what was there where nobody else holds it.
fn append(bytes: &mut Bytes, more: &[u8]) {
    let mut all = std::mem::take(bytes).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    all.extend_from_slice(more);
    *bytes = all.freeze();
}

/// A float is no number where all bits of its exponent are set.
fn raw_is_finite(dtype: Dtype, bytes: &[u8]) -> bool {
    let exponents = |exponent: u16| move |half: &[u8; 2]| u16::from_le_bytes(*half) & exponent != exponent;
    match dtype {
        Dtype::Float16 => bytes.as_chunks().0.iter().all(exponents(0x7c00)),
        Dtype::Bfloat16 => bytes.as_chunks().0.iter().all(exponents(0x7f80)),
        Dtype::Float32 => bytes.as_chunks().0.iter().all(|value| f32::from_le_bytes(*value).is_finite()),
        Dtype::Float64 => bytes.as_chunks().0.iter().all(|value| f64::from_le_bytes(*value).is_finite()),
        Dtype::Bool | Dtype::Uint8 | Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64 => true,
    }
}

fn raw_numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    fn each<const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|element| number(*element)).collect()
    }
    match dtype {
        Dtype::Bool | Dtype::Uint8 => each(bytes, |[byte]| byte.into()),
        Dtype::Int8 => each(bytes, |element| i8::from_le_bytes(element).into()),
        Dtype::Int16 => each(bytes, |element| i16::from_le_bytes(element).into()),
        Dtype::Int32 => each(bytes, |element| i32::from_le_bytes(element).into()),
        Dtype::Int64 => each(bytes, |element| i64::from_le_bytes(element) as f64),
        Dtype::Float16 => each(bytes, |element| f16::from_le_bytes(element).into()),
        Dtype::Bfloat16 => each(bytes, |element| bf16::from_le_bytes(element).into()),
        Dtype::Float32 => each(bytes, |element| f32::from_le_bytes(element).into()),
        Dtype::Float64 => each(bytes, f64::from_le_bytes),
    }
}

fn raw_find(dtype: Dtype, bytes: &[u8], wrong: impl Fn(f64) -> bool) -> Option<(usize, f64)> {
    fn first<const SIZE: usize>(
        bytes: &[u8],
        wrong: impl Fn(f64) -> bool,
        number: impl Fn([u8; SIZE]) -> f64,
    ) -> Option<(usize, f64)> {
        let numbers = bytes.as_chunks().0.iter().map(|element| number(*element));
        numbers.enumerate().find(|(_, value)| wrong(*value))
    }
    match dtype {
        Dtype::Bool | Dtype::Uint8 => first(bytes, wrong, |[byte]| byte.into()),
        Dtype::Int8 => first(bytes, wrong, |element| i8::from_le_bytes(element).into()),
        Dtype::Int16 => first(bytes, wrong, |element| i16::from_le_bytes(element).into()),
        Dtype::Int32 => first(bytes, wrong, |element| i32::from_le_bytes(element).into()),
        Dtype::Int64 => first(bytes, wrong, |element| i64::from_le_bytes(element) as f64),
        Dtype::Float16 => first(bytes, wrong, |element| f16::from_le_bytes(element).into()),
        Dtype::Bfloat16 => first(bytes, wrong, |element| bf16::from_le_bytes(element).into()),
        Dtype::Float32 => first(bytes, wrong, |element| f32::from_le_bytes(element).into()),
        Dtype::Float64 => first(bytes, wrong, f64::from_le_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(dtype: Dtype, bytes: &[u8]) -> Values {
        Values::Raw { dtype, bytes: Bytes::copy_from_slice(bytes) }
    }

    #[test]
    fn raw_and_typed_values_are_the_same_bytes() {
        let typed = Values::F32(vec![1.0, -2.5]);
        let mut same = raw(Dtype::Float32, typed.as_bytes());
        assert_eq!((same.len(), same.as_bytes()), (2, typed.as_bytes()));
        assert!(same.extend(&typed));
        assert_eq!(same.as_bytes(), [typed.as_bytes(), typed.as_bytes()].concat());
        let mut other = typed.clone();
        assert!(other.extend(&raw(Dtype::Float32, typed.as_bytes())));
        assert_eq!(other.as_bytes(), same.as_bytes());
        assert!(!other.extend(&raw(Dtype::Int32, typed.as_bytes())));
        assert_eq!(same.slice(1..3).as_bytes(), [(-2.5_f32).to_le_bytes(), 1.0_f32.to_le_bytes()].concat());
        assert!(same.slice(3..5).is_empty());
    }

    #[test]
    fn what_is_no_number_is_found_in_every_type() {
        let half = |bits: u16| bits.to_le_bytes().to_vec();
        let cases = [
            (Dtype::Float16, half(0x7bff), half(0x7c00)),
            (Dtype::Float16, half(0xfbff), half(0xfe00)),
            (Dtype::Bfloat16, half(0x7f7f), half(0xff80)),
            (Dtype::Float32, f32::MAX.to_le_bytes().to_vec(), f32::NAN.to_le_bytes().to_vec()),
            (Dtype::Float64, f64::MIN.to_le_bytes().to_vec(), f64::INFINITY.to_le_bytes().to_vec()),
        ];
        for (dtype, finite, not) in cases {
            let values = raw(dtype, &[finite, not].concat());
            assert!(values.is_finite(0..1), "{dtype}");
            assert!(!values.is_finite(1..2), "{dtype}");
        }
    }
}
