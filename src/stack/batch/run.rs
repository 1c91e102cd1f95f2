//! What a runner does: takes batches and runs them, each row at fault alone.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use super::{
    Batches, Turn,
    pending::{Outcome, Part, Pass},
    queue::Batch,
};
use crate::{
    error::ScoreError,
    rows::{Forward, ForwardError, Rows},
};

/// What runner number `runner` does until the pool is closed and nothing is left.
pub(in crate::stack) fn run(batches: &Batches, runner: usize) {
    loop {
        match batches.turn(runner) {
            Turn::Batch(batch) => answer(batch),
            Turn::Errand(errand) => errand(),
            Turn::End => return,
        }
    }
}

/// Runs a batch and hands the outputs to the requests that its parts came from.
fn answer(batch: Batch) {
    let began = Instant::now();
    let mut parts = batch.parts.into_iter();
    let Some(first) = parts.next() else { return };
    let mut members = vec![(first.request, first.index, first.rows.len())];
    let mut rows = first.rows;
    for Part { request, index, rows: more, .. } in parts {
        match rows.append(&more) {
            Ok(()) => members.push((request, index, more.len())),
            // Can't be: rows of one version have the same columns.
            Err(ragged) => request.fail(failure(batch.model.as_ref(), &ragged.to_string())),
        }
    }
    let outcome = isolating(batch.model.as_ref(), &rows);
    let pass = Pass { began, compute: began.elapsed(), rows: rows.len() };
    let mut before = 0;
    for (request, index, size) in members {
        request.join(index, outcome.cut(before, size), pass);
        before += size;
    }
}

/// Runs the rows; where that fails, halves of them, until those at fault are alone.
fn isolating(model: &dyn Forward, rows: &Rows) -> Outcome {
    let reason = match pass(model, rows) {
        Ok(outputs) => return Outcome { outputs, failed: Vec::new() },
        Err(reason) => reason,
    };
    if rows.len() <= 1 {
        return Outcome { outputs: Rows::default(), failed: vec![(0, reason)] };
    }
    let middle = rows.len() / 2;
    let mut whole = isolating(model, &rows.slice(0..middle));
    let half = isolating(model, &rows.slice(middle..rows.len()));
    whole.append(middle, half, rows.len() - middle);
    whole
}

/// One forward pass; a panic in the engine is an error like any other.
pub(in crate::stack) fn pass(model: &dyn Forward, rows: &Rows) -> Result<Rows, String> {
    match catch_unwind(AssertUnwindSafe(|| model.forward(rows))) {
        Ok(Ok(outputs)) if outputs.len() == rows.len() => Ok(outputs),
        Ok(Ok(outputs)) => Err(format!("{} rows for {}", outputs.len(), rows.len())),
        Ok(Err(error)) => Err(ForwardError::to_string(&error)),
        Err(_panic) => Err("the engine panicked".into()),
    }
}

fn failure(model: &dyn Forward, reason: &str) -> ScoreError {
    let (name, version) = model.identity();
    ScoreError::Model { model: name.to_owned(), version, reason: reason.to_owned() }
}
