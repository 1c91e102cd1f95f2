//! Runs a batch, each row at fault alone.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use super::{
    pending::{Answer, Outcome, Pass},
    queue::Batch,
};
use crate::{
    cost::Took,
    rows::{Forward, ForwardError, Rows},
    telemetry::{self, Metrics, Ran, RanOn},
};

/// How a batch ran.
#[derive(Debug, Clone, Copy)]
struct Run {
    took: Took,
    passes: usize,
    on: RanOn,
}

/// Runs a batch; the answers to the requests that are complete with it.
pub(super) fn answers(batch: &Batch, on: RanOn, metrics: &Metrics) -> Vec<Answer> {
    let mut isolating = Isolating { model: batch.model.as_ref(), passes: 0 };
    let (outcome, took) = Took::by(|| isolating.parts(&inputs(batch)));
    joined(batch, outcome, Run { took, passes: isolating.passes, on }, metrics)
}

/// The same in one pass. A batch of several rows that fails comes back, and nobody was
/// answered.
pub(super) fn once(batch: Batch, metrics: &Metrics) -> Result<Vec<Answer>, Batch> {
    let (outputs, took) = Took::by(|| pass(batch.model.as_ref(), &inputs(&batch)));
    let outcome = match (outputs, batch.parts.as_slice()) {
        (Ok(outputs), _) => Outcome { outputs, failed: Vec::new() },
        (Err(reason), [only]) if only.rows.len() == 1 => {
            Outcome { outputs: Rows::default(), failed: vec![(0, reason)] }
        }
        (Err(_), _) => return Err(batch),
    };
    Ok(joined(&batch, outcome, Run { took, passes: 1, on: RanOn::Inline }, metrics))
}

fn inputs(batch: &Batch) -> Vec<&Rows> {
    batch.parts.iter().map(|part| &part.rows).collect()
}

/// What a batch gave, to its requests.
fn joined(batch: &Batch, outcome: Outcome, run: Run, metrics: &Metrics) -> Vec<Answer> {
    let (Batch { model, parts, began }, Run { took, .. }) = (batch, run);
    let rows = parts.iter().map(|part| part.rows.len()).sum();
    let pass = Pass { began: *began, compute: took.wall, rows, told: told(batch, rows, run) };
    count(batch, &pass, metrics);
    model.cost().served().pass();
    if outcome.failed.is_empty() {
        model.cost().learn(rows, took);
    }
    if let [only] = parts.as_slice() {
        return only.request.join(only.index, outcome, &pass).into_iter().collect();
    }
    let mut before = 0;
    let answer = parts.iter().filter_map(|part| {
        let start = before;
        before += part.rows.len();
        part.request.join(part.index, outcome.cut(start, part.rows.len()), &pass)
    });
    answer.collect()
}

/// What traces tell of a batch, where any of its requests is traced.
fn told(batch: &Batch, rows: usize, run: Run) -> Option<Arc<telemetry::Batch>> {
    let Batch { parts, began, .. } = batch;
    let traced: Vec<_> = parts.iter().filter_map(|part| part.request.context()).collect();
    let ended = (!traced.is_empty()).then(Instant::now)?;
    let Run { took, passes, on } = run;
    // It was put together after it was taken, and ended just now.
    let forward = ended.checked_sub(took.wall).map_or(*began, |forward| forward.max(*began));
    let ran = Ran { rows, requests: parts.len(), passes, on, began: *began, forward, ended };
    Some(Arc::new(telemetry::Batch::new(ran, traced)))
}

fn count(batch: &Batch, pass: &Pass, metrics: &Metrics) {
    let (model, version) = batch.model.identity();
    let Pass { began, compute, rows, .. } = *pass;
    // Looked at again, so that the counter would show where the queue was wrong.
    let late_rows = batch.parts.iter().filter(|part| part.request.is_late(began)).map(|part| part.rows.len()).sum();
    metrics.pass(&telemetry::Pass { model, version, rows, compute, late_rows });
}

/// Finds the rows at fault.
struct Isolating<'b> {
    model: &'b dyn Forward,
    /// How many it took so far.
    passes: usize,
}

impl Isolating<'_> {
    /// Runs all parts in one pass; where that fails, halves of them and of their rows, until
    /// those at fault are alone.
    fn parts(&mut self, parts: &[&Rows]) -> Outcome {
        self.passes += 1;
        match (pass(self.model, parts), parts) {
            (Ok(outputs), _) => Outcome { outputs, failed: Vec::new() },
            (Err(reason), [only]) => self.halves(only, reason),
            (Err(_), []) => Outcome { outputs: Rows::default(), failed: Vec::new() },
            (Err(_), several) => {
                let (first, second) = several.split_at(several.len() / 2);
                let rows = |parts: &[&Rows]| parts.iter().map(|rows| rows.len()).sum();
                let mut whole = self.parts(first);
                whole.append(rows(first), self.parts(second), rows(second));
                whole
            }
        }
    }

    /// Runs the halves of rows that failed together for `reason`.
    fn halves(&mut self, rows: &Rows, reason: String) -> Outcome {
        if rows.len() <= 1 {
            return Outcome { outputs: Rows::default(), failed: vec![(0, reason)] };
        }
        let middle = rows.len() / 2;
        let mut whole = self.parts(&[&rows.slice(0..middle)]);
        let half = self.parts(&[&rows.slice(middle..rows.len())]);
        whole.append(middle, half, rows.len() - middle);
        whole
    }
}

/// One forward pass; a panic in the engine is an error like any other.
pub(in crate::stack) fn pass(model: &dyn Forward, parts: &[&Rows]) -> Result<Rows, String> {
    let wanted: usize = parts.iter().map(|rows| rows.len()).sum();
    match catch_unwind(AssertUnwindSafe(|| model.forward(parts))) {
        Ok(Ok(outputs)) if outputs.len() == wanted => Ok(outputs),
        Ok(Ok(outputs)) => Err(format!("{} rows for {wanted}", outputs.len())),
        Ok(Err(error)) => Err(ForwardError::to_string(&error)),
        Err(_panic) => Err("the engine panicked".into()),
    }
}
