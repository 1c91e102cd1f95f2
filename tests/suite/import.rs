//! `souk import`: a file and examples become a version that goes live, or nothing does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    check::{check, of_version},
    common::{
        program::{souk, stderr, stdout},
        server::{Launch, empty_root},
        tensors::fixture,
    },
};

/// A root, and what an import into it said.
struct Imported {
    _folder: TempDir,
    root: PathBuf,
    output: Output,
}

impl Imported {
    fn manifest(&self) -> Value {
        let path = PathBuf::from(stdout(&self.output).trim()).join("manifest.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// Whether it left nothing at all.
    fn left_nothing(&self) -> bool {
        fs::read_dir(&self.root).unwrap().next().is_none() && stdout(&self.output).is_empty()
    }
}

fn import_into(root: &Path, module: &str, arguments: &[&str]) -> Output {
    let file = fixture(module);
    let mut command = souk(root.parent().unwrap(), &["import", file.to_str().unwrap(), "--models"]);
    command.arg(root).args(arguments).output().unwrap()
}

fn import(module: &str, arguments: &[&str]) -> Imported {
    let (folder, root) = empty_root();
    let output = import_into(&root, module, arguments);
    Imported { _folder: folder, root, output }
}

/// An `.npz` file of 32-bit floats, beside the root of an import.
fn example(folder: &Path, arrays: &[(&str, &[usize], &[f32])]) -> String {
    let path = folder.join(format!("rows-{}.npz", arrays[0].1[0]));
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    for (name, shape, values) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::FileOptions::default()).unwrap();
        let shape: String = shape.iter().map(|size| format!("{size},")).collect();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
        let mut bytes =
            [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        std::io::Write::write_all(&mut archive, &bytes).unwrap();
    }
    archive.finish().unwrap();
    path.to_str().unwrap().to_owned()
}

fn tagger_examples() -> [String; 2] {
    ["tagger-3.npz", "tagger-5.npz"].map(|name| fixture(name).to_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_imported_module_goes_live_without_an_edit() {
    let [short, long] = tagger_examples();
    let imported = import("tagger.pt", &["--model", "tags", "--example", &short, "--example", &long]);
    assert!(imported.output.status.success(), "{}", stderr(&imported.output));
    let manifest = imported.manifest();
    assert_eq!(
        manifest["inputs"],
        json!([
            {"name": "tokens", "dtype": "int64", "shape": [-1]},
            {"name": "numbers", "dtype": "float32", "shape": [3]},
        ])
    );
    assert_eq!(
        manifest["outputs"],
        json!([
            {"name": "scores", "dtype": "float32", "shape": [2], "non_finite": false},
            {"name": "count", "dtype": "int64", "shape": [], "non_finite": false},
        ])
    );
    assert_eq!(manifest["serving"], json!({"max_batch_rows": 256, "warmup_rows": [1, 8, 64]}));
    let said = of_version(&check(&imported.root), "tags version 1");
    assert!(said.starts_with("ok ") && said.contains("8 golden rows agree"), "{said}");
    let card = fs::read_to_string(imported.root.join("tags/1/MODEL_CARD.md")).unwrap();
    assert!(card.contains("forward(tokens: Tensor, numbers: Tensor) -> Dict[str, Tensor]"), "{card}");
    let server = Launch::new().set("models.root", imported.root.display()).listening().await;
    let line = server.logs("version can answer").await;
    assert_eq!((line["model"].as_str(), line["version"].as_u64()), (Some("tags"), Some(1)));
}

#[test]
fn the_next_number_is_taken_and_none_is_taken_twice() {
    let [short, _] = tagger_examples();
    let (_folder, root) = empty_root();
    let numbered = |number: &[&str]| {
        let arguments = [&["--model", "tags", "--example", &short], number].concat();
        import_into(&root, "tagger.pt", &arguments)
    };
    assert!(stdout(&numbered(&[])).ends_with("tags/1\n"));
    assert!(stdout(&numbered(&[])).ends_with("tags/2\n"));
    assert!(stdout(&numbered(&["--version", "7"])).ends_with("tags/7\n"));
    let again = numbered(&["--version", "7"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("tags/7 is there already: choose another --version, such as 8"),
        "{}",
        stderr(&again)
    );
}

#[test]
fn without_an_example_it_says_what_it_needs() {
    let imported = import("tagger.pt", &["--model", "tags"]);
    let said = stderr(&imported.output);
    assert_eq!(imported.output.status.code(), Some(2), "{said}");
    for wanted in [
        "forward(tokens: Tensor, numbers: Tensor) -> Dict[str, Tensor]",
        "embedding.weight float32[20, 4]",
        "tokens: Tensor\n",
        "import numpy as np",
        "tokens=...,",
        "numbers=...,",
        "--example rows.npz",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");
    }
    assert!(imported.left_nothing());
}

#[test]
fn a_module_of_plain_numbers_needs_no_example() {
    let imported = import("dense.pt", &["--model", "dense", "--max-batch-rows", "32", "--describe", "A toy."]);
    assert!(imported.output.status.success(), "{}", stderr(&imported.output));
    let manifest = imported.manifest();
    assert_eq!(manifest["inputs"], json!([{"name": "x", "dtype": "float32", "shape": [5]}]));
    assert_eq!(
        manifest["outputs"],
        json!([{"name": "output_0", "dtype": "float32", "shape": [], "non_finite": false}])
    );
    assert_eq!(manifest["serving"], json!({"max_batch_rows": 32, "warmup_rows": [1, 8]}));
    assert_eq!(manifest["description"], "A toy.");
    assert!(stderr(&imported.output).contains("as layers.0.weight takes them"), "{}", stderr(&imported.output));
}

#[test]
fn lists_dictionaries_tuples_and_whole_requests_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let two = example(folder.path(), &[("arr_0", &[2, 1], &[1.0, 2.0]), ("arr_1", &[2, 1], &[3.0, 4.0])]);
    let named = example(folder.path(), &[("a", &[3], &[1.0, 2.0, 3.0]), ("b", &[3], &[0.0, 1.0, f32::NAN])]);
    let one = example(folder.path(), &[("x", &[4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])]);
    let whole = example(folder.path(), &[("x", &[5], &[1.0, 2.0, 3.0, 4.0, 6.0])]);
    let cases = [
        (
            "listed.pt",
            &two,
            json!("list"),
            json!(["parts_0", "parts_1"]),
            json!([["output_0", [1]], ["output_1", [1]]]),
            256,
        ),
        ("named.pt", &named, json!("dict"), json!(["a", "b"]), json!([["output_0", []]]), 256),
        ("halves.pt", &one, json!("tensors"), json!(["x"]), json!([["output_0", [1]], ["output_1", []]]), 256),
        ("whole.pt", &whole, json!("tensors"), json!(["x"]), json!([["output_0", [5]]]), 0),
    ];
    for (module, example, arguments, inputs, outputs, batch) in cases {
        let imported = import(module, &["--model", "model", "--example", example]);
        assert!(imported.output.status.success(), "{module}: {}", stderr(&imported.output));
        let manifest = imported.manifest();
        let tensors = |key: &str| manifest[key].as_array().unwrap().clone();
        assert_eq!(manifest["arguments"], arguments, "{module}");
        assert_eq!(
            tensors("inputs").iter().map(|input| &input["name"]).collect::<Vec<_>>(),
            inputs.as_array().unwrap().iter().collect::<Vec<_>>()
        );
        let found: Vec<Value> =
            tensors("outputs").iter().map(|output| json!([output["name"], output["shape"]])).collect();
        assert_eq!(json!(found), outputs, "{module}");
        assert_eq!(manifest["serving"]["max_batch_rows"], batch, "{module}");
        let non_finite = tensors("outputs").iter().any(|output| output["non_finite"] == true);
        assert_eq!(non_finite, module == "named.pt");
        assert!(of_version(&check(&imported.root), "model version 1").starts_with("ok "));
    }
}

#[test]
fn what_can_not_be_served_leaves_nothing_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let x = example(folder.path(), &[("x", &[2, 1], &[1.0, 2.0])]);
    let raises = example(folder.path(), &[("x", &[3, 1], &[13.0, 2.0, 1.0])]);
    let other = example(folder.path(), &[("y", &[4], &[1.0; 4])]);
    let nothing = folder.path().join("none.npz").to_str().unwrap().to_owned();
    let cases: [(&str, &[&str], i32, &str); 9] = [
        ("text.pt", &["--example", &x], 1, "it returned a string, wanted tensors"),
        ("nothing.pt", &["--example", &x], 1, "it returned nothing, wanted tensors"),
        ("nested.pt", &["--example", &x], 1, "its output \"output_1\" is a tuple, wanted a tensor"),
        ("halves.pt", &["--example", &raises], 1, "it raised: builtins.ValueError: thirteen"),
        ("halves.pt", &["--example", &other], 2, "it has no array x; it has y"),
        ("halves.pt", &["--example", &nothing], 2, "none.npz can't be read"),
        ("tagger.jsonl", &[], 2, "is no TorchScript archive, as torch.jit.save writes it"),
        ("halves.pt", &["--example", &x, "--model", "merchant_gmv"], 2, "wanted a name that is no other task's"),
        ("halves.pt", &["--example", &x, "--model", "../up"], 2, "--model: found \"../up\""),
    ];
    for (module, arguments, code, wanted) in cases {
        let named: &[&str] = if arguments.contains(&"--model") { &[] } else { &["--model", "model"] };
        let imported = import(module, &[arguments, named].concat());
        let said = stderr(&imported.output);
        assert_eq!(imported.output.status.code(), Some(code), "{said}");
        assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");
        assert!(imported.left_nothing(), "{module} left something");
    }
}
