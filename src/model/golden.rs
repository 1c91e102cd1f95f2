//! Golden rows: raw features with the inputs and outputs that the training code
//! computed for them. They prove that encoder and engine are the trained ones.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::RowReader;
use crate::{
    features::Encoder,
    manifest::{Dtype, Manifest, Tolerance},
    rows::{Column, Forward, Rows, Values},
};

/// Problems that are listed before the rest is only counted: more don't tell
/// more, and a wrong model fails in every row.
const LISTED: usize = 20;

/// Fewest rows that prove something: one row that agrees may be luck or padding.
const FEWEST: usize = 8;

/// One line of `golden.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    row: &'a RawValue,
    inputs: BTreeMap<String, Vec<f64>>,
    outputs: BTreeMap<String, Vec<f64>>,
}

/// The golden rows of a version, encoded.
pub(super) struct Golden {
    /// The rows whose lines could be read.
    pub(super) encoded: Rows,
    /// Line number and outputs of each encoded row.
    wanted: Vec<(usize, BTreeMap<String, Vec<f64>>)>,
    /// Lines that can't be read, and inputs that training encoded differently.
    pub(super) problems: Vec<String>,
}

/// Reads and encodes the rows, and compares the inputs with those of training.
pub(super) fn read(manifest: &Manifest, rows: &dyn RowReader, encoder: &Encoder, file: &[u8]) -> Golden {
    let mut golden = Golden { encoded: encoder.empty_rows(128), wanted: Vec::new(), problems: Vec::new() };
    let mut problems = Problems::default();
    let text = String::from_utf8_lossy(file);
    let mut lines = 0;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.trim().is_empty() {
            continue;
        }
        lines += 1;
        match serde_json::from_str::<Line<'_>>(line) {
            Ok(line) => match rows.encode(manifest.task, line.row.get(), encoder, &mut golden.encoded) {
                Ok(()) => {
                    compare_inputs(manifest, &golden.encoded, number, &line.inputs, &mut problems);
                    golden.wanted.push((number, line.outputs));
                }
                Err(reason) => problems.add(format!("golden.jsonl line {number}: {reason}")),
            },
            Err(error) => problems.add(format!("golden.jsonl line {number}: {error}")),
        }
    }
    if lines < FEWEST {
        problems
            .add(format!("golden.jsonl: it holds {lines} rows, wanted at least {FEWEST}: too few to prove anything"));
    }
    golden.problems = problems.listed("golden.jsonl");
    golden
}

/// Scores the rows and compares the outputs with those of training.
pub(super) fn score(manifest: &Manifest, engine: &dyn Forward, golden: &Golden) -> Vec<String> {
    let mut problems = Problems::default();
    let most = engine.max_batch_rows().get();
    for (chunk, start) in golden.wanted.chunks(most).zip((0..).step_by(most)) {
        match engine.forward(&[&golden.encoded.slice(start..start + chunk.len())]) {
            Ok(outputs) => compare_outputs(manifest, &outputs, chunk, &mut problems),
            Err(error) => problems.add(format!("model.pt: scoring the golden rows failed: {error}")),
        }
    }
    problems.listed("golden.jsonl")
}

fn compare_inputs(
    manifest: &Manifest,
    encoded: &Rows,
    line: usize,
    wanted: &BTreeMap<String, Vec<f64>>,
    problems: &mut Problems,
) {
    let row = encoded.len().saturating_sub(1);
    for (spec, column) in manifest.inputs.iter().zip(encoded.columns()) {
        let tolerance = match spec.dtype {
            Dtype::Int64 => Tolerance { absolute: 0.0, relative: 0.0 },
            Dtype::Float32 => manifest.tolerance,
        };
        let place = format!("golden.jsonl line {line}: input {}", spec.name);
        compare(&place, &row_values(column, row), wanted.get(&spec.name), tolerance, problems);
    }
    let unknown = wanted.keys().filter(|name| manifest.inputs.iter().all(|spec| spec.name != **name));
    unknown.for_each(|name| problems.add(format!("golden.jsonl line {line}: the manifest has no input {name}")));
}

fn compare_outputs(
    manifest: &Manifest,
    outputs: &Rows,
    wanted: &[(usize, BTreeMap<String, Vec<f64>>)],
    problems: &mut Problems,
) {
    for (row, (line, wanted)) in wanted.iter().enumerate() {
        for (spec, column) in manifest.outputs.iter().zip(outputs.columns()) {
            let place = format!("golden.jsonl line {line}: output {}", spec.name);
            compare(&place, &row_values(column, row), wanted.get(&spec.name), manifest.tolerance, problems);
        }
        let unknown = wanted.keys().filter(|name| manifest.outputs.iter().all(|spec| spec.name != **name));
        unknown.for_each(|name| problems.add(format!("golden.jsonl line {line}: the manifest has no output {name}")));
    }
}

fn row_values(column: &Column, row: usize) -> Vec<f64> {
    let range = row * column.width..(row + 1) * column.width;
    match &column.values {
        Values::F32(values) => values.get(range).unwrap_or_default().iter().map(|&value| value.into()).collect(),
        // Indices of embeddings are far below 2^53.
        Values::I64(values) => values.get(range).unwrap_or_default().iter().map(|&value| value as f64).collect(),
    }
}

fn compare(place: &str, found: &[f64], wanted: Option<&Vec<f64>>, tolerance: Tolerance, problems: &mut Problems) {
    let Some(wanted) = wanted else {
        problems.add(format!("{place}: is missing"));
        return;
    };
    if found.len() != wanted.len() {
        problems.add(format!("{place}: has {} values, the manifest says {}", wanted.len(), found.len()));
        return;
    }
    // A NaN is near nothing.
    let near = |(found, wanted): (&f64, &f64)| {
        (found - wanted).abs() <= tolerance.absolute + tolerance.relative * wanted.abs()
    };
    if let Some(index) = found.iter().zip(wanted).position(|pair| !near(pair)) {
        let (found, wanted) = (found.get(index), wanted.get(index));
        problems.add(format!(
            "{place}[{index}]: served {found:?}, training computed {wanted:?}",
            found = found.copied().unwrap_or(f64::NAN),
            wanted = wanted.copied().unwrap_or(f64::NAN),
        ));
    }
}

#[derive(Default)]
struct Problems {
    first: Vec<String>,
    total: usize,
}

impl Problems {
    fn add(&mut self, problem: String) {
        self.total += 1;
        if self.first.len() < LISTED {
            self.first.push(problem);
        }
    }

    fn listed(mut self, file: &str) -> Vec<String> {
        let more = self.total - self.first.len();
        if more > 0 {
            self.first.push(format!("{file}: and {more} problems more"));
        }
        self.first
    }
}
