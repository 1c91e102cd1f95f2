//! Versions of the task `tensors`: what proves them, and what is said of those that are
//! not what their manifest says.

use serde_json::{Value, json};

use super::{
    check::{check, of_version},
    common::{
        models::Copy,
        program::stdout,
        server::{Launch, empty_root},
        tensors::{tagger, tagger_rows, write},
    },
};

/// What is done to golden rows, and what is said of it.
type Defect = (fn(&mut Vec<Value>), &'static str);

/// What a check says of the only version, after `change` to it.
fn checked(model: (&str, &Value, &str), change: impl FnOnce(&Copy) -> &Copy) -> String {
    let (_folder, root) = empty_root();
    let (module, tensors, golden) = model;
    change(&write(&root, "model", module, tensors, golden));
    of_version(&check(&root), "model version 1")
}

fn tagged(change: impl FnOnce(&Copy) -> &Copy) -> String {
    checked(("tagger.pt", &tagger(), &tagger_rows()), change)
}

#[tokio::test]
async fn a_version_of_tensors_goes_live_beside_the_others() {
    let (_folder, root) = empty_root();
    Copy::new("merchant_gmv", &root, 1);
    write(&root, "tags", "tagger.pt", &tagger(), &tagger_rows());
    let output = check(&root);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(stdout(&output).contains("ok      tags version 1: 8 golden rows agree"), "{}", stdout(&output));
    let server = Launch::new().set("models.root", root.display()).serving().await;
    let (status, body) = server.get("/readyz").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("tags"), "{body}");
}

#[test]
fn rows_of_different_sizes_prove_the_filling_up() {
    // The module takes 0 for nothing; 7 is a token.
    let said = tagged(|copy| copy.with_manifest(|manifest| manifest["inputs"][0]["padding"] = json!(7)));
    assert!(said.contains("line 1, in a batch with rows of other sizes: output count: served 5"), "{said}");
    assert!(tagged(|copy| copy).starts_with("ok "), "it is right with the padding that it was made for");
}

#[test]
fn rows_that_prove_no_batch_and_no_filling_are_refused() {
    let said = tagged(|copy| copy.with_golden(|lines| lines.truncate(4)));
    assert!(said.contains("nothing proves the padding of input tokens: wanted rows of at least two sizes"), "{said}");
    let said = tagged(|copy| {
        copy.with_golden(|lines| lines.truncate(1));
        copy.with_manifest(|manifest| drop(manifest["inputs"][0].as_object_mut().unwrap().remove("padding")))
    });
    assert!(said.contains("no two different rows share a batch, which proves no batching"), "{said}");
}

#[test]
fn a_module_without_a_dimension_of_rows_is_proved_request_by_request() {
    let tensors = json!({
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1]}],
        "outputs": [{"name": "shares", "dtype": "float32", "shape": [-1]}],
        "serving": {"max_batch_rows": 0, "warmup_rows": [1]},
    });
    let golden = "{\"inputs\": {\"x\": [1, 3]}, \"outputs\": {\"shares\": [0.25, 0.75]}}\n\
                  {\"inputs\": {\"x\": [0, 0]}, \"outputs\": {\"shares\": [\"NaN\", \"NaN\"]}}\n\
                  {\"inputs\": {\"x\": [2]}, \"outputs\": {\"shares\": [1.0]}}";
    let said = checked(("whole.pt", &tensors, golden), |copy| copy);
    assert!(said.contains("golden.jsonl line 2: output shares: has NaN or an infinity, wanted non_finite"), "{said}");
    let mut non_finite = tensors.clone();
    non_finite["outputs"][0]["non_finite"] = true.into();
    let said = checked(("whole.pt", &non_finite, golden), |copy| copy);
    assert!(said.starts_with("ok ") && said.contains("3 golden rows agree"), "{said}");
    let said = checked(("whole.pt", &non_finite, &golden.replace("\"x\": [2]", "\"x\": [0]")), |copy| copy);
    assert!(said.contains("line 3: output shares[0]: served NaN, training computed 1.0"), "{said}");
}

#[test]
fn what_is_wrong_with_a_line_is_named_with_its_tensor() {
    let defects: [Defect; 9] = [
        (|lines| lines[0]["row"] = json!({}), "line 1: unknown field `row`"),
        (|lines| lines[0]["inputs"]["colour"] = json!(1), "line 1: the manifest has no input colour"),
        (
            |lines| lines[1]["outputs"]["count"] = Value::Null,
            "line 2: output count: found null, wanted a value of int64",
        ),
        (
            |lines| drop(lines[1]["outputs"].as_object_mut().unwrap().remove("count")),
            "line 2: output count: is missing",
        ),
        (
            |lines| lines[2]["inputs"]["numbers"] = json!([1, 2]),
            "line 3: input numbers: has 2 values, the manifest says 3",
        ),
        (
            |lines| lines[2]["inputs"]["tokens"][1] = json!(0.5),
            "line 3: input tokens[1]: found 0.5, wanted a value of int64",
        ),
        (
            |lines| lines[2]["inputs"]["tokens"][1] = json!(20),
            "line 3: input tokens: found 20, the manifest's range is 0 to 19",
        ),
        (|lines| lines[7]["outputs"]["count"] = json!(4), "line 8: output count: served 5, training computed 4"),
        (|lines| lines.clear(), "it holds 0 rows, wanted at least 1"),
    ];
    for (change, wanted) in defects {
        let said = tagged(|copy| copy.with_golden(change));
        assert!(said.starts_with("FAILED") && said.contains(wanted), "{wanted:?} is not in:\n{said}");
    }
}

#[test]
fn a_module_that_answers_something_else_than_tensors_is_refused_with_what_it_is() {
    let tensors = json!({
        "inputs": [{"name": "x", "dtype": "float32", "shape": [2]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [2]}],
        "serving": {"max_batch_rows": 8},
    });
    let golden = r#"{"inputs": {"x": [1, 2]}, "outputs": {"y": [1, 2]}}"#;
    for (module, wanted) in [
        ("text.pt", "it returned a string, wanted tensors"),
        ("nothing.pt", "it returned nothing, wanted tensors"),
        ("nested.pt", "it returned 2 values, wanted 1"),
    ] {
        let said = checked((module, &tensors, golden), |copy| copy);
        assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");
    }
    let mut two = tensors.clone();
    two["outputs"] =
        json!([{"name": "y", "dtype": "float32", "shape": [2]}, {"name": "z", "dtype": "float32", "shape": [2]}]);
    let golden = r#"{"inputs": {"x": [1, 2]}, "outputs": {"y": [1, 2], "z": [1, 2]}}"#;
    let said = checked(("nested.pt", &two, golden), |copy| copy);
    assert!(said.contains("its output \"z\" is a tuple, wanted a tensor"), "{said}");
}

#[test]
fn a_model_of_tensors_has_a_name_that_no_other_task_has() {
    let (_folder, root) = empty_root();
    write(&root, "merchant_gmv", "tagger.pt", &tagger(), &tagger_rows());
    let said = of_version(&check(&root), "merchant_gmv version 1");
    assert!(
        said.contains("task is tensors of model \"merchant_gmv\", wanted a name that is no other task's"),
        "{said}"
    );
}
