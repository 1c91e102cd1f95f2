//! The requests: golden rows of the version under test, encoded beforehand.

mod forecasts;
mod tensors;

use std::{fs, path::Path};

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use serde::{Deserialize, Serialize};

/// Different requests of 64 rows and more; they repeat after that. Enough that the
/// server can't answer from its caches, few enough to be ready at once.
const FEWEST: usize = 32;

/// gRPC's frame: whether the message is compressed, its length, the message.
pub(crate) const PREFIX: usize = 5;

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Asks {
    /// Forecasts of merchants, by their features.
    Forecasts,
    /// Its outputs for raw tensors, by the Open Inference Protocol.
    Tensors,
}

/// Requests in their turn, over and over.
pub(crate) struct Requests {
    encoded: Vec<Encoded>,
}

/// One request.
pub(crate) struct Encoded {
    /// The whole gRPC frame.
    pub(crate) frame: Bytes,
    asked: Asked,
}

enum Asked {
    Forecasts(forecasts::Asked),
    Tensors(tensors::Asked),
}

/// What an answer says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    /// Whether it answers every row of the request, in order.
    pub(crate) right: bool,
    /// The version that answered; 0 where it names none.
    pub(crate) version: u64,
    /// Rows in the batch; 0 where it doesn't say.
    pub(crate) batch_rows: u32,
}

impl Asks {
    /// The method that is called.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Forecasts => "/souk.v1.MerchantGmvService/PredictGmv",
            Self::Tensors => "/inference.GRPCInferenceService/ModelInfer",
        }
    }

    /// The service whose health says whether there is somebody to answer.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::Forecasts => "souk.v1.MerchantGmvService",
            Self::Tensors => "inference.GRPCInferenceService",
        }
    }
}

impl Requests {
    /// Requests of `rows` rows each, of a version's `golden.jsonl`.
    pub(crate) fn read(golden: &Path, asks: Asks, rows: usize) -> anyhow::Result<Self> {
        let text = fs::read_to_string(golden).with_context(|| golden.display().to_string())?;
        let encoded = match asks {
            Asks::Forecasts => forecasts::all(&text, rows),
            Asks::Tensors => tensors::all(&text, rows),
        };
        Ok(Self { encoded: encoded.with_context(|| golden.display().to_string())? })
    }

    /// The request of this turn.
    pub(crate) fn at(&self, turn: usize) -> &Encoded {
        let count = self.encoded.len();
        self.encoded.get(turn % count).unwrap_or_else(|| unreachable!("{turn} modulo {count}"))
    }
}

impl Encoded {
    fn new(request: &impl Message, asked: Asked) -> Self {
        Self { frame: frame(request), asked }
    }

    /// What a message that was answered says.
    pub(crate) fn said_by(&self, message: &[u8]) -> Said {
        match &self.asked {
            Asked::Forecasts(asked) => asked.said_by(message),
            Asked::Tensors(asked) => asked.said_by(message),
        }
    }
}

/// How many requests there are of so many golden rows.
fn count(golden: usize, rows: usize) -> usize {
    FEWEST.max(golden / rows)
}

/// The golden rows of a request: each begins elsewhere, so that no two hold the same rows
/// in the same order.
fn chosen<T>(golden: &[T], turn: usize, rows: usize) -> impl Iterator<Item = &T> {
    golden.iter().cycle().skip(turn * rows.max(7) % golden.len()).take(rows)
}

fn frame(request: &impl Message) -> Bytes {
    let length = request.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&request.encode_to_vec());
    frame.freeze()
}
