//! The requests: golden rows of the version under test, encoded beforehand.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use souk::api::{
    JsonForms,
    proto::v1::{Merchant, PredictGmvRequest, PredictGmvResponse, gmv_result::Outcome},
};

/// Different requests of 64 rows and more; they repeat after that. Enough that the
/// server can't answer from its caches, few enough to be ready at once.
const FEWEST: usize = 32;

/// gRPC's frame: whether the message is compressed, its length, the message.
pub(crate) const PREFIX: usize = 5;

/// Requests in their turn, over and over.
pub(crate) struct Requests {
    encoded: Vec<Encoded>,
}

/// One request.
pub(crate) struct Encoded {
    /// The whole gRPC frame.
    pub(crate) frame: Bytes,
    ids: Vec<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    row: &'a RawValue,
}

impl Requests {
    /// Requests of `rows` rows each, of a version's `golden.jsonl`.
    pub(crate) fn read(golden: &Path, rows: usize) -> anyhow::Result<Self> {
        let merchants = merchants(golden)?;
        let count = FEWEST.max(merchants.len() / rows);
        let encoded = (0..count).map(|turn| Encoded::new(&merchants, turn, rows)).collect();
        Ok(Self { encoded })
    }

    /// The request of this turn.
    pub(crate) fn at(&self, turn: usize) -> &Encoded {
        let count = self.encoded.len();
        self.encoded.get(turn % count).unwrap_or_else(|| unreachable!("{turn} modulo {count}"))
    }
}

impl Encoded {
    fn new(merchants: &[Merchant], turn: usize, rows: usize) -> Self {
        let ids: Vec<String> = (0..rows).map(|row| format!("merchant-{turn}-{row}")).collect();
        // Each request begins elsewhere, so that no two hold the same rows in the same order.
        let chosen = merchants.iter().cycle().skip(turn * rows.max(7) % merchants.len());
        let named = chosen.zip(&ids).map(|(merchant, id)| Merchant { merchant_id: id.clone(), ..merchant.clone() });
        let request = PredictGmvRequest { merchants: named.collect(), ..PredictGmvRequest::default() };
        Self { frame: frame(&request), ids }
    }

    /// Whether `message` answers every row of this request with a forecast, in order.
    pub(crate) fn is_answered_by(&self, answer: &PredictGmvResponse) -> bool {
        let forecast = |(id, result): (&String, &souk::api::proto::v1::GmvResult)| {
            result.merchant_id == *id && matches!(result.outcome, Some(Outcome::Forecast(_)))
        };
        answer.results.len() == self.ids.len() && self.ids.iter().zip(&answer.results).all(forecast)
    }
}

fn merchants(golden: &Path) -> anyhow::Result<Vec<Merchant>> {
    let text = fs::read_to_string(golden).with_context(|| golden.display().to_string())?;
    let forms = JsonForms::new()?;
    let merchant = |line: &str| -> anyhow::Result<Merchant> {
        let line: Line<'_> = serde_json::from_str(line)?;
        Ok(forms.read("Merchant", line.row.get())?)
    };
    let merchants: Vec<Merchant> = text.lines().map(merchant).collect::<Result<_, _>>()?;
    ensure!(!merchants.is_empty(), "{} holds no rows", golden.display());
    Ok(merchants)
}

fn frame(request: &PredictGmvRequest) -> Bytes {
    let length = request.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&request.encode_to_vec());
    frame.freeze()
}
