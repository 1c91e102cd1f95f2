//! `souk.v1.MerchantGmvService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    answered::{Wording, wrong_head},
    frames::{MerchantGmvService, PredictGmvRequest},
    parts::id,
    proto::v1::{GmvForecast, GmvQuantile, GmvResult, Merchant, RowError, gmv_result::Outcome},
    reply::Reply,
    scoring::{Call, Scoring},
    sending::sending,
    stream::{Replies, in_order},
};
use crate::{
    error::ScoreError,
    heads::{Forecast, GmvHead, Head, HeadError},
    manifest::Task,
    model::Version,
    rows::Rows,
    stack::Lane,
};

/// Most quantiles in one request: a distribution needs no more to be drawn.
const MAX_QUANTILES: usize = 100;

/// Answers what merchants' GMV will be.
#[derive(Clone)]
pub struct GmvEndpoint {
    scoring: Scoring,
}

impl GmvEndpoint {
    /// An endpoint over what all share.
    pub fn new(scoring: Scoring) -> Self {
        Self { scoring }
    }

    async fn predict(&self, request: PredictGmvRequest, call: Call) -> Result<Reply, ScoreError> {
        call.about(request.merchants.iter().map(|merchant| id(merchant)));
        let quantiles = ascending(request.quantiles)?;
        let PredictGmvRequest { merchants, version, .. } = request;
        let answered = self.scoring.answer::<Merchant>(Task::MerchantGmv, merchants, &version, &call).await?;

        let versions = answered.versions();
        let wording = |version| forecasts(version, &quantiles);
        let wordings = versions.iter().map(wording).collect::<Result<_, _>>()?;
        Ok(answered.reply(wordings).await)
    }
}

#[async_trait]
impl MerchantGmvService for GmvEndpoint {
    type StreamGmvStream = Replies<Reply>;

    async fn predict_gmv(&self, request: Request<PredictGmvRequest>) -> Result<Response<Reply>, Status> {
        let accepted = self.scoring.drain.accept()?;
        let call = Call::new(request.extensions(), Lane::Interactive);
        Ok(sending(self.predict(request.into_inner(), call).await?, accepted))
    }

    async fn stream_gmv(
        &self,
        request: Request<Streaming<PredictGmvRequest>>,
    ) -> Result<Response<Self::StreamGmvStream>, Status> {
        let call = Call::new(request.extensions(), Lane::Bulk);
        let endpoint = self.clone();
        let answer = move |message, call| {
            let endpoint = endpoint.clone();
            async move { Ok(endpoint.predict(message, call).await?) }
        };
        Ok(Response::new(in_order(request.into_inner(), call, &self.scoring.drain, answer)?))
    }
}

/// The wording of one version; without quantiles those that it names itself.
fn forecasts<'v>(version: &'v Arc<Version>, quantiles: &'v [f64]) -> Result<Forecasts<'v>, ScoreError> {
    let Head::Gmv(head) = &version.head else { return Err(wrong_head(version)) };
    Ok(Forecasts::new(head, if quantiles.is_empty() { head.quantiles() } else { quantiles }))
}

/// Forecasts, each in the words of the one before.
pub(super) struct Forecasts<'h> {
    head: &'h GmvHead,
    quantiles: &'h [f64],
    made: Forecast,
    result: GmvResult,
}

impl<'h> Forecasts<'h> {
    pub(super) fn new(head: &'h GmvHead, quantiles: &'h [f64]) -> Self {
        let forecast = GmvForecast {
            currency: head.currency().to_owned(),
            horizon_days: head.horizon_days(),
            ..GmvForecast::default()
        };
        let result = GmvResult { outcome: Some(Outcome::Forecast(forecast)), ..GmvResult::default() };
        Self { head, quantiles, made: Forecast::default(), result }
    }
}

impl Wording for Forecasts<'_> {
    type Result = GmvResult;

    fn answer(&mut self, outputs: &Rows, row: usize) -> Result<&GmvResult, HeadError> {
        let made = &mut self.made;
        self.head.forecast(outputs, row, self.quantiles, made)?;
        if let Some(Outcome::Forecast(forecast)) = &mut self.result.outcome {
            forecast.expected_gmv = made.expected_gmv;
            forecast.active_probability = made.active_probability;
            forecast.quantiles.clear();
            let quantile = |(probability, gmv)| GmvQuantile { probability, gmv };
            forecast.quantiles.extend(made.quantiles.iter().copied().map(quantile));
        }
        Ok(&self.result)
    }

    fn refusal(&self, error: RowError) -> GmvResult {
        GmvResult { outcome: Some(Outcome::Error(error)), ..GmvResult::default() }
    }
}

/// The quantiles of a request in ascending order.
fn ascending(mut quantiles: Vec<f64>) -> Result<Vec<f64>, ScoreError> {
    if quantiles.len() > MAX_QUANTILES {
        let description = format!("has {} values, wanted at most {MAX_QUANTILES}", quantiles.len());
        return Err(ScoreError::BadField { field: "quantiles".into(), description });
    }
    // Not `<= 0 || >= 1`, which NaN would pass.
    if let Some(index) = quantiles.iter().position(|quantile| !(*quantile > 0.0 && *quantile < 1.0)) {
        let found = quantiles.get(index).copied().unwrap_or(f64::NAN);
        let description = format!("is {found}, wanted a number between 0 and 1, both excluded");
        return Err(ScoreError::BadField { field: format!("quantiles[{index}]"), description });
    }
    quantiles.sort_by(f64::total_cmp);
    Ok(quantiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_answered_in_ascending_order() {
        assert_eq!(ascending(vec![0.9, 0.1, 0.5]), Ok(vec![0.1, 0.5, 0.9]));
    }

    #[test]
    fn a_quantile_outside_its_range_is_named_by_its_place() {
        for wrong in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            let Err(ScoreError::BadField { field, .. }) = ascending(vec![0.5, wrong]) else {
                unreachable!("{wrong} was accepted");
            };
            assert_eq!(field, "quantiles[1]");
        }
    }
}
