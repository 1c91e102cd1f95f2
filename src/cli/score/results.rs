//! Writes one result a line, in the order of the input's lines.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use futures::{Stream, StreamExt as _};
use indicatif::ProgressBar;
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;

use super::{Score, lines::Plan};
use crate::{
    api::{JsonForms, proto::v1::RowError},
    cli::{client::refused, say, written},
};

/// Errors of rows that are shown to people; the rest is only counted.
const SHOWN: u64 = 5;

/// How one kind of result is made and read.
pub(super) struct Results<Outcome> {
    /// The message's name in `souk.v1`.
    pub(super) message: &'static str,
    /// The result of a line that is no row.
    pub(super) unread: fn(RowError) -> Outcome,
    /// The error of a result.
    pub(super) error: fn(&Outcome) -> Option<RowError>,
}

impl<Outcome: Message> Results<Outcome> {
    /// Writes until the input ends; how many rows have an error.
    pub(super) async fn write(
        &self,
        score: &Score,
        mut plans: mpsc::Receiver<io::Result<Plan>>,
        replies: impl Stream<Item = Result<Vec<Outcome>, Status>>,
        progress: ProgressBar,
    ) -> anyhow::Result<u64> {
        let forms = JsonForms::new()?;
        let mut output = create(&score.output)?;
        let mut replies = std::pin::pin!(replies);
        let (mut rows, mut failed) = (0_u64, 0_u64);
        while let Some(plan) = plans.recv().await {
            let plan = plan.with_context(|| format!("--input {}", score.input.display()))?;
            for outcome in self.outcomes(plan, replies.as_mut()).await? {
                if let Some(error) = (self.error)(&outcome) {
                    failed += 1;
                    show(&progress, failed, &error);
                }
                written(writeln!(output, "{}", forms.write(self.message, &outcome)?))?;
                rows += 1;
            }
            progress.set_message(format!("{rows} rows"));
        }
        written(output.flush())?;
        progress.finish_and_clear();
        say(format_args!("{rows} rows, {failed} with an error"));
        Ok(failed)
    }

    /// The results of one plan's lines.
    async fn outcomes(
        &self,
        plan: Plan,
        mut replies: std::pin::Pin<&mut impl Stream<Item = Result<Vec<Outcome>, Status>>>,
    ) -> anyhow::Result<Vec<Outcome>> {
        let sent = plan.iter().filter(|line| line.is_none()).count();
        let mut scored = match sent {
            0 => Vec::new(),
            _ => replies.next().await.context("the server ended the stream early")?.map_err(refused)?,
        }
        .into_iter();
        anyhow::ensure!(scored.len() == sent, "the server answered {} of {sent} rows", scored.len());
        let outcome = |line: Option<RowError>| match line {
            Some(error) => Some((self.unread)(error)),
            None => scored.next(),
        };
        Ok(plan.into_iter().filter_map(outcome).collect())
    }
}

fn show(progress: &ProgressBar, failed: u64, error: &RowError) {
    if failed <= SHOWN {
        progress.suspend(|| say(format_args!("{}", error.message)));
    } else if failed == SHOWN + 1 {
        progress.suspend(|| say(format_args!("more errors are in the results only")));
    }
}

fn create(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).with_context(|| format!("--output {}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}
