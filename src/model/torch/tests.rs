//! The modules of `tests/fixtures/modules` through the engine: each request alone, in
//! batches with others, and on several threads at once.

use std::{fs, num::NonZeroUsize, path::PathBuf, sync::Arc, thread};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{TorchEngines, thread_setup};
use crate::{
    manifest::{Dim, Manifest},
    model::{Engines as _, ModelFile},
    rows::{Column, Dtype, Forward, Rows, Values},
};

/// Larger than any of the modules.
const MOST_BYTES: u64 = 1 << 20;

/// A line of `requests.jsonl`.
#[derive(Deserialize)]
struct Line {
    model: String,
    inputs: Map<String, Value>,
    outputs: Option<Map<String, Value>>,
}

/// A request as rows, with its answer; none where it must fail.
struct Request {
    rows: Rows,
    wanted: Option<Rows>,
}

/// A module, and requests for it.
struct Module {
    name: String,
    engine: Arc<dyn Forward>,
    requests: Vec<Request>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/modules")
}

fn modules() -> Vec<Module> {
    let text = fs::read_to_string(folder().join("requests.jsonl")).unwrap();
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let module = |lines: &[Line]| {
        let name = lines[0].model.clone();
        let (manifest, engine) = load(&name);
        Module { name, engine, requests: lines.iter().map(|line| request(&manifest, line)).collect() }
    };
    lines.chunk_by(|one, other| one.model == other.model).map(module).collect()
}

fn load(name: &str) -> (Manifest, Arc<dyn Forward>) {
    let folder = folder().join(name).join("1");
    let manifest = Manifest::parse(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let (file, digest) = ModelFile::copied(&folder.join("model.pt"), MOST_BYTES).unwrap();
    assert_eq!(Some(&digest), manifest.files.get("model.pt"));
    let engines = TorchEngines { max_rows: NonZeroUsize::new(256).unwrap() };
    let engine = engines.load(&manifest, &file).unwrap_or_else(|error| panic!("{name}: {error}"));
    (manifest, engine)
}

fn request(manifest: &Manifest, line: &Line) -> Request {
    let of_rows = manifest.has_rows();
    let inputs = manifest.inputs.iter().map(|spec| (&spec.name, spec.dtype, &spec.shape));
    let outputs = manifest.outputs.iter().map(|spec| (&spec.name, spec.dtype, &spec.shape));
    let rows = |tensors: &Map<String, Value>, specs: &mut dyn Iterator<Item = (&String, Dtype, &Vec<Dim>)>| {
        let columns: Vec<(usize, Column)> =
            specs.map(|(name, dtype, shape)| column(&tensors[name], dtype, shape, of_rows)).collect();
        Rows::new(columns[0].0, columns.into_iter().map(|(_, column)| column).collect()).unwrap()
    };
    Request {
        rows: rows(&line.inputs, &mut inputs.into_iter()),
        wanted: line.outputs.as_ref().map(|wanted| rows(wanted, &mut outputs.into_iter())),
    }
}

/// Number of rows, and the tensor's values.
fn column(tensor: &Value, dtype: Dtype, shape: &[Dim], of_rows: bool) -> (usize, Column) {
    let sizes: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
    let (rows, own) = if of_rows { (sizes[0], &sizes[1..]) } else { (1, sizes.as_slice()) };
    assert_eq!(own.len(), shape.len());
    let open = shape.iter().zip(own).filter(|(dim, _)| dim.size().is_none());
    let bytes: Vec<u8> = tensor["values"].as_array().unwrap().iter().flat_map(|value| element(value, dtype)).collect();
    let values = Values::Raw { dtype, bytes: Bytes::from(bytes) };
    (rows, Column { width: own.iter().product(), varying: open.map(|(_, size)| *size).collect(), values })
}

fn element(value: &Value, dtype: Dtype) -> Vec<u8> {
    match value {
        Value::Bool(value) => vec![u8::from(*value)],
        // Beyond 2^53 no float is every integer.
        Value::Number(number) if dtype == Dtype::Int64 => number.as_i64().unwrap().to_le_bytes().into(),
        Value::Number(number) => dtype.element(number.as_f64().unwrap()),
        Value::String(word) => dtype.element(word.parse().unwrap()),
        other => panic!("{other}"),
    }
}

/// How far an answer may be from the eager module's, relative and absolute: sums in
/// another order, and the last bit of short floats.
fn tolerance(dtype: Dtype) -> (f64, f64) {
    match dtype {
        Dtype::Float16 => (1e-3, 1e-3),
        Dtype::Bfloat16 => (8e-3, 1e-3),
        Dtype::Float32 => (1e-5, 5e-6),
        Dtype::Float64 => (1e-12, 1e-12),
        _ => (0.0, 0.0),
    }
}

fn assert_near(name: &str, found: &Rows, wanted: &Rows) {
    assert_eq!((found.len(), found.columns().len()), (wanted.len(), wanted.columns().len()), "{name}");
    for (found, wanted) in found.columns().iter().zip(wanted.columns()) {
        let (relative, absolute) = tolerance(wanted.values.dtype());
        let near = |(found, wanted): (f64, f64)| {
            found == wanted
                || found.is_nan() && wanted.is_nan()
                || (found - wanted).abs() <= absolute + relative * wanted.abs()
        };
        // What is no float must be the same bytes: as floats, large integers would be near.
        let same = wanted.values.dtype().is_float() || found.values == wanted.values;
        let numbers = |column: &Column| (0..rows_of(column)).flat_map(|row| column.row_numbers(row)).collect();
        let (each, those): (Vec<f64>, Vec<f64>) = (numbers(found), numbers(wanted));
        assert!(
            found.fits(wanted) && same && each.iter().copied().zip(those).all(near),
            "{name}: {found:?}, wanted {wanted:?}"
        );
    }
}

fn rows_of(column: &Column) -> usize {
    column.values.len() / column.width.max(1)
}

impl Module {
    fn good(&self) -> impl Iterator<Item = (&Rows, &Rows)> {
        self.requests.iter().filter_map(|request| Some((&request.rows, request.wanted.as_ref()?)))
    }

    fn bad(&self) -> impl Iterator<Item = &Rows> {
        self.requests.iter().filter(|request| request.wanted.is_none()).map(|request| &request.rows)
    }

    /// Each request in a pass of its own.
    fn assert_right_alone(&self) {
        for (rows, wanted) in self.good() {
            let found = self.engine.forward(&[rows]).unwrap_or_else(|error| panic!("{}: {error}", self.name));
            assert_near(&self.name, &found, wanted);
        }
    }

    /// All requests in as few passes as the queue would make of them, in an order by `seed`.
    fn assert_right_in_company(&self, seed: u64) -> usize {
        let mut waiting: Vec<_> = self.good().enumerate().collect();
        waiting.sort_by_key(|(index, _)| xxh3_64_with_seed(&index.to_le_bytes(), seed));
        let mut waiting: Vec<_> = waiting.into_iter().map(|(_, request)| request).collect();
        let mut most = 0;
        while !waiting.is_empty() {
            let (first, mut rows) = (waiting[0].0, 0);
            let batch: Vec<_> = waiting
                .extract_if(.., |(more, _)| {
                    let room = rows == 0 || rows + more.len() <= self.engine.max_batch_rows().get();
                    let taken = room && self.engine.fits(first, more);
                    rows += if taken { more.len() } else { 0 };
                    taken
                })
                .collect();
            self.assert_right_batch(&batch);
            most = most.max(batch.len());
        }
        most
    }

    fn assert_right_batch(&self, batch: &[(&Rows, &Rows)]) {
        let parts: Vec<&Rows> = batch.iter().map(|(rows, _)| *rows).collect();
        let found = self.engine.forward(&parts).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut start = 0;
        for (rows, wanted) in batch {
            assert_near(&self.name, &found.slice(start..start + rows.len()), wanted);
            start += rows.len();
        }
    }
}

#[test]
fn each_module_is_right_alone() {
    let _thread = thread_setup(NonZeroUsize::MIN);
    let modules = modules();
    assert!(modules.len() >= 30, "{} modules", modules.len());
    modules.iter().for_each(Module::assert_right_alone);
}

#[test]
fn each_module_is_right_in_batches_of_rows_of_any_sizes() {
    let _thread = thread_setup(NonZeroUsize::MIN);
    for module in modules() {
        let most = (0..8).map(|seed| module.assert_right_in_company(seed)).max();
        let alone = module.engine.max_batch_rows() == NonZeroUsize::MIN;
        assert_eq!(most > Some(1), !alone, "{}: {most:?} requests in a batch", module.name);
    }
}

#[test]
fn a_marked_row_fails_and_leaves_its_module_as_it_was() {
    let _thread = thread_setup(NonZeroUsize::MIN);
    let mut failed = 0;
    for module in modules() {
        for rows in module.bad() {
            let last = rows.len() - 1;
            let is_bad = module.engine.forward(&[rows]).map_or(true, |outputs| !outputs.is_finite(last));
            assert!(is_bad, "{}", module.name);
            module.assert_right_alone();
            failed += 1;
        }
    }
    assert!(failed >= 6, "{failed} requests with marked rows");
}

#[test]
fn each_module_is_right_on_four_threads_at_once() {
    let modules = modules();
    thread::scope(|scope| {
        for seed in 0..4 {
            let modules = &modules;
            scope.spawn(move || {
                let _thread = thread_setup(NonZeroUsize::MIN);
                for round in 0..10 {
                    for module in modules {
                        for rows in module.bad() {
                            let _failed = module.engine.forward(&[rows]);
                        }
                        module.assert_right_in_company(4 * round + seed);
                        module.assert_right_alone();
                    }
                }
            });
        }
    });
}

#[test]
fn a_module_that_writes_to_itself_is_right_on_four_threads_at_once() {
    let modules = modules();
    for name in ["counts_calls", "remembers_the_last", "scratch_buffer"] {
        let module = modules.iter().find(|module| module.name == name).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _thread = thread_setup(NonZeroUsize::MIN);
                    (0..1000).for_each(|_| module.assert_right_alone());
                });
            }
        });
    }
}
