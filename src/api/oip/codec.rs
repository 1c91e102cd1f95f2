//! The service's messages on the wire: requests stay as they came, replies are pieces
//! that are put one behind the other, and all others are prost's.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, string},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// The fields of a reply that are written here.
const ID: u32 = 3;
const RAW_OUTPUT_CONTENTS: u32 = 6;

/// The fields of a reply of a stream.
const ERROR_MESSAGE: u32 = 1;
const INFER_RESPONSE: u32 = 2;

/// A `ModelInferRequest`, as it came.
#[derive(Debug)]
pub struct Received(pub(super) Bytes);

/// A `ModelInferResponse`.
#[derive(Debug)]
pub struct Reply {
    /// All before the raw contents, encoded.
    pub(super) head: Bytes,
    /// The elements of each output.
    pub(super) raw: Vec<Bytes>,
}

/// A `ModelStreamInferResponse`.
#[derive(Debug)]
pub enum Streamed {
    /// The answer.
    Reply(Reply),
    /// Why there is none, and the request's id.
    Fault {
        /// For `error_message`.
        message: String,
        /// Empty where the request has none.
        id: String,
    },
}

impl Reply {
    fn len(&self) -> usize {
        let raw = self.raw.iter().map(|bytes| delimited_len(RAW_OUTPUT_CONTENTS, bytes.len()));
        self.head.len() + raw.sum::<usize>()
    }

    fn put(&self, into: &mut EncodeBuf<'_>) {
        into.put_slice(&self.head);
        for bytes in &self.raw {
            delimit(RAW_OUTPUT_CONTENTS, bytes.len(), into);
            into.put_slice(bytes);
        }
    }
}

fn delimited_len(field: u32, bytes: usize) -> usize {
    key_len(field) + encoded_len_varint(bytes as u64) + bytes
}

fn delimit(field: u32, bytes: usize, into: &mut EncodeBuf<'_>) {
    encode_key(field, WireType::LengthDelimited, into);
    encode_varint(bytes as u64, into);
}

/// A message that can be written.
pub(super) trait Outgoing: Send + 'static {
    fn write(self, into: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

/// A message that can be read.
pub(super) trait Incoming: Sized + Send + 'static {
    fn read(bytes: &mut DecodeBuf<'_>) -> Result<Self, Status>;
}

impl Outgoing for Reply {
    fn write(self, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(self.len());
        self.put(into);
        Ok(())
    }
}

impl Outgoing for Streamed {
    fn write(self, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match self {
            Self::Reply(reply) => {
                into.reserve(delimited_len(INFER_RESPONSE, reply.len()));
                delimit(INFER_RESPONSE, reply.len(), into);
                reply.put(into);
            }
            Self::Fault { message, id } => {
                string::encode(ERROR_MESSAGE, &message, into);
                if !id.is_empty() {
                    delimit(INFER_RESPONSE, string::encoded_len(ID, &id), into);
                    string::encode(ID, &id, into);
                }
            }
        }
        Ok(())
    }
}

impl<M: Message + 'static> Outgoing for M {
    fn write(self, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.encode(into).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Incoming for Received {
    fn read(bytes: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        Ok(Self(bytes.copy_to_bytes(bytes.remaining())))
    }
}

impl<M: Message + Default + 'static> Incoming for M {
    fn read(bytes: &mut DecodeBuf<'_>) -> Result<Self, Status> {
        M::decode(bytes).map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

/// Reads `D` and writes `E`.
pub(super) struct Wired<E, D>(PhantomData<(E, D)>);

/// Writes `E`.
pub(super) struct Writer<E>(PhantomData<E>);

/// Reads `D`.
pub(super) struct Reader<D>(PhantomData<D>);

impl<E, D> Default for Wired<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Outgoing, D: Incoming> Codec for Wired<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Writer<E>;
    type Decoder = Reader<D>;

    fn encoder(&mut self) -> Self::Encoder {
        Writer(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Reader(PhantomData)
    }
}

impl<E: Outgoing> Encoder for Writer<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.write(into)
    }
}

impl<D: Incoming> Decoder for Reader<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::read(bytes).map(Some)
    }
}
