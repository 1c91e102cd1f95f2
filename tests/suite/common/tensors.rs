//! Versions of the task `tensors`, from the tiny modules of `tests/fixtures/import`.
//!
//! - `halves`: `x` float32 `[3]`; outputs `first` `[1]`, which is x's first, and `mean`, of
//!   all three. Raises where a row begins with 13.
//! - `tagger`: `tokens` int64 `[-1]`, filled up with 0, and `numbers` float32 `[3]`; outputs
//!   `scores` `[2]` and `count`.
//! - `whole`: `x` float32 `[-1]` without rows; output `y`, shares of x's sum.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::models::{Copy, digest};

/// A file of `tests/fixtures/import`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name)
}

/// The golden rows that PyTorch computed for `tagger.pt`: 4 of 3 tokens, 4 of 5.
pub(crate) fn tagger_rows() -> String {
    fs::read_to_string(fixture("tagger.jsonl")).unwrap()
}

/// Tokens of any number and 3 numbers in, a dictionary out.
pub(crate) fn tagger() -> Value {
    json!({
        "inputs": [
            {"name": "tokens", "dtype": "int64", "shape": [-1], "padding": 0, "range": [0, 19]},
            {"name": "numbers", "dtype": "float32", "shape": [3]},
        ],
        "outputs": [
            {"name": "scores", "dtype": "float32", "shape": [2]},
            {"name": "count", "dtype": "int64", "shape": []},
        ],
        "serving": {"max_batch_rows": 64, "warmup_rows": [1, 8]},
    })
}

/// All three as version 1.
pub(crate) fn write_all(root: &Path) {
    halves(root, 1);
    write(root, "tagger", "tagger.pt", &tagger(), &tagger_rows());
    whole(root);
}

/// `halves` as a version of this number.
pub(crate) fn halves(root: &Path, number: u64) {
    let golden = |row: u32| {
        let x = [f64::from(row), 2.0, f64::from(row) + 4.0];
        json!({"inputs": {"x": x}, "outputs": {"first": [x[0]], "mean": (x[0] + x[1] + x[2]) / 3.0}})
    };
    let tensors = json!({
        "inputs": [{"name": "x", "dtype": "float32", "shape": [3]}],
        "outputs": [
            {"name": "first", "dtype": "float32", "shape": [1]}, {"name": "mean", "dtype": "float32", "shape": []},
        ],
        "serving": {"max_batch_rows": 64, "warmup_rows": [1, 8]},
    });
    write_version(root, ("halves", number), "halves.pt", &tensors, &lines((0..8).map(golden)));
}

fn whole(root: &Path) {
    let golden = |row: u32| {
        let x: Vec<f64> = (0..=row).map(|value| f64::from(value) + 1.0).collect();
        let sum: f64 = x.iter().sum();
        json!({"inputs": {"x": x}, "outputs": {"y": x.iter().map(|value| value / sum).collect::<Vec<_>>()}})
    };
    let tensors = json!({
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [-1]}],
        "serving": {"max_batch_rows": 0},
    });
    write(root, "whole", "whole.pt", &tensors, &lines((0..8).map(golden)));
}

fn lines(golden: impl Iterator<Item = Value>) -> String {
    golden.map(|line| format!("{line}\n")).collect()
}

/// The first version of a model in `<root>/<model>/1`: `module` of the fixtures with such
/// inputs, outputs and golden rows.
pub(crate) fn write(root: &Path, model: &str, module: &str, tensors: &Value, golden: &str) -> Copy {
    write_version(root, (model, 1), module, tensors, golden)
}

fn write_version(root: &Path, (model, number): (&str, u64), module: &str, tensors: &Value, golden: &str) -> Copy {
    let path = root.join(model).join(number.to_string());
    fs::create_dir_all(&path).unwrap();
    let mut manifest = json!({
        "format_version": 1, "model": model, "version": number, "task": "tensors", "torch_version": "2.11.0",
        "created_at": "2026-01-01T00:00:00Z", "files": {}, "engine": "torchscript", "head": {"kind": "tensors"},
    });
    manifest.as_object_mut().unwrap().extend(tensors.as_object().unwrap().clone());
    for (name, bytes) in [("model.pt", fs::read(fixture(module)).unwrap()), ("golden.jsonl", golden.into())] {
        manifest["files"][name] = digest(&bytes).into();
        fs::write(path.join(name), bytes).unwrap();
    }
    fs::write(path.join("manifest.json"), manifest.to_string()).unwrap();
    Copy { path }
}
