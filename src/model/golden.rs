//! Golden rows: raw features with the inputs and outputs that the training code
//! computed for them. They prove that encoder and engine are the trained ones.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::RowReader;
use crate::{
    cost::Took,
    features::Encoder,
    manifest::{Manifest, Tolerance},
    rows::{Forward, ForwardError, Rows},
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

/// Scores the rows and compares the outputs with those of training. One row comes
/// first, by itself: where it fails, or takes longer than `slowest_row`, no other runs.
pub(super) fn score(manifest: &Manifest, engine: &dyn Forward, golden: &Golden, slowest_row: Duration) -> Vec<String> {
    if let Err(problem) = first_row(manifest, engine, golden, slowest_row) {
        return vec![problem];
    }
    let mut problems = Problems::default();
    let most = engine.max_batch_rows().get();
    for (chunk, start) in golden.wanted.chunks(most).zip((0..).step_by(most)) {
        match engine.forward(&[&golden.encoded.slice(start..start + chunk.len())]) {
            Ok(outputs) => compare_outputs(manifest, &outputs, chunk, &mut problems),
            Err(error) => problems.add(failed(manifest, &error)),
        }
    }
    problems.listed("golden.jsonl")
}

/// Runs the first row. Its time is that in which its thread ran: what others on the
/// same cores take, of which a thread of low priority sees much, is not the model's.
fn first_row(manifest: &Manifest, engine: &dyn Forward, golden: &Golden, slowest_row: Duration) -> Result<(), String> {
    let row = golden.encoded.slice(0..1);
    if row.is_empty() {
        return Ok(());
    }
    let (outputs, took) = Took::by(|| engine.forward(&[&row]));
    outputs.map_err(|error| failed(manifest, &error))?;
    if took.running > slowest_row {
        let running = took.running;
        let file = manifest.engine.model_file();
        return Err(format!(
            "{file}: one row takes {running:.1?}, wanted at most {slowest_row:?} (models.slowest_row)"
        ));
    }
    Ok(())
}

fn failed(manifest: &Manifest, error: &ForwardError) -> String {
    format!("{}: scoring the golden rows failed: {error}", manifest.engine.model_file())
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
            dtype if dtype.is_float() => manifest.tolerance,
            _ => Tolerance { absolute: 0.0, relative: 0.0 },
        };
        let place = format!("golden.jsonl line {line}: input {}", spec.name);
        compare(&place, &column.row_numbers(row), wanted.get(&spec.name), tolerance, problems);
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
            compare(&place, &column.row_numbers(row), wanted.get(&spec.name), manifest.tolerance, problems);
        }
        let unknown = wanted.keys().filter(|name| manifest.outputs.iter().all(|spec| spec.name != **name));
        unknown.for_each(|name| problems.add(format!("golden.jsonl line {line}: the manifest has no output {name}")));
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

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroUsize,
        sync::atomic::{AtomicUsize, Ordering},
        time::Instant,
    };

    use super::*;
    use crate::{
        cost::Cost,
        manifest,
        rows::{Column, Values},
    };

    const FAST_ENOUGH: Duration = Duration::from_secs(60);

    /// Answers what golden rows want, or something else.
    struct Engine {
        answer: fn() -> Result<[f32; 3], ForwardError>,
        passes: AtomicUsize,
        cost: Cost,
    }

    impl Forward for Engine {
        fn identity(&self) -> (&str, u64) {
            ("merchant_gmv", 1)
        }

        fn max_batch_rows(&self) -> NonZeroUsize {
            NonZeroUsize::MIN.saturating_add(3)
        }

        fn cost(&self) -> &Cost {
            &self.cost
        }

        fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
            self.passes.fetch_add(1, Ordering::SeqCst);
            let rows: usize = parts.iter().map(|rows| rows.len()).sum();
            let values = Values::F32((self.answer)()?.repeat(rows));
            Ok(Rows::new(rows, vec![Column::new(3, values)])?)
        }
    }

    /// The problems with such answers to eight golden rows, and how many passes ran.
    fn scored(answer: fn() -> Result<[f32; 3], ForwardError>, slowest_row: Duration) -> (Vec<String>, usize) {
        let manifest = Manifest::parse(manifest::fixture::gmv().to_string().as_bytes()).unwrap();
        let column = Column::new(1, Values::F32(vec![0.0; 8]));
        let outputs = || manifest.outputs.iter().map(|output| (output.name.clone(), vec![0.0, 1.0, 1.0])).collect();
        let golden = Golden {
            encoded: Rows::new(8, vec![column]).unwrap(),
            wanted: (1..=8).map(|line| (line, outputs())).collect(),
            problems: Vec::new(),
        };
        let engine = Engine { answer, passes: AtomicUsize::new(0), cost: Cost::default() };
        let problems = score(&manifest, &engine, &golden, slowest_row);
        (problems, engine.passes.load(Ordering::SeqCst))
    }

    #[test]
    fn one_row_runs_before_all_others() {
        assert_eq!(scored(|| Ok([0.0, 1.0, 1.0]), FAST_ENOUGH), (vec![], 3));
    }

    #[test]
    fn a_row_that_takes_too_long_is_the_only_one_that_runs() {
        let slow = || {
            let begun = Instant::now();
            // As a model does: it runs, and does not sleep.
            while begun.elapsed() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
            Ok([0.0, 1.0, 1.0])
        };
        let (problems, passes) = scored(slow, Duration::from_micros(100));
        assert_eq!((problems.len(), passes), (1, 1));
        let said = &problems[0];
        assert!(said.starts_with("model.pt: one row takes ") && said.contains("ms, wanted at most 100µs"), "{said}");
    }

    #[test]
    fn a_row_that_raises_is_the_only_one_that_runs() {
        let (problems, passes) = scored(|| Err(ForwardError::Raised("thirteen".into())), FAST_ENOUGH);
        assert_eq!(problems, ["model.pt: scoring the golden rows failed: it raised: thirteen"]);
        assert_eq!(passes, 1);
    }

    #[test]
    fn what_is_no_number_is_called_so() {
        let answers: [(fn() -> _, &str); 2] =
            [(|| Ok([0.0, f32::NAN, 1.0]), "NaN"), (|| Ok([0.0, f32::INFINITY, 1.0]), "inf")];
        for (answer, name) in answers {
            let (problems, _) = scored(answer, FAST_ENOUGH);
            assert_eq!(problems.len(), 8);
            let wanted = format!("[1]: served {name}, training computed 1.0");
            assert!(problems[0].ends_with(&wanted), "{problems:?}");
        }
    }
}
