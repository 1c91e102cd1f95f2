//! The service's messages on the wire: requests stay as they came, replies are pieces
//! that are put one behind the other, and all others are prost's.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut, Bytes};
use prost::Message;
use tonic::{
    Code, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::{
    super::{oversize, sending::Weighed, stream::Coded},
    pieces::{delimit, delimited_len, text, text_len},
};
use crate::error::ScoreError;

/// The fields of a reply that are written here.
const ID: u32 = 3;
const RAW_OUTPUT_CONTENTS: u32 = 6;

/// The fields of a reply of a stream.
const ERROR_MESSAGE: u32 = 1;
const INFER_RESPONSE: u32 = 2;

/// Longest message that is no `ModelInferRequest`, in bytes: names and some parameters. It
/// is decoded before anybody is asked whether there is room, and in memory it is many
/// times as large.
const LONGEST_DECODED: usize = 64 * 1024;

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
        /// What a unary call would have ended with.
        code: Code,
    },
}

impl Weighed for Reply {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl Streamed {
    /// Why the request of this id has no answer.
    pub(super) fn fault(error: ScoreError, id: &str) -> Self {
        let (message, id) = (error.to_string(), id.to_owned());
        Self::Fault { message, id, code: Status::from(error).code() }
    }
}

impl Coded for Streamed {
    fn code(&self) -> Code {
        match self {
            Self::Reply(_) => Code::Ok,
            Self::Fault { code, .. } => *code,
        }
    }
}

impl Reply {
    fn len(&self) -> usize {
        let raw = self.raw.iter().map(|bytes| delimited_len(RAW_OUTPUT_CONTENTS, bytes.len()));
        self.head.len() + raw.sum::<usize>()
    }

    pub(super) fn put(&self, into: &mut impl BufMut) {
        into.put_slice(&self.head);
        for bytes in &self.raw {
            delimit(RAW_OUTPUT_CONTENTS, bytes.len(), into);
            into.put_slice(bytes);
        }
    }
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
                let len = reply.len();
                into.reserve(delimited_len(INFER_RESPONSE, len));
                delimit(INFER_RESPONSE, len, into);
                reply.put(into);
            }
            Self::Fault { message, id, .. } => {
                text(ERROR_MESSAGE, &message, into);
                if !id.is_empty() {
                    delimit(INFER_RESPONSE, text_len(ID, &id), into);
                    text(ID, &id, into);
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
        oversize::within(bytes.remaining(), LONGEST_DECODED)?;
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
