//! Golden rows: what goes in and what comes out, as the training code encoded and
//! computed it. They prove that encoder and engine are the trained ones.
//!
//! Rows of different sizes can't lie in one [`Rows`]: they are held in groups of equals.

mod compare;
mod line;
mod problems;
mod shaped;

use std::{borrow::Cow, time::Duration};

use self::{
    line::{Line, LineReader},
    problems::Problems,
};
use super::RowReader;
use crate::{
    cost::Took,
    features::Encoder,
    manifest::{Dim, Manifest, Task},
    rows::{Forward, ForwardError, Rows},
};

pub(super) use self::{compare::compare_row, shaped::Shaped};

/// Fewest rows of features that prove something: one row that agrees may be luck or padding.
const FEWEST: usize = 8;

/// The same where rows are whole tensors, which an operator may have to record by hand.
const FEWEST_TENSORS: usize = 1;

/// The golden rows of a version, encoded.
#[derive(Default)]
pub(super) struct Golden {
    /// The rows whose lines could be read, those of one shape together.
    groups: Vec<Group>,
    /// Lines that can't be read, and inputs that training encoded differently.
    pub(super) problems: Vec<String>,
}

/// Rows of one shape.
#[derive(Default)]
struct Group {
    encoded: Rows,
    /// What is known of each of them.
    wanted: Vec<Wanted>,
}

/// What a row's outputs should be.
struct Wanted {
    /// The line, from 1.
    line: usize,
    /// One for each output of the manifest, as far as the line says.
    outputs: Vec<Option<Shaped>>,
}

impl Golden {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.wanted.len()).sum()
    }

    /// The rows of the shape that most have.
    pub(super) fn into_most_alike(self) -> Rows {
        let most = self.groups.into_iter().rev().max_by_key(|group| group.encoded.len());
        most.unwrap_or_default().encoded
    }

    fn add(&mut self, line: usize, Line { row, outputs }: Line) {
        let wanted = Wanted { line, outputs };
        let mut groups = self.groups.iter_mut();
        // Rows of another shape can't be appended.
        match groups.find_map(|group| group.encoded.append(&row).is_ok().then_some(group)) {
            Some(group) => group.wanted.push(wanted),
            None => self.groups.push(Group { encoded: row, wanted: vec![wanted] }),
        }
    }
}

/// Reads and encodes the rows, and compares the inputs with those of training.
pub(super) fn read(manifest: &Manifest, rows: &dyn RowReader, encoder: &Encoder, file: &[u8]) -> Golden {
    let (mut golden, mut problems) = (Golden::default(), Problems::default());
    let reader = LineReader { manifest, rows, encoder };
    let text = String::from_utf8_lossy(file);
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let mut count = 0;
    for (line, number) in lines {
        count += 1;
        if let Some(line) = reader.read(line, &place(number), &mut problems) {
            golden.add(number, line);
        }
    }
    let fewest = if manifest.task == Task::Tensors { FEWEST_TENSORS } else { FEWEST };
    if count < fewest {
        problems
            .add(format!("golden.jsonl: it holds {count} rows, wanted at least {fewest}: too few to prove anything"));
    }
    golden.problems = problems.listed("golden.jsonl");
    golden
}

fn place(line: usize) -> String {
    format!("golden.jsonl line {line}")
}

/// The shape of a tensor as lines have it: flat for tasks with typed rows.
fn line_shape(task: Task, shape: &[Dim]) -> Cow<'_, [Dim]> {
    match task {
        Task::MerchantGmv | Task::UserPortrait => {
            let width = shape.iter().try_fold(1_usize, |width, dim| width.checked_mul(dim.size()?));
            Cow::Owned(vec![Dim::from(width.unwrap_or_default())])
        }
        Task::Tensors => Cow::Borrowed(shape),
    }
}

/// Scores the rows and compares the outputs with those of training. One row comes
/// first, by itself: where it fails, or takes longer than `slowest_row`, no other runs.
pub(super) fn score(manifest: &Manifest, engine: &dyn Forward, golden: &Golden, slowest_row: Duration) -> Vec<String> {
    if let Err(problem) = first_row(manifest, engine, golden, slowest_row) {
        return vec![problem];
    }
    let mut scoring = Scoring { manifest, engine, problems: Problems::default() };
    golden.groups.iter().for_each(|group| scoring.score(group));
    let filled_up = scoring.score_filled_up(golden);
    scoring.check_proof(golden, &filled_up);
    scoring.problems.listed("golden.jsonl")
}

/// Runs the first row. Its time is that in which its thread ran: what others on the
/// same cores take, of which a thread of low priority sees much, is not the model's.
fn first_row(manifest: &Manifest, engine: &dyn Forward, golden: &Golden, slowest_row: Duration) -> Result<(), String> {
    let Some(row) = golden.groups.first().map(|group| group.encoded.slice(0..1)) else { return Ok(()) };
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

/// Comparing what is served with what training computed.
struct Scoring<'s> {
    manifest: &'s Manifest,
    engine: &'s dyn Forward,
    problems: Problems,
}

impl Scoring<'_> {
    /// Rows of one shape: in batches, and of tensors the first one alone too.
    fn score(&mut self, group: &Group) {
        let most = self.engine.max_batch_rows().get();
        if self.is_tensors() && most.min(group.wanted.len()) > 1 {
            let first: Vec<&Wanted> = group.wanted.iter().take(1).collect();
            self.compare(&[&group.encoded.slice(0..1)], &first, ", alone");
        }
        for start in (0..group.wanted.len()).step_by(most) {
            let range = start..(start + most).min(group.wanted.len());
            let rows = group.encoded.slice(range.clone());
            let wanted: Vec<&Wanted> = group.wanted.get(range).unwrap_or_default().iter().collect();
            self.compare(&[&rows], &wanted, "");
        }
    }

    fn is_tensors(&self) -> bool {
        self.manifest.task == Task::Tensors
    }

    /// Rows of different sizes that requests may have filled up for one batch: the
    /// filling must not change what comes out. Returns those batches.
    fn score_filled_up(&mut self, golden: &Golden) -> Vec<Vec<Rows>> {
        let most = self.engine.max_batch_rows().get();
        let lines = golden.groups.iter().filter_map(|group| group.wanted.first());
        let ones = golden.groups.iter().map(|group| group.encoded.slice(0..1));
        let mut left: Vec<(Rows, &Wanted)> = ones.zip(lines).collect();
        let mut batches = Vec::new();
        while let Some((first, _)) = left.first() {
            let first = first.clone();
            let mut room = most;
            let mut taken = |row: &Rows| {
                let taken = room > 0 && (room == most || self.engine.fits(&first, row));
                room -= usize::from(taken);
                taken
            };
            let (rows, wanted): (Vec<Rows>, Vec<&Wanted>) = left.extract_if(.., |(row, _)| taken(row)).unzip();
            if rows.len() > 1 {
                self.compare(&rows.iter().collect::<Vec<_>>(), &wanted, ", in a batch with rows of other sizes");
                batches.push(rows);
            }
        }
        batches
    }

    /// Whether the rows prove that they may share a batch, and be filled up for it.
    fn check_proof(&mut self, golden: &Golden, filled_up: &[Vec<Rows>]) {
        if !self.is_tensors() || self.engine.max_batch_rows().get() == 1 {
            return;
        }
        let differ = |group: &Group| {
            (1..group.encoded.len()).any(|row| group.encoded.slice(row..row + 1) != group.encoded.slice(0..1))
        };
        if filled_up.is_empty() && !golden.groups.iter().any(differ) {
            self.problems.add(
                "golden.jsonl: no two different rows share a batch, which proves no batching: wanted 2 of one size"
                    .into(),
            );
        }
        for (index, spec) in self.manifest.inputs.iter().enumerate().filter(|(_, spec)| spec.padding.is_some()) {
            let sizes = |rows: &Rows| rows.columns().get(index).map(|column| column.varying.clone());
            let differ = |batch: &Vec<Rows>| batch.iter().any(|row| sizes(row) != batch.first().and_then(sizes));
            if !filled_up.iter().any(differ) {
                self.problems.add(format!(
                    "golden.jsonl: nothing proves the padding of input {}: wanted rows of at least two sizes that are near enough to share a batch",
                    spec.name
                ));
            }
        }
    }

    /// Runs one batch and compares its outputs.
    fn compare(&mut self, parts: &[&Rows], wanted: &[&Wanted], how: &str) {
        let outputs = match self.engine.forward(parts) {
            Ok(outputs) => outputs,
            Err(error) => return self.problems.add(failed(self.manifest, &error)),
        };
        for (row, wanted) in wanted.iter().enumerate() {
            let specs = self.manifest.outputs.iter().zip(outputs.columns());
            for ((spec, column), wanted_output) in specs.zip(&wanted.outputs) {
                let Some(wanted_output) = wanted_output else { continue };
                let found = Shaped::of_row(column, row, &line_shape(self.manifest.task, &spec.shape));
                let place = format!("{}{how}: output {}", place(wanted.line), spec.name);
                let how_near = (spec.dtype, self.manifest.tolerance);
                self.problems.extend(compare_row(&place, how_near, &found, wanted_output));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroUsize,
        sync::atomic::{AtomicUsize, Ordering},
        time::Instant,
    };

    use serde_json::json;

    use super::*;
    use crate::{
        cost::Cost,
        manifest,
        rows::{Column, Dtype, Values},
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
        let mut golden = Golden::default();
        for line in 1..=8 {
            let row = Rows::new(1, vec![Column::new(1, Values::F32(vec![0.0]))]).unwrap();
            let outputs = json!([0.0, 1.0, 1.0]);
            let outputs = vec![Shaped::of_json(&outputs, Dtype::Float32, &[Dim::from(3)]).ok()];
            golden.add(line, Line { row, outputs });
        }
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
            [(|| Ok([0.0, f32::NAN, 1.0]), "NaN"), (|| Ok([0.0, f32::INFINITY, 1.0]), "Infinity")];
        for (answer, name) in answers {
            let (problems, _) = scored(answer, FAST_ENOUGH);
            assert_eq!(problems.len(), 8);
            let wanted = format!("[1]: served {name}, training computed 1.0");
            assert!(problems[0].ends_with(&wanted), "{problems:?}");
        }
    }
}
