//! The protocol's names for the types of elements.

use crate::{api::proto::inference::DataType, rows::Dtype};

/// The protocol's name.
pub(crate) fn name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "BOOL",
        Dtype::Uint8 => "UINT8",
        Dtype::Int8 => "INT8",
        Dtype::Int16 => "INT16",
        Dtype::Int32 => "INT32",
        Dtype::Int64 => "INT64",
        Dtype::Float16 => "FP16",
        Dtype::Bfloat16 => "BF16",
        Dtype::Float32 => "FP32",
        Dtype::Float64 => "FP64",
    }
}

/// The name in Triton's configuration.
pub(super) fn of_config(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::Bool => DataType::TypeBool,
        Dtype::Uint8 => DataType::TypeUint8,
        Dtype::Int8 => DataType::TypeInt8,
        Dtype::Int16 => DataType::TypeInt16,
        Dtype::Int32 => DataType::TypeInt32,
        Dtype::Int64 => DataType::TypeInt64,
        Dtype::Float16 => DataType::TypeFp16,
        Dtype::Bfloat16 => DataType::TypeBf16,
        Dtype::Float32 => DataType::TypeFp32,
        Dtype::Float64 => DataType::TypeFp64,
    }
}
