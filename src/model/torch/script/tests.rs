use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;
use crate::rows::{Dtype, Values};

/// Bytes of one input of a pass that fails.
const INPUT: usize = 1 << 20;

const PASSES: usize = 2_000;

/// As in the program: what a failing pass leaves behind are some small pieces, next to which
/// other allocators place no large ones any more.
#[cfg(all(target_os = "linux", not(miri)))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A module of the fixtures with such inputs and outputs.
fn module(file: &str, tensors: &Value) -> TorchScript {
    let mut manifest = json!({
        "format_version": 1, "model": "model", "version": 1, "task": "tensors", "torch_version": "2.11.0",
        "created_at": "2026-01-01T00:00:00Z", "engine": "torchscript", "head": {"kind": "tensors"},
        "files": {"model.pt": "0".repeat(64), "golden.jsonl": "0".repeat(64)},
        "serving": {"max_batch_rows": 8},
    });
    manifest.as_object_mut().unwrap().extend(tensors.as_object().unwrap().clone());
    let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(file);
    TorchScript::new(CModule::load(path).unwrap(), &manifest, NonZeroUsize::MAX)
}

/// One row of each of these columns.
fn row(columns: &[Vec<f32>]) -> Rows {
    let column = |values: &Vec<f32>| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let values = Values::Raw { dtype: Dtype::Float32, bytes: bytes.into() };
        Column { width: values.len(), varying: vec![values.len()], values }
    };
    Rows::new(1, columns.iter().map(column).collect()).unwrap()
}

fn open(name: &str) -> Value {
    json!({"name": name, "dtype": "float32", "shape": [-1]})
}

/// Bytes that this process holds.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Runs a row that the module raises on, many times; how much memory that took.
fn grown(module: &TorchScript, row: &Rows) -> usize {
    let said = module.forward(&[row]).unwrap_err();
    assert!(matches!(said, ForwardError::Raised(_)), "{said}");
    let before = resident();
    for _ in 0..PASSES {
        assert!(module.forward(&[row]).is_err());
    }
    resident().saturating_sub(before)
}

#[test]
fn passes_that_fail_leave_no_memory_behind() {
    let _no_grad = tch::no_grad_guard();
    let thirteen = json!({
        "inputs": [open("x")],
        "outputs": [{"name": "first", "dtype": "float32", "shape": [1]}, {"name": "mean", "dtype": "float32", "shape": []}],
    });
    let lists = json!({
        "inputs": [open("a"), open("b")], "arguments": "list", "outputs": [open("sum"), open("product")],
    });
    let large = vec![13.0; INPUT / 4];
    // A quarter of what would stay behind, for what other tests do meanwhile.
    let most = PASSES * INPUT / 4;
    assert!(grown(&module("halves.pt", &thirteen), &row(std::slice::from_ref(&large))) < most);
    assert!(grown(&module("listed.pt", &lists), &row(&[large, vec![1.0; 3]])) < most);
}

#[test]
fn rows_come_back_from_tuples_lists_and_dictionaries_by_their_names() {
    let _no_grad = tch::no_grad_guard();
    // A dictionary's outputs in another order than the module's.
    let tagger = json!({
        "inputs": [{"name": "tokens", "dtype": "int64", "shape": [2]}, {"name": "numbers", "dtype": "float32", "shape": [3]}],
        "outputs": [{"name": "count", "dtype": "int64", "shape": []}, {"name": "scores", "dtype": "float32", "shape": [2]}],
    });
    let tokens = Column::new(2, Values::I64(vec![5, 0]));
    let rows = Rows::new(1, vec![tokens, Column::new(3, Values::F32(vec![0.0; 3]))]).unwrap();
    let outputs = module("tagger.pt", &tagger).forward(&[&rows]).unwrap();
    assert_eq!(outputs.columns()[0].row_numbers(0), [1.0]);
    let lists = json!({
        "inputs": [open("a"), open("b")], "arguments": "list", "outputs": [open("sum"), open("product")],
    });
    let outputs = module("listed.pt", &lists).forward(&[&row(&[vec![2.0, 3.0], vec![4.0, 5.0]])]).unwrap();
    assert_eq!(outputs.columns()[1].row_numbers(0), [8.0, 15.0]);
    let missing = json!({ "inputs": tagger["inputs"], "outputs": [{"name": "counts", "dtype": "int64", "shape": []}] });
    let said = module("tagger.pt", &missing).forward(&[&rows]).unwrap_err().to_string();
    assert_eq!(said, "it raised: it returned no output \"counts\"");
}
