//! `souk score`: a file of rows through a running server, one result a line.
//!
//! A client like any other: it knows the wire and nothing of the models.

mod lines;
mod results;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures::StreamExt as _;

use self::{lines::Lines, results::Results};
use super::{
    Failure,
    client::{Access, Asked, refused},
};
use crate::api::proto::v1::{
    GetPortraitsRequest, GmvResult, Merchant, PortraitResult, PredictGmvRequest, User, gmv_result,
    merchant_gmv_service_client::MerchantGmvServiceClient, portrait_result,
    user_portrait_service_client::UserPortraitServiceClient,
};

/// Where a server listens unless it is told otherwise.
const ADDR: &str = "http://127.0.0.1:50051";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk score merchant-gmv --input rows.jsonl > forecasts.jsonl
  zcat rows.jsonl.gz | souk score merchant-gmv --input - --quantiles 0.1,0.5,0.9
  souk score user-portrait --input users.jsonl --version 3 --addr http://souk:50051
  SOUK_TOKEN=souk_… souk score merchant-gmv --input rows.jsonl --addr https://souk:50051 --ca ca.pem

A line of the input is a souk.v1.Merchant or souk.v1.User in protobuf's JSON form, with the names of the
proto; a line of the output is its GmvResult or PortraitResult, in the input's order. A line that can't be
read gets a result with an error. Exit code 1 where any row has an error.")]
pub(super) struct Score {
    /// The question to ask.
    #[arg(value_enum)]
    question: Question,
    /// Rows, one JSON object a line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Results, one JSON object a line; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// The server.
    #[arg(long, value_name = "URL", default_value = ADDR)]
    addr: String,
    #[command(flatten)]
    access: Access,
    /// The version that answers: a number, a label, or nothing for the traffic policy's.
    #[arg(long = "version", value_name = "VERSION", default_value = "")]
    version: String,
    /// Quantiles of the forecast (merchant-gmv only), e.g. 0.1,0.5,0.9.
    #[arg(long, value_delimiter = ',')]
    quantiles: Vec<f64>,
    /// Rows in one message.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1024))]
    rows_per_message: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Question {
    /// What will these merchants' GMV be?
    MerchantGmv,
    /// Who are these users?
    UserPortrait,
}

impl Score {
    pub(super) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let failed = runtime.block_on(async {
            match self.question {
                Question::MerchantGmv => self.merchants().await,
                Question::UserPortrait => self.users().await,
            }
        })?;
        if failed == 0 { Ok(()) } else { Err(Failure::Bad) }
    }

    async fn merchants(&self) -> anyhow::Result<u64> {
        let (version, quantiles) = (self.version.clone(), self.quantiles.clone());
        let request = move |merchants: Vec<Merchant>| PredictGmvRequest {
            merchants,
            version: version.clone(),
            quantiles: quantiles.clone(),
        };
        let mut client = MerchantGmvServiceClient::new(self.connect().await?).max_decoding_message_size(usize::MAX);
        let lines = Lines::read(self, "Merchant", request)?;
        let replies = client.stream_gmv(lines.requests).await.map_err(refused)?.into_inner();
        let results = Results {
            message: "GmvResult",
            unread: |error| GmvResult { outcome: Some(gmv_result::Outcome::Error(error)), ..GmvResult::default() },
            error: |result: &GmvResult| match &result.outcome {
                Some(gmv_result::Outcome::Error(error)) => Some(error.clone()),
                _ => None,
            },
        };
        results.write(self, lines.plans, replies.map(|reply| reply.map(|reply| reply.results)), lines.progress).await
    }

    async fn users(&self) -> anyhow::Result<u64> {
        anyhow::ensure!(self.quantiles.is_empty(), "--quantiles: only a forecast has quantiles");
        let version = self.version.clone();
        let request = move |users: Vec<User>| GetPortraitsRequest { users, version: version.clone() };
        let mut client = UserPortraitServiceClient::new(self.connect().await?).max_decoding_message_size(usize::MAX);
        let lines = Lines::read(self, "User", request)?;
        let replies = client.stream_portraits(lines.requests).await.map_err(refused)?.into_inner();
        let results = Results {
            message: "PortraitResult",
            unread: |error| PortraitResult {
                outcome: Some(portrait_result::Outcome::Error(error)),
                ..PortraitResult::default()
            },
            error: |result: &PortraitResult| match &result.outcome {
                Some(portrait_result::Outcome::Error(error)) => Some(error.clone()),
                _ => None,
            },
        };
        results.write(self, lines.plans, replies.map(|reply| reply.map(|reply| reply.results)), lines.progress).await
    }

    async fn connect(&self) -> anyhow::Result<Asked> {
        self.access.connect(&self.addr, ADDR).await
    }
}
