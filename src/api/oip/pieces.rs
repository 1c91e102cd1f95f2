//! Pieces of messages, as protobuf's wire format has them.

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// Bytes of a field that holds so many.
pub(super) fn delimited_len(field: u32, bytes: usize) -> usize {
    key_len(field) + encoded_len_varint(bytes as u64) + bytes
}

/// Begins a field that holds so many bytes.
pub(super) fn delimit(field: u32, bytes: usize, into: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, into);
    encode_varint(bytes as u64, into);
}

/// Bytes of a field of text.
pub(super) fn text_len(field: u32, text: &str) -> usize {
    delimited_len(field, text.len())
}

/// Writes a field of text.
pub(super) fn text(field: u32, text: &str, into: &mut impl BufMut) {
    delimit(field, text.len(), into);
    into.put_slice(text.as_bytes());
}
