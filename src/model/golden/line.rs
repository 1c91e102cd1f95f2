//! The lines of `golden.jsonl`: rows of raw features with what training encoded and
//! computed, or the tensors that went in and came out.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{super::RowReader, compare::compare_row, line_shape, problems::Problems, shaped::Shaped};
use crate::{
    features::Encoder,
    manifest::{Dim, InputSpec, Manifest, Task},
    rows::{Column, Dtype, Rows},
};

/// A line of a task with typed rows: each tensor is one flat list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Features<'a> {
    #[serde(borrow)]
    row: &'a RawValue,
    inputs: BTreeMap<String, Value>,
    outputs: BTreeMap<String, Value>,
}

/// A line of the task `tensors`: nested arrays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensors {
    inputs: BTreeMap<String, Value>,
    outputs: BTreeMap<String, Value>,
}

/// How lines are read.
pub(super) struct LineReader<'r> {
    pub(super) manifest: &'r Manifest,
    pub(super) rows: &'r dyn RowReader,
    pub(super) encoder: &'r Encoder,
}

/// What a line says.
pub(super) struct Line {
    /// One row; none where it can't be encoded.
    pub(super) row: Rows,
    /// One for each output of the manifest; none where it is missing or can't be read.
    pub(super) outputs: Vec<Option<Shaped>>,
}

impl LineReader<'_> {
    /// Reads a line, with `place` before what is wrong with it. Inputs that are not what
    /// training encoded are problems.
    pub(super) fn read(&self, line: &str, place: &str, problems: &mut Problems) -> Option<Line> {
        match self.manifest.task {
            Task::MerchantGmv | Task::UserPortrait => self.features(line, place, problems),
            Task::Tensors => self.tensors(line, place, problems),
        }
    }

    fn inputs(&self) -> impl Iterator<Item = Named<'_>> {
        self.manifest.inputs.iter().map(|spec| Named {
            kind: "input",
            name: &spec.name,
            dtype: spec.dtype,
            shape: line_shape(self.manifest.task, &spec.shape),
            non_finite: true,
        })
    }

    fn outputs(&self) -> impl Iterator<Item = Named<'_>> {
        self.manifest.outputs.iter().map(|spec| Named {
            kind: "output",
            name: &spec.name,
            dtype: spec.dtype,
            shape: line_shape(self.manifest.task, &spec.shape),
            non_finite: spec.non_finite,
        })
    }

    fn features(&self, line: &str, place: &str, problems: &mut Problems) -> Option<Line> {
        let line: Features<'_> = parsed(line, place, problems)?;
        let mut row = self.encoder.empty_rows(1);
        if let Err(reason) = self.rows.encode(self.manifest.task, line.row.get(), self.encoder, &mut row) {
            problems.add(format!("{place}: {reason}"));
            return None;
        }
        for ((spec, wanted), column) in shaped(self.inputs(), line.inputs, place, problems).iter().zip(row.columns()) {
            if let Some(wanted) = wanted {
                let tolerance = self.manifest.tolerance;
                let found = Shaped::of_row(column, 0, &spec.shape);
                problems.extend(compare_row(&spec.place(place), (spec.dtype, tolerance), &found, wanted));
            }
        }
        Some(Line { row, outputs: values(shaped(self.outputs(), line.outputs, place, problems)) })
    }

    fn tensors(&self, line: &str, place: &str, problems: &mut Problems) -> Option<Line> {
        let line: Tensors = parsed(line, place, problems)?;
        let inputs = shaped(self.inputs(), line.inputs, place, problems);
        let outputs = values(shaped(self.outputs(), line.outputs, place, problems));
        let columns = inputs.into_iter().zip(&self.manifest.inputs).map(|((named, value), spec)| {
            let column = value?.into_column(spec.dtype, &spec.shape);
            problems.extend(out_of_range(spec, &column).map(|found| format!("{}: {found}", named.place(place))));
            Some(column)
        });
        let columns = columns.collect::<Option<Vec<_>>>()?;
        let row = Rows::new(1, columns).map_err(|ragged| problems.add(format!("{place}: {ragged}"))).ok()?;
        Some(Line { row, outputs })
    }
}

fn parsed<'l, L: Deserialize<'l>>(line: &'l str, place: &str, problems: &mut Problems) -> Option<L> {
    serde_json::from_str(line).map_err(|error| problems.add(format!("{place}: {error}"))).ok()
}

/// A tensor of the manifest, as lines name it.
struct Named<'m> {
    kind: &'static str,
    name: &'m str,
    dtype: Dtype,
    shape: Cow<'m, [Dim]>,
    /// Whether NaN and infinities are values of it.
    non_finite: bool,
}

impl Named<'_> {
    fn place(&self, line: &str) -> String {
        format!("{line}: {} {}", self.kind, self.name)
    }

    fn read(&self, value: &Value) -> Result<Shaped, String> {
        let shaped = Shaped::of_json(value, self.dtype, &self.shape)?;
        let is_finite = self.non_finite || shaped.numbers(self.dtype).iter().all(|number| number.is_finite());
        is_finite.then_some(shaped).ok_or_else(|| ": has NaN or an infinity, wanted non_finite in the manifest".into())
    }
}

/// Each of the manifest's tensors with what the line says of it. What the line lacks,
/// and what the manifest doesn't know, are problems.
fn shaped<'m>(
    specs: impl Iterator<Item = Named<'m>>,
    mut line: BTreeMap<String, Value>,
    place: &str,
    problems: &mut Problems,
) -> Vec<(Named<'m>, Option<Shaped>)> {
    let mut kind = "input";
    let mut found = Vec::new();
    for spec in specs {
        kind = spec.kind;
        let value = line.remove(spec.name).ok_or_else(|| ": is missing".to_owned());
        let value = value.and_then(|value| spec.read(&value));
        let value = value.map_err(|reason| problems.add(format!("{}{reason}", spec.place(place)))).ok();
        found.push((spec, value));
    }
    line.keys().for_each(|name| problems.add(format!("{place}: the manifest has no {kind} {name}")));
    found
}

fn values(found: Vec<(Named<'_>, Option<Shaped>)>) -> Vec<Option<Shaped>> {
    found.into_iter().map(|(_, value)| value).collect()
}

/// The first value that requests may not send.
fn out_of_range(spec: &InputSpec, column: &Column) -> Option<String> {
    let [least, greatest] = spec.range?;
    let outside = |value: &f64| !(least..=greatest).contains(value);
    let value = column.row_numbers(0).into_iter().find(outside)?;
    Some(format!("found {value}, the manifest's range is {least} to {greatest}"))
}
