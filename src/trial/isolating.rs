//! Rows through a model whose failures are its own: those that it fails on are left
//! out and counted, whatever it does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    cost::Took,
    rows::{Forward, Rows},
};

/// Passes of each of two models that are timed.
const TIMED: usize = 4;

/// What became of some rows.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Outputs of the rows that did not fail.
    pub(super) outputs: Rows,
    /// Rows that failed, ascending.
    pub(super) failed: Vec<usize>,
}

impl Outcome {
    /// The place of a row among the outputs; `None` where it failed.
    pub(super) fn place(&self, row: usize) -> Option<usize> {
        place(&self.failed, row)
    }
}

/// The place of a row where these, ascending, are left out.
pub(super) fn place(failed: &[usize], row: usize) -> Option<usize> {
    failed.binary_search(&row).err().map(|before| row - before)
}

/// Runs all rows in one pass; where that fails, their halves, until those at fault
/// are alone.
pub(super) fn isolating(model: &dyn Forward, rows: &Rows) -> Outcome {
    if let Some(outputs) = pass(model, rows) {
        return Outcome { outputs, failed: Vec::new() };
    }
    if rows.len() <= 1 {
        return Outcome { outputs: Rows::default(), failed: (0..rows.len()).collect() };
    }
    let middle = rows.len() / 2;
    let first = isolating(model, &rows.slice(0..middle));
    joined(first, middle, isolating(model, &rows.slice(middle..rows.len())), rows.len())
}

/// The outcomes of the first `middle` of `all` rows and of the others.
fn joined(mut first: Outcome, middle: usize, second: Outcome, all: usize) -> Outcome {
    if first.outputs.is_empty() {
        first.outputs = second.outputs;
    } else if first.outputs.append(&second.outputs).is_err() {
        // Two passes of one model gave different columns: the second has no place.
        first.failed.extend(middle..all);
        return first;
    }
    first.failed.extend(second.failed.into_iter().map(|row| middle + row));
    first
}

/// What a pass of the rows takes two models on this thread, in turns: of each the
/// quickest of several, since the first ones pay for what they find cold. `None` where
/// one fails.
pub(super) fn timed(models: [&dyn Forward; 2], rows: [&Rows; 2]) -> Option<[Took; 2]> {
    let [one, other] = models;
    let round = || {
        let (first, took) = Took::by(|| pass(one, rows[0]));
        let (second, other_took) = Took::by(|| pass(other, rows[1]));
        first.and(second).map(|_| [took, other_took])
    };
    let rounds: Vec<[Took; 2]> = (0..TIMED).map(|_| round()).collect::<Option<_>>()?;
    let quickest = |which: fn(&[Took; 2]) -> Took| rounds.iter().map(which).min_by_key(|took| took.running);
    Some([quickest(|[one, _]| *one)?, quickest(|[_, other]| *other)?])
}

fn pass(model: &dyn Forward, rows: &Rows) -> Option<Rows> {
    let outputs = catch_unwind(AssertUnwindSafe(|| model.forward(&[rows]))).ok()?.ok()?;
    (outputs.len() == rows.len()).then_some(outputs)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{
        cost::Cost,
        rows::{Column, ForwardError, Values},
    };

    /// Answers what it is asked; raises on 13, panics on 14.
    #[derive(Default)]
    struct Echo(Cost);

    impl Forward for Echo {
        fn identity(&self) -> (&str, u64) {
            ("echo", 1)
        }

        fn max_batch_rows(&self) -> NonZeroUsize {
            NonZeroUsize::MIN
        }

        fn cost(&self) -> &Cost {
            &self.0
        }

        fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
            let rows = Rows::joined(parts)?;
            let has = |wanted: f32| (0..rows.len()).any(|row| rows.columns()[0].f32_row(row) == [wanted]);
            assert!(!has(14.0), "fourteen");
            if has(13.0) { Err(ForwardError::Raised("thirteen".into())) } else { Ok(rows) }
        }
    }

    #[test]
    fn rows_at_fault_are_left_out_and_the_others_keep_their_place() {
        let values = vec![1.0, 13.0, 2.0, 14.0, 13.0, 3.0, 4.0];
        let rows = Rows::new(7, vec![Column::new(1, Values::F32(values.clone()))]).unwrap();
        let outcome = isolating(&Echo::default(), &rows);
        assert_eq!(outcome.failed, [1, 3, 4]);
        for (row, value) in values.iter().enumerate() {
            let found = outcome.place(row).map(|place| outcome.outputs.columns()[0].f32_row(place)[0]);
            assert_eq!(found, (*value < 13.0).then_some(*value), "{row}");
        }
    }
}
