//! Versions of the task `tensors`, from the tiny modules of `tests/fixtures/import`.

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

/// The first version of a model in `<root>/<model>/1`: `module` of the fixtures with such
/// inputs, outputs and golden rows.
pub(crate) fn write(root: &Path, model: &str, module: &str, tensors: &Value, golden: &str) -> Copy {
    let path = root.join(model).join("1");
    fs::create_dir_all(&path).unwrap();
    let mut manifest = json!({
        "format_version": 1, "model": model, "version": 1, "task": "tensors", "torch_version": "2.11.0",
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
