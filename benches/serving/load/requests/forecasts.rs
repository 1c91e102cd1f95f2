//! Forecasts of merchants.

use anyhow::ensure;
use prost::Message as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use souk::api::{
    JsonForms,
    proto::v1::{GmvResult, Merchant, PredictGmvRequest, PredictGmvResponse, gmv_result::Outcome},
};

use super::{Encoded, Said, chosen, count};

/// The merchants' ids.
pub(super) struct Asked(Vec<String>);

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    row: &'a RawValue,
}

/// Requests of the rows of `golden.jsonl`.
pub(super) fn all(golden: &str, rows: usize) -> anyhow::Result<Vec<Encoded>> {
    let merchants = merchants(golden)?;
    Ok((0..count(merchants.len(), rows)).map(|turn| request(&merchants, turn, rows)).collect())
}

fn request(golden: &[Merchant], turn: usize, rows: usize) -> Encoded {
    let ids: Vec<String> = (0..rows).map(|row| format!("merchant-{turn}-{row}")).collect();
    let named = chosen(golden, turn, rows).zip(&ids);
    let merchants = named.map(|(merchant, id)| Merchant { merchant_id: id.clone(), ..merchant.clone() }).collect();
    let request = PredictGmvRequest { merchants, ..PredictGmvRequest::default() };
    Encoded::new(&request, super::Asked::Forecasts(Asked(ids)))
}

fn merchants(golden: &str) -> anyhow::Result<Vec<Merchant>> {
    let forms = JsonForms::new()?;
    let merchant = |line: &str| -> anyhow::Result<Merchant> {
        let line: Line<'_> = serde_json::from_str(line)?;
        Ok(forms.read("Merchant", line.row.get())?)
    };
    let merchants: Vec<Merchant> = golden.lines().map(merchant).collect::<Result<_, _>>()?;
    ensure!(!merchants.is_empty(), "it holds no rows");
    Ok(merchants)
}

impl Asked {
    /// A forecast for every merchant, in order.
    pub(super) fn said_by(&self, message: &[u8]) -> Said {
        let Ok(answer) = PredictGmvResponse::decode(message) else { return Said::default() };
        let forecast = |(id, result): (&String, &GmvResult)| {
            result.merchant_id == *id && matches!(result.outcome, Some(Outcome::Forecast(_)))
        };
        Said {
            right: answer.results.len() == self.0.len() && self.0.iter().zip(&answer.results).all(forecast),
            version: answer.served_by.as_ref().map_or(0, |served_by| served_by.version),
            batch_rows: answer.timing.map_or(0, |timing| timing.batch_rows),
        }
    }
}
