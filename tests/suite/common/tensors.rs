//! Tiny models of the task `tensors`, from `tests/fixtures/import`.
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

use super::models::digest;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name)).unwrap()
}

/// All three as version 1.
pub(crate) fn write_all(root: &Path) {
    halves(root, 1);
    tagger(root);
    whole(root);
}

/// The model as a version of this number.
pub(crate) fn halves(root: &Path, number: u64) {
    let golden = |row: u32| {
        let x = [f64::from(row), 2.0, f64::from(row) + 4.0];
        json!({"inputs": {"x": x}, "outputs": {"first": [x[0]], "mean": (x[0] + x[1] + x[2]) / 3.0}})
    };
    let about = json!({
        "inputs": [{"name": "x", "dtype": "float32", "shape": [3]}],
        "outputs": [
            {"name": "first", "dtype": "float32", "shape": [1]}, {"name": "mean", "dtype": "float32", "shape": []},
        ],
        "serving": {"max_batch_rows": 64, "warmup_rows": [1, 8]},
    });
    write(root, ("halves", number), about, &lines((0..8).map(golden)));
}

fn tagger(root: &Path) {
    let about = json!({
        "inputs": [
            {"name": "tokens", "dtype": "int64", "shape": [-1], "padding": 0.0, "range": [0, 19]},
            {"name": "numbers", "dtype": "float32", "shape": [3]},
        ],
        "outputs": [
            {"name": "scores", "dtype": "float32", "shape": [2]}, {"name": "count", "dtype": "int64", "shape": []},
        ],
        "serving": {"max_batch_rows": 64},
    });
    write(root, ("tagger", 1), about, &String::from_utf8(fixture("tagger.jsonl")).unwrap());
}

fn whole(root: &Path) {
    let golden = |row: u32| {
        let x: Vec<f64> = (0..=row).map(|value| f64::from(value) + 1.0).collect();
        let sum: f64 = x.iter().sum();
        json!({"inputs": {"x": x}, "outputs": {"y": x.iter().map(|value| value / sum).collect::<Vec<_>>()}})
    };
    let about = json!({
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [-1]}],
        "serving": {"max_batch_rows": 0},
    });
    write(root, ("whole", 1), about, &lines((0..8).map(golden)));
}

fn lines(golden: impl Iterator<Item = Value>) -> String {
    golden.map(|line| format!("{line}\n")).collect()
}

fn write(root: &Path, (model, number): (&str, u64), about: Value, golden: &str) {
    let folder = root.join(model).join(number.to_string());
    fs::create_dir_all(&folder).unwrap();
    let mut manifest = json!({
        "format_version": 1, "model": model, "version": number, "task": "tensors",
        "torch_version": "2.11.0", "created_at": "2026-01-01T00:00:00Z", "files": {},
        "engine": "torchscript", "head": {"kind": "tensors"},
    });
    let manifest_object = manifest.as_object_mut().unwrap();
    manifest_object.extend(about.as_object().unwrap().clone());
    let files = [
        ("model.pt", fixture(&format!("{model}.pt"))),
        ("golden.jsonl", golden.as_bytes().to_vec()),
        ("MODEL_CARD.md", b"# For tests only\n".to_vec()),
    ];
    for (name, bytes) in files {
        manifest["files"][name] = digest(&bytes).into();
        fs::write(folder.join(name), bytes).unwrap();
    }
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}
