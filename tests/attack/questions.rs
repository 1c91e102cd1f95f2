//! Requests whose right answers are known, row by row.
//!
//! It knows messages, and neither connections nor time.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use serde::Deserialize;
use serde_json::value::RawValue;
use souk::api::{
    JsonForms,
    proto::v1::{GmvResult, Merchant, MerchantFeatures, PredictGmvRequest, PredictGmvResponse, gmv_result::Outcome},
};
use tonic::Code;

use crate::marked::{CITIES, DATE, RATINGS, expected, mu};

/// Where they are asked, one by one.
pub(crate) const UNARY: &str = "/souk.v1.MerchantGmvService/PredictGmv";

/// Where tensors are asked for.
pub(crate) const TENSORS: &str = "/inference.GRPCInferenceService/ModelInfer";

/// gRPC's frame: whether the message is compressed, its length, the message.
pub(crate) const PREFIX: usize = 5;

/// How far a forecast may be from what it must be, as a share: above what float32 and batches of other
/// sizes make of it, and far below what another row's forecast differs by.
const RELATIVE: f64 = 1e-4;

/// A request.
pub(crate) struct Question {
    /// The method that is called.
    pub(crate) method: &'static str,
    /// The whole gRPC frame.
    pub(crate) frame: Bytes,
    wanted: Wanted,
}

enum Wanted {
    Forecasts(Vec<(String, Row)>),
    /// An output with these floats.
    Tensor(Vec<f32>),
}

/// What must become of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Row {
    /// A forecast with this mean.
    Forecast(f64),
    /// An error of its own.
    Failure,
}

/// What an OK answer is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every row is as it must be.
    Right,
    /// So, but for rows that the model failed on and that say so.
    Failed,
    /// What is wrong.
    Wrong(String),
}

/// A merchant whose forecast is known.
#[derive(Clone)]
struct Known {
    merchant: Merchant,
    row: Row,
}

/// Merchants to ask for.
#[derive(Clone)]
pub(crate) struct Merchants(Vec<Known>);

impl Merchants {
    /// Those of [`crate::marked`].
    pub(crate) fn marked() -> Self {
        let cities = (0..=CITIES.len()).cycle();
        let known = |(rating, city): (u32, usize)| Known {
            merchant: rated(f64::from(rating), city),
            row: Row::Forecast(expected_of(f64::from(rating), city)),
        };
        Self((0..RATINGS).zip(cities).map(known).collect())
    }

    /// The golden rows of a version in `folder`, with the forecasts that training's outputs make.
    pub(crate) fn golden(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("golden.jsonl");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let forms = JsonForms::new()?;
        let known = |line: &str| -> anyhow::Result<Known> {
            let line: Line<'_> = serde_json::from_str(line)?;
            let [logit, mu, sigma] = line.outputs.ziln;
            let merchant = forms.read("Merchant", line.row.get())?;
            Ok(Known { merchant, row: Row::Forecast(expected(logit, mu, sigma)) })
        };
        let known: Vec<Known> = text.lines().map(known).collect::<Result<_, _>>()?;
        ensure!(!known.is_empty(), "{}: no rows", path.display());
        Ok(Self(known))
    }

    /// A request of so many rows; each turn begins elsewhere. Where there is a `mark`, the row in the
    /// middle has this rating and must fail.
    pub(crate) fn ask(&self, turn: usize, rows: usize, mark: Option<f64>) -> Question {
        let chosen = self.0.iter().cycle().skip(turn * 7 % self.0.len()).take(rows);
        let mut chosen: Vec<Known> = chosen.cloned().collect();
        if let (Some(mark), Some(row)) = (mark, chosen.get_mut(rows / 2)) {
            *row = Known { merchant: rated(mark, 0), row: Row::Failure };
        }
        let wanted = (0..).zip(&chosen).map(|(row, known)| (format!("{turn}-{row}"), known.row)).collect::<Vec<_>>();
        let named =
            wanted.iter().zip(chosen).map(|((id, _), known)| Merchant { merchant_id: id.clone(), ..known.merchant });
        let request = PredictGmvRequest { merchants: named.collect(), ..PredictGmvRequest::default() };
        Question { method: UNARY, frame: frame(&request), wanted: Wanted::Forecasts(wanted) }
    }

    /// A request whose answer has 1.7 KB for each of so many rows.
    pub(crate) fn large(&self, rows: usize) -> Bytes {
        let quantiles = (1..=100).map(|percent| f64::from(percent) / 101.0).collect();
        let merchants = self.0.iter().cycle().take(rows).map(|known| known.merchant.clone()).collect();
        frame(&PredictGmvRequest { merchants, quantiles, ..PredictGmvRequest::default() })
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    row: &'a RawValue,
    outputs: Outputs,
}

#[derive(Deserialize)]
struct Outputs {
    ziln: [f64; 3],
}

fn expected_of(rating: f64, city: usize) -> f64 {
    expected(crate::marked::LOGIT, mu(rating, city), crate::marked::SIGMA)
}

fn rated(rating: f64, city: usize) -> Merchant {
    let city = city.checked_sub(1).and_then(|index| CITIES.get(index)).map(|&name| name.to_owned());
    let features = MerchantFeatures { rating: Some(rating), city, ..MerchantFeatures::default() };
    Merchant { merchant_id: String::new(), features: Some(features), as_of: DATE.into() }
}

/// A message with its length before it.
pub(crate) fn frame(request: &impl Message) -> Bytes {
    let length = request.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame.put_slice(&request.encode_to_vec());
    frame.freeze()
}

impl Question {
    /// A request for an output of floats, by the Open Inference Protocol.
    pub(crate) fn tensor(request: &impl Message, wanted: Vec<f32>) -> Self {
        Self { method: TENSORS, frame: frame(request), wanted: Wanted::Tensor(wanted) }
    }

    /// Whether it has a row that must fail.
    pub(crate) fn is_marked(&self) -> bool {
        matches!(&self.wanted, Wanted::Forecasts(rows) if rows.iter().any(|(_, row)| *row == Row::Failure))
    }

    /// What the message of an OK answer is worth, without its frame.
    pub(crate) fn judge(&self, message: &[u8]) -> Verdict {
        match &self.wanted {
            Wanted::Forecasts(rows) => judged(rows, message),
            Wanted::Tensor(floats) => tensor(floats, message),
        }
    }
}

fn judged(rows: &[(String, Row)], message: &[u8]) -> Verdict {
    let Ok(answer) = PredictGmvResponse::decode(message) else { return Verdict::Wrong("no such message".into()) };
    if answer.results.len() != rows.len() {
        return Verdict::Wrong(format!("{} results for {} rows", answer.results.len(), rows.len()));
    }
    let mut whole = Verdict::Right;
    for ((id, row), result) in rows.iter().zip(&answer.results) {
        match of_row(id, *row, result) {
            Verdict::Right => {}
            Verdict::Failed => whole = Verdict::Failed,
            wrong @ Verdict::Wrong(_) => return wrong,
        }
    }
    whole
}

fn of_row(id: &str, row: Row, result: &GmvResult) -> Verdict {
    if result.merchant_id != id {
        return Verdict::Wrong(format!("row {id} has the answer of {:?}", result.merchant_id));
    }
    match (&result.outcome, row) {
        (Some(Outcome::Forecast(forecast)), Row::Forecast(wanted))
            if (forecast.expected_gmv - wanted).abs() <= RELATIVE * wanted.abs() =>
        {
            Verdict::Right
        }
        (Some(Outcome::Error(error)), _) if error.code == Code::Internal as i32 => match row {
            Row::Failure => Verdict::Right,
            Row::Forecast(_) => Verdict::Failed,
        },
        (found, wanted) => Verdict::Wrong(format!("row {id}: {found:?}, wanted {wanted:?}")),
    }
}

fn tensor(wanted: &[f32], message: &[u8]) -> Verdict {
    let answer = souk::api::proto::inference::ModelInferResponse::decode(message);
    let Ok(answer) = answer else { return Verdict::Wrong("no such message".into()) };
    let [raw] = answer.raw_output_contents.as_slice() else { return Verdict::Wrong("not one output".into()) };
    let found = raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let near =
        |(found, wanted): (f32, &f32)| f64::from((found - wanted).abs()) <= RELATIVE * f64::from(wanted.abs() + 1.0);
    if raw.len() == 4 * wanted.len() && found.zip(wanted).all(near) {
        Verdict::Right
    } else {
        Verdict::Wrong(format!("{} bytes of other numbers than training's", raw.len()))
    }
}
