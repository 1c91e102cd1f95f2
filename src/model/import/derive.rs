//! What a manifest has to say of a module, found out by running it on examples.

use serde_json::{Map, Value, json};

use super::{super::golden::compare_row, Array, Example, Runs};
use crate::{
    manifest::{Arguments, Tolerance},
    rows::{Column, Dtype, Values},
};

/// Most golden rows: more prove no more, and are scored at every load.
const MOST_ROWS: usize = 64;

/// Most values of all golden rows, which a server reads and scores at every load.
const MOST_VALUES: usize = 1 << 20;

/// Rows that are run alone, to see that they are the same in a batch.
const ALONE: usize = 8;

/// Tolerances from the usual one to the widest that a manifest may have.
const TOLERANCES: [Tolerance; 4] = [
    Tolerance { absolute: 2e-6, relative: 1e-5 },
    Tolerance { absolute: 1e-5, relative: 1e-4 },
    Tolerance { absolute: 1e-4, relative: 1e-3 },
    Tolerance { absolute: 1e-3, relative: 1e-3 },
];

/// What was found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// In order.
    pub inputs: Vec<TensorSpec>,
    /// In order.
    pub outputs: Vec<TensorSpec>,
    /// Why it has no dimension of rows, where it has none.
    pub not_batched: Option<String>,
    /// How far its outputs differ from themselves, alone and in batches.
    pub tolerance: Tolerance,
    /// The lines of `golden.jsonl`.
    pub golden: Vec<Value>,
}

/// A tensor as a manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Per row, or of a whole request; -1 where it differs between examples.
    pub shape: Vec<i64>,
    /// Whether it held NaN or an infinity.
    pub non_finite: bool,
}

/// An example with what came out.
struct Observed<'e> {
    example: &'e Example,
    outputs: Vec<(String, Array)>,
}

impl Observed<'_> {
    /// Whether its first two rows differ, which become golden ones.
    fn has_two(&self) -> bool {
        let row = |row: usize| each(&self.example.inputs, |array| array.slice(row..row + 1));
        common_rows(&self.example.inputs).is_ok_and(|rows| rows > 1) && row(1) != row(0)
    }
}

/// Tensors with their names.
type Inputs = Vec<(String, Array)>;

/// What goes into a module and what comes out of it.
type Row = (Inputs, Vec<(String, Array)>);

/// Runs the module on the examples, whole and row by row.
///
/// # Errors
///
/// Why it can't be served, or how the examples contradict each other, for people.
pub fn derive(module: &dyn Runs, arguments: Arguments, examples: &[Example]) -> Result<Derived, String> {
    let mut trying = Trying { module, arguments, level: 0 };
    let observed = examples.iter().map(|example| trying.observe(example)).collect::<Result<Vec<_>, _>>()?;
    let mut others = Vec::new();
    let not_batched = trying.all_batched(&observed, &mut others).err();
    let inputs: Vec<_> = observed.iter().map(|one| (one.example, &one.example.inputs)).collect();
    let outputs: Vec<_> = observed.iter().map(|one| (one.example, &one.outputs)).collect();
    let batched = not_batched.is_none();
    Ok(Derived {
        inputs: specs("input", &inputs, batched)?,
        outputs: specs("output", &outputs, batched)?,
        tolerance: TOLERANCES.get(trying.level).copied().unwrap_or_default(),
        golden: golden(&observed, &others, batched),
        not_batched,
    })
}

/// Runs a module, and remembers the tolerance that its outputs need.
struct Trying<'m> {
    module: &'m dyn Runs,
    arguments: Arguments,
    level: usize,
}

impl Trying<'_> {
    fn run(&self, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>, String> {
        self.module.run(self.arguments, inputs)
    }

    /// Runs a whole example, twice.
    fn observe<'e>(&mut self, example: &'e Example) -> Result<Observed<'e>, String> {
        let place = &example.place;
        let outputs = self.run(&example.inputs).map_err(|reason| format!("{place}: {reason}"))?;
        if outputs.is_empty() {
            return Err(format!("{place}: it returned no tensor"));
        }
        let again = self.run(&example.inputs).map_err(|reason| format!("{place}, a second time: {reason}"))?;
        self.same(&outputs, &again).map_err(|differs| {
            format!(
                "{place}: the same inputs gave other outputs a second time, which no golden row can prove: {differs}"
            )
        })?;
        Ok(Observed { example, outputs })
    }

    /// Whether the first dimension is that of rows, each of which is the same alone.
    fn batched(&mut self, observed: &Observed<'_>) -> Result<(), String> {
        let Observed { example, outputs } = observed;
        let rows = common_rows(&example.inputs)?;
        if let Some((name, array)) = outputs.iter().find(|(_, array)| array.rows() != Some(rows)) {
            return Err(format!("output {name} has the shape {:?} for {rows} rows", array.shape));
        }
        for row in 0..rows.min(ALONE) {
            let alone = self.run(&each(&example.inputs, |array| array.slice(row..row + 1)));
            let alone = alone.map_err(|reason| format!("a row alone fails: {reason}"))?;
            let in_batch = each(outputs, |array| array.slice(row..row + 1));
            self.same(&in_batch, &alone).map_err(|differs| format!("a row differs alone: {differs}"))?;
        }
        Ok(())
    }

    /// Whether all examples are. What tries on the way need is forgotten where one is not.
    fn all_batched(&mut self, observed: &[Observed<'_>], others: &mut Vec<Row>) -> Result<(), String> {
        let before = self.level;
        let mut batched = || {
            for (index, one) in observed.iter().enumerate() {
                self.batched(one)?;
                if !one.has_two() {
                    others.push(self.among(one, candidates(index, observed))?);
                }
            }
            Ok(())
        };
        let all = batched();
        if all.is_err() {
            self.level = before;
        }
        all
    }

    /// Whether the first row is the same together with another one: a module that looks at
    /// the whole batch, such as at its mean, may answer two equal rows as it does one. The
    /// other row is one that the module takes.
    fn among(&mut self, one: &Observed<'_>, candidates: Vec<Inputs>) -> Result<Row, String> {
        let first = each(&one.example.inputs, |array| array.slice(0..1));
        for other in candidates.into_iter().filter(|other| *other != first) {
            let Ok(alone) = self.run(&other) else { continue };
            let both = first.iter().zip(&other).map(|((name, one), (_, other))| (name.clone(), one.followed_by(other)));
            let both = self.run(&both.collect::<Vec<_>>());
            let both = both.map_err(|reason| format!("two rows together fail: {reason}"))?;
            for (index, wanted) in [&each(&one.outputs, |array| array.slice(0..1)), &alone].into_iter().enumerate() {
                self.same(wanted, &each(&both, |array| array.slice(index..index + 1)))
                    .map_err(|differs| format!("a row differs among others: {differs}"))?;
            }
            return Ok((other, alone));
        }
        Err("its rows are all alike, which proves no batching: wanted an example with 2 different rows".into())
    }

    /// Whether both are the same, by the narrowest tolerance that is wide enough; else
    /// where they differ.
    fn same(&mut self, ours: &[(String, Array)], theirs: &[(String, Array)]) -> Result<(), String> {
        let mut differs = String::new();
        for (level, tolerance) in TOLERANCES.iter().enumerate().skip(self.level) {
            match difference(ours, theirs, *tolerance) {
                None => {
                    self.level = level;
                    return Ok(());
                }
                Some(found) => differs = found,
            }
        }
        Err(differs)
    }
}

/// Rows that may run with the first one of an example: others of its own, those of other
/// examples with its shape, and its own with all elements moved on by one.
fn candidates(index: usize, observed: &[Observed<'_>]) -> Vec<Inputs> {
    let Some(one) = observed.get(index) else { return Vec::new() };
    let row = |inputs: &Inputs, row: usize| each(inputs, |array| array.slice(row..row + 1));
    let first = row(&one.example.inputs, 0);
    let rows = common_rows(&one.example.inputs).unwrap_or_default();
    let own = (1..rows.min(ALONE)).map(|index| row(&one.example.inputs, index));
    let others = observed.iter().map(|other| row(&other.example.inputs, 0));
    let alike = |other: &Inputs| {
        let same = |((_, a), (_, b)): (&(String, Array), &(String, Array))| (a.dtype, &a.shape) == (b.dtype, &b.shape);
        other.len() == first.len() && other.iter().zip(&first).all(same)
    };
    own.chain(others.filter(alike)).chain([each(&first, Array::moved_on)]).collect()
}

fn difference(ours: &[(String, Array)], theirs: &[(String, Array)], tolerance: Tolerance) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{} outputs and {}", ours.len(), theirs.len()));
    }
    ours.iter().zip(theirs).find_map(|((name, ours), (_, theirs))| {
        compare_row(name, (ours.dtype, tolerance), &theirs.whole(), &ours.whole())
    })
}

fn each(tensors: &[(String, Array)], change: impl Fn(&Array) -> Array) -> Vec<(String, Array)> {
    tensors.iter().map(|(name, array)| (name.clone(), change(array))).collect()
}

/// The rows that all inputs have.
fn common_rows(inputs: &[(String, Array)]) -> Result<usize, String> {
    let mut common = None;
    for (name, array) in inputs {
        let rows = array.rows().ok_or_else(|| format!("input {name} is a single value"))?;
        if *common.get_or_insert(rows) != rows {
            return Err(format!("input {name} has {rows} rows, and another one {}", common.unwrap_or_default()));
        }
    }
    common.filter(|rows| *rows > 0).ok_or_else(|| "there is no row".into())
}

/// The tensors of all examples as a manifest describes them.
fn specs(kind: &str, examples: &[(&Example, &Vec<(String, Array)>)], batched: bool) -> Result<Vec<TensorSpec>, String> {
    let mut specs: Vec<TensorSpec> = Vec::new();
    for (number, (example, tensors)) in examples.iter().enumerate() {
        let found: Vec<TensorSpec> = tensors.iter().map(|(name, array)| spec(name, array, batched)).collect();
        if number == 0 {
            specs = found;
            continue;
        }
        let alike = |one: &TensorSpec, other: &TensorSpec| {
            (&one.name, one.dtype, one.shape.len()) == (&other.name, other.dtype, other.shape.len())
        };
        if found.len() != specs.len() || !found.iter().zip(&specs).all(|(one, other)| alike(one, other)) {
            let (found, wanted) = (listed(&found), listed(&specs));
            return Err(format!("{}: its {kind}s are {found}, those of the first example {wanted}", example.place));
        }
        specs.iter_mut().zip(found).for_each(|(spec, found)| spec.widen(&found));
    }
    Ok(specs)
}

fn spec(name: &str, array: &Array, batched: bool) -> TensorSpec {
    let own = if batched { array.shape.get(1..).unwrap_or_default() } else { &array.shape };
    let whole = Column::new(
        array.bytes.len() / array.dtype.size(),
        Values::Raw { dtype: array.dtype, bytes: array.bytes.clone() },
    );
    TensorSpec {
        name: name.to_owned(),
        dtype: array.dtype,
        shape: own.iter().map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect(),
        non_finite: !whole.is_finite(0),
    }
}

fn listed(specs: &[TensorSpec]) -> String {
    specs.iter().map(TensorSpec::to_string).collect::<Vec<_>>().join(", ")
}

impl TensorSpec {
    /// Opens the sizes that another example has otherwise.
    fn widen(&mut self, other: &Self) {
        let sizes = self.shape.iter_mut().zip(&other.shape);
        sizes.filter(|(mine, theirs)| mine != theirs).for_each(|(mine, _)| *mine = -1);
        self.non_finite |= other.non_finite;
    }
}

impl std::fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{:?}", self.name, self.dtype, self.shape)
    }
}

/// Rows of every example and those that ran with them, or each example whole where it is one request.
fn golden(observed: &[Observed<'_>], others: &[Row], batched: bool) -> Vec<Value> {
    let values = |tensors: &[(String, Array)]| -> usize {
        tensors.iter().map(|(_, array)| array.bytes.len() / array.dtype.size()).sum()
    };
    let mut lines = Vec::new();
    for Observed { example, outputs } in observed {
        if !batched {
            lines.push(line(&example.inputs, outputs, |array| array.whole().to_json(array.dtype)));
            continue;
        }
        let rows = common_rows(&example.inputs).unwrap_or_default();
        let row_values = (values(&example.inputs) + values(outputs)) / rows.max(1);
        let most = MOST_ROWS.min(MOST_VALUES / row_values.max(1)).div_ceil(observed.len()).max(2);
        let rows = 0..rows.min(most);
        lines.extend(rows.map(|row| line(&example.inputs, outputs, |array| array.row(row).to_json(array.dtype))));
    }
    if batched {
        let of_one = |(inputs, outputs): &Row| line(inputs, outputs, |array| array.row(0).to_json(array.dtype));
        lines.extend(others.iter().map(of_one));
    }
    lines
}

fn line(inputs: &[(String, Array)], outputs: &[(String, Array)], json: impl Fn(&Array) -> Value) -> Value {
    let named = |tensors: &[(String, Array)]| -> Map<String, Value> {
        tensors.iter().map(|(name, array)| (name.clone(), json(array))).collect()
    };
    json!({ "inputs": named(inputs), "outputs": named(outputs) })
}

#[cfg(test)]
mod tests;
