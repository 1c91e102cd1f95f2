//! Outputs to a reply: what says what they are, encoded once, and their elements as they
//! lie in memory.

use bytes::BytesMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, int64, key_len};

use super::{
    codec::Reply,
    datatype,
    pieces::{delimit, delimited_len, text, text_len},
};
use crate::{
    manifest::{Dim, OutputSpec},
    registry::Resolved,
    rows::Column,
    stack::{Lane, Scored},
};

/// The fields of a `ModelInferResponse`.
const MODEL_NAME: u32 = 1;
const MODEL_VERSION: u32 = 2;
const ID: u32 = 3;
const PARAMETERS: u32 = 4;
const OUTPUTS: u32 = 5;

/// The fields of an entry of a map, and of an `InferParameter`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const BOOL_PARAM: u32 = 1;
const INT64_PARAM: u32 = 2;
const STRING_PARAM: u32 = 3;

/// What a head takes that is usual, in bytes; more is made room for later.
const USUAL: usize = 320;

/// What a reply says beside its outputs.
pub(super) struct About<'a> {
    pub(super) by: &'a Resolved,
    pub(super) id: &'a str,
    pub(super) rows: usize,
    pub(super) streamed: bool,
    /// Where its rows wait. None where nobody wants to know where its time went.
    pub(super) timed: Option<Lane>,
}

/// Where the time of a request went.
pub(super) struct Timing {
    /// By the parameter's name; durations in microseconds.
    parts: [(&'static str, u128); 4],
    lane: Lane,
}

impl Timing {
    pub(super) fn of(scored: &Scored, lane: Lane) -> Self {
        let parts = [
            ("souk_decode_us", scored.decode.as_micros()),
            ("souk_queue_us", scored.queue.as_micros()),
            ("souk_compute_us", scored.compute.as_micros()),
            ("souk_batch_rows", scored.batch_rows as u128),
        ];
        Self { parts, lane }
    }

    fn write(&self, into: &mut BytesMut) {
        for (name, value) in self.parts {
            number_parameter(name, u64::try_from(value).unwrap_or(u64::MAX), into);
        }
        text_parameter("souk_lane", self.lane.as_str(), into);
    }
}

/// The reply with these outputs, each as the manifest says.
pub(super) fn reply(about: &About<'_>, timing: Option<Timing>, outputs: Vec<(&OutputSpec, Column)>) -> Reply {
    let version = &about.by.version;
    let mut head = BytesMut::with_capacity(USUAL);
    text(MODEL_NAME, &version.manifest.model, &mut head);
    text(MODEL_VERSION, &version.manifest.version.to_string(), &mut head);
    if !about.id.is_empty() {
        text(ID, about.id, &mut head);
    }
    if !about.by.label.is_empty() {
        text_parameter("label", &about.by.label, &mut head);
    }
    text_parameter("digest", &version.digest, &mut head);
    if about.streamed {
        final_response(&mut head);
    }
    timing.iter().for_each(|timing| timing.write(&mut head));
    let rows = version.manifest.has_rows().then_some(about.rows);
    let mut raw = Vec::with_capacity(outputs.len());
    for (spec, column) in outputs {
        output(spec, &shape(spec, &column, rows), &mut head);
        raw.push(column.values.into_bytes());
    }
    Reply { head: head.freeze(), raw }
}

/// The sizes of an output.
fn shape(spec: &OutputSpec, column: &Column, rows: Option<usize>) -> Vec<i64> {
    let mut open = column.varying.iter().copied();
    let size = |dim: &Dim| dim.size().or_else(|| open.next()).unwrap_or_default();
    let row: Vec<usize> = spec.shape.iter().map(size).collect();
    // What lies in memory is far below 2^63.
    rows.into_iter().chain(row).map(|size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

fn output(spec: &OutputSpec, shape: &[i64], into: &mut BytesMut) {
    let datatype = datatype::name(spec.dtype);
    let len = text_len(1, &spec.name) + text_len(2, datatype) + int64::encoded_len_packed(3, shape);
    delimit(OUTPUTS, len, into);
    text(1, &spec.name, into);
    text(2, datatype, into);
    int64::encode_packed(3, shape, into);
}

fn text_parameter(key: &str, value: &str, into: &mut BytesMut) {
    let parameter = text_len(STRING_PARAM, value);
    delimit(PARAMETERS, text_len(KEY, key) + delimited_len(VALUE, parameter), into);
    text(KEY, key, into);
    delimit(VALUE, parameter, into);
    text(STRING_PARAM, value, into);
}

fn number_parameter(key: &str, value: u64, into: &mut BytesMut) {
    let parameter = key_len(INT64_PARAM) + encoded_len_varint(value);
    delimit(PARAMETERS, text_len(KEY, key) + delimited_len(VALUE, parameter), into);
    text(KEY, key, into);
    delimit(VALUE, parameter, into);
    encode_key(INT64_PARAM, WireType::Varint, into);
    encode_varint(value, into);
}

/// Triton's way to say that no further reply belongs to the request.
fn final_response(into: &mut BytesMut) {
    let key = "triton_final_response";
    delimit(PARAMETERS, text_len(KEY, key) + delimited_len(VALUE, 2), into);
    text(KEY, key, into);
    delimit(VALUE, 2, into);
    encode_key(BOOL_PARAM, WireType::Varint, into);
    encode_varint(1, into);
}
