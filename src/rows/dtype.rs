//! The types of a tensor's elements.

use std::fmt;

use half::{bf16, f16};
use schemars::JsonSchema;
use serde::Deserialize;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// One byte, 0 or 1.
    Bool,
    /// 8-bit integers without a sign.
    Uint8,
    /// 8-bit integers.
    Int8,
    /// 16-bit integers.
    Int16,
    /// 32-bit integers.
    Int32,
    /// 64-bit integers.
    Int64,
    /// 16-bit floats by IEEE 754.
    Float16,
    /// The upper half of 32-bit floats.
    Bfloat16,
    /// 32-bit floats.
    Float32,
    /// 64-bit floats.
    Float64,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Bool,
        Self::Uint8,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float16,
        Self::Bfloat16,
        Self::Float32,
        Self::Float64,
    ];

    /// The name in the manifest, which is PyTorch's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Int16 | Self::Float16 | Self::Bfloat16 => 2,
            Self::Int32 | Self::Float32 => 4,
            Self::Int64 | Self::Float64 => 8,
        }
    }

    /// Whether `value` can be one of its values, rounded where they are floats.
    pub fn holds(self, value: f64) -> bool {
        let integer = |least: f64, greatest: f64| value.fract() == 0.0 && (least..=greatest).contains(&value);
        match self {
            Self::Bool => value == 0.0 || value == 1.0,
            Self::Uint8 => integer(0.0, 255.0),
            Self::Int8 => integer(-128.0, 127.0),
            Self::Int16 => integer(-32_768.0, 32_767.0),
            Self::Int32 => integer(f64::from(i32::MIN), f64::from(i32::MAX)),
            // Up to 2^53 every integer is a float too.
            Self::Int64 => integer(-9_007_199_254_740_992.0, 9_007_199_254_740_992.0),
            Self::Float16 => value.abs() <= 65_504.0,
            Self::Bfloat16 | Self::Float32 => value.abs() <= f64::from(f32::MAX),
            Self::Float64 => value.is_finite(),
        }
    }

    /// A value as it lies in memory, little-endian; of floats the nearest, of integers
    /// the nearest that they can hold.
    pub fn element(self, value: f64) -> Vec<u8> {
        match self {
            Self::Bool => vec![u8::from(value != 0.0)],
            Self::Uint8 => vec![value as u8],
            Self::Int8 => (value as i8).to_le_bytes().into(),
            Self::Int16 => (value as i16).to_le_bytes().into(),
            Self::Int32 => (value as i32).to_le_bytes().into(),
            Self::Int64 => (value as i64).to_le_bytes().into(),
            Self::Float16 => f16::from_f64(value).to_le_bytes().into(),
            Self::Bfloat16 => bf16::from_f64(value).to_le_bytes().into(),
            Self::Float32 => (value as f32).to_le_bytes().into(),
            Self::Float64 => value.to_le_bytes().into(),
        }
    }

    /// Whether its values may be NaN or infinite.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Bfloat16 | Self::Float32 | Self::Float64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
