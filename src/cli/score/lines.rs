//! Reads rows, packs them into messages, and remembers which line went where.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    thread,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::Score;
use crate::api::{JsonForms, proto::v1::RowError};

/// Messages that are read before their replies came: memory stays bounded
/// however long the input is.
const AHEAD: usize = 8;

/// One message's share of the input's lines, in order: `None` for a row that was
/// sent, the error of a line that is no row.
pub(super) type Plan = Vec<Option<RowError>>;

/// The input, on its way.
pub(super) struct Lines<Request> {
    /// Messages to send.
    pub(super) requests: ReceiverStream<Request>,
    /// What became of each line; the reader's error ends it.
    pub(super) plans: mpsc::Receiver<io::Result<Plan>>,
    /// On stderr, by bytes where the input's size is known.
    pub(super) progress: ProgressBar,
}

impl<Request: Send + 'static> Lines<Request> {
    /// Starts to read, on a thread of its own.
    pub(super) fn read<Row: Message + Default + Send + 'static>(
        score: &Score,
        message: &'static str,
        request: impl Fn(Vec<Row>) -> Request + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (input, progress) = open(&score.input)?;
        let (plan, plans) = mpsc::channel(AHEAD);
        let (send, requests) = mpsc::channel(AHEAD);
        let reader = Reader {
            forms: JsonForms::new()?,
            message,
            most: usize::from(score.rows_per_message),
            progress: progress.clone(),
        };
        thread::Builder::new().name("reader".into()).spawn(move || {
            // The receivers are gone only where the program is about to end.
            let _ = reader.run(input, &plan, &send, request);
        })?;
        Ok(Self { requests: ReceiverStream::new(requests), plans, progress })
    }
}

struct Reader {
    forms: JsonForms,
    message: &'static str,
    most: usize,
    progress: ProgressBar,
}

/// The other side hung up.
struct Gone;

impl<T> From<mpsc::error::SendError<T>> for Gone {
    fn from(_error: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

impl Reader {
    fn run<Row: Message + Default, Request>(
        &self,
        input: Box<dyn BufRead + Send>,
        plan: &mpsc::Sender<io::Result<Plan>>,
        send: &mpsc::Sender<Request>,
        request: impl Fn(Vec<Row>) -> Request,
    ) -> Result<(), Gone> {
        let (mut rows, mut lines) = (Vec::new(), Plan::new());
        for (index, line) in input.split(b'\n').enumerate() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return Ok(plan.blocking_send(Err(error))?),
            };
            self.progress.inc(line.len() as u64 + 1);
            if line.trim_ascii().is_empty() {
                continue;
            }
            match self.row(&line) {
                Ok(row) => {
                    rows.push(row);
                    lines.push(None);
                }
                Err(reason) => lines.push(Some(self.unread(index + 1, &reason))),
            }
            if lines.len() == self.most {
                flush(&mut rows, &mut lines, plan, send, &request)?;
            }
        }
        flush(&mut rows, &mut lines, plan, send, &request)
    }

    /// The line's row. JSON minds no `\r` at a line's end.
    fn row<Row: Message + Default>(&self, line: &[u8]) -> Result<Row, String> {
        let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        self.forms.read(self.message, text).map_err(|error| error.to_string())
    }

    fn unread(&self, line: usize, reason: &str) -> RowError {
        RowError {
            code: Code::InvalidArgument as i32,
            message: format!("line {line} is no souk.v1.{}: {reason}", self.message),
            violations: Vec::new(),
        }
    }
}

fn flush<Row, Request>(
    rows: &mut Vec<Row>,
    lines: &mut Plan,
    plan: &mpsc::Sender<io::Result<Plan>>,
    send: &mpsc::Sender<Request>,
    request: impl Fn(Vec<Row>) -> Request,
) -> Result<(), Gone> {
    if !lines.is_empty() {
        plan.blocking_send(Ok(std::mem::take(lines)))?;
    }
    if !rows.is_empty() {
        send.blocking_send(request(std::mem::take(rows)))?;
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead + Send>, ProgressBar)> {
    if path.as_os_str() == "-" {
        let progress = ProgressBar::new_spinner();
        progress.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}")?);
        return Ok((Box::new(BufReader::new(io::stdin())), progress));
    }
    let file = File::open(path).with_context(|| format!("--input {}", path.display()))?;
    let progress = ProgressBar::new(file.metadata().map(|data| data.len()).unwrap_or_default());
    let template = "{bar:30} {bytes}/{total_bytes} {msg} {elapsed} (eta {eta})";
    progress.set_style(ProgressStyle::with_template(template)?);
    Ok((Box::new(BufReader::new(file)), progress))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::proto::v1::Merchant;

    /// The merchants that were read, and for each line whether it was one.
    fn read(input: &'static [u8]) -> (Vec<String>, Vec<Option<String>>) {
        let (plan, mut plans) = mpsc::channel(AHEAD);
        let (send, mut sent) = mpsc::channel(AHEAD);
        let progress = ProgressBar::hidden();
        let reader = Reader { forms: JsonForms::new().unwrap(), message: "Merchant", most: 8, progress };
        let rows = |rows: Vec<Merchant>| rows;
        assert!(reader.run(Box::new(input), &plan, &send, rows).is_ok());
        let ids = sent.try_recv().unwrap().into_iter().map(|merchant| merchant.merchant_id).collect();
        let plan = plans.try_recv().unwrap().unwrap();
        (ids, plan.into_iter().map(|line| line.map(|error| error.message)).collect())
    }

    #[test]
    fn a_line_that_is_no_text_is_an_error_in_its_place() {
        let (ids, plan) = read(b"{\"merchant_id\":\"a\"}\n{\"merchant_id\":\"\xe9\"}\n{\"merchant_id\":\"c\"}\n");
        assert_eq!(ids, ["a", "c"]);
        let [None, Some(error), None] = plan.as_slice() else { panic!("{plan:?}") };
        assert!(error.starts_with("line 2 is no souk.v1.Merchant: invalid utf-8"), "{error}");
    }

    #[test]
    fn lines_may_end_as_on_windows_and_the_last_not_at_all() {
        let (ids, plan) = read(b"{\"merchant_id\":\"a\"}\r\n\r\n{\"merchant_id\":\"b\"}\r\n{\"merchant_id\":\"c\"}");
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(plan, [None, None, None]);
    }
}
