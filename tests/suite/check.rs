//! `souk check`: a version that is not the trained one is named, with all that
//! is wrong with it.

use std::{path::Path, process::Output};

use serde_json::json;

use super::common::{
    models::{self, Copy},
    program::{souk, stderr, stdout},
    server::empty_root,
};

pub(super) fn check(folder: &Path) -> Output {
    souk(Path::new(env!("CARGO_MANIFEST_DIR")), &["check"]).arg(folder).output().unwrap()
}

/// The lines of `output` that speak of one version, its problems after it.
pub(super) fn of_version(output: &Output, place: &str) -> String {
    let lines = stdout(output);
    let begins = |line: &&str| line.contains(&format!("{place}:"));
    let mut lines = lines.lines().skip_while(|line| !begins(line));
    let first = lines.next().unwrap_or_else(|| panic!("no {place} in:\n{}", stdout(output))).to_owned();
    lines.take_while(|line| line.starts_with(' ')).fold(first, |text, line| text + "\n" + line)
}

/// What is done to a copy of the merchants' model, and what is said of it.
type Defect = (fn(&Copy) -> &Copy, &'static [&'static str]);

#[cfg(feature = "torch")]
const DEFECTS: [Defect; 15] = [
    (
        |copy| copy.with_file("model.pt", |bytes| bytes.push(0)).correct_digest("model.pt"),
        &["model.pt: is no TorchScript that can be loaded: does not end with an end record"],
    ),
    (|copy| copy.flip("model.pt"), &["model.pt: sha256 is", "the manifest says"]),
    (|copy| copy.remove("model.pt"), &["model.pt: the file is missing"]),
    (|copy| copy.remove("golden.jsonl"), &["golden.jsonl: the file is missing"]),
    (|copy| copy.remove("MODEL_CARD.md"), &["MODEL_CARD.md: the file is missing"]),
    (|copy| copy.with_manifest(|manifest| manifest["colour"] = "red".into()), &["manifest.json", "colour"]),
    (|copy| copy.bend_golden_output(), &["golden.jsonl: sha256 is"]),
    (
        |copy| copy.bend_golden_output().correct_digest("golden.jsonl"),
        &["1 problem\n", "golden.jsonl line 1: output", "served", "training computed"],
    ),
    (|copy| copy.truncate("model.pt", 1000), &["model.pt: sha256 is"]),
    (
        |copy| copy.truncate("model.pt", 100_000).correct_digest("model.pt"),
        &[
            "model.pt: is no TorchScript that can be loaded",
            "outputs were not compared, since model.pt can't be loaded",
        ],
    ),
    (
        |copy| copy.with_golden(|lines| lines[3]["outputs"]["mood"] = json!([0.5])),
        &["1 problem\n", "golden.jsonl line 4: the manifest has no output mood"],
    ),
    (
        |copy| copy.truncate("model.pt", 0).correct_digest("model.pt"),
        &["model.pt: is no TorchScript that can be loaded"],
    ),
    (
        |copy| copy.with_manifest(|manifest| manifest["torch_version"] = "1.13.1".into()),
        &["torch_version is \"1.13.1\"", "2.11.0"],
    ),
    (|copy| copy.truncate("manifest.json", 300), &["manifest.json"]),
    (|copy| copy.with_file("manifest.json", |bytes| *bytes = b"a poem".to_vec()), &["manifest.json"]),
];

/// Without libtorch no model is loaded; all that does not need it is still found.
#[cfg(not(feature = "torch"))]
const DEFECTS: [Defect; 4] = [
    (|copy| copy.flip("model.pt"), &["model.pt: sha256 is", "the manifest says"]),
    (|copy| copy.remove("golden.jsonl"), &["golden.jsonl: the file is missing"]),
    (|copy| copy.with_manifest(|manifest| manifest["colour"] = "red".into()), &["manifest.json", "colour"]),
    (|copy| copy.bend_golden_output(), &["golden.jsonl: sha256 is"]),
];

/// Found with libtorch and without it.
const DEFECTS_OF_THE_PROOF: [Defect; 8] = [
    (
        |copy| copy.with_golden(|lines| lines.truncate(7)),
        &["golden.jsonl: it holds 7 rows, wanted at least 8: too few to prove anything"],
    ),
    (|copy| copy.with_golden(Vec::clear), &["golden.jsonl: it holds 0 rows, wanted at least 8"]),
    (
        |copy| copy.with_golden(|lines| drop(lines[1]["row"].as_object_mut().unwrap().remove("as_of"))),
        &["golden.jsonl line 2: row: as_of is missing, so that the row would be encoded by today's date"],
    ),
    (
        |copy| copy.with_manifest(|manifest| manifest["tolerance"]["absolute"] = 1e30.into()),
        &["manifest.json: tolerance.absolute: found", "wanted 0 to 0.001"],
    ),
    (
        |copy| copy.flip("model.pt"),
        &["golden.jsonl: outputs were not compared, since model.pt is not the file that was trained"],
    ),
    (
        |copy| {
            copy.flip("model.pt").flip("golden.jsonl").remove("MODEL_CARD.md");
            copy.with_manifest(|manifest| manifest["version"] = "5".into())
        },
        &[
            "version: found \"5\", wanted integer",
            "model.pt: sha256 is",
            "golden.jsonl: sha256 is",
            "MODEL_CARD.md: the file is missing",
            "outputs were not compared, since manifest.json can't be understood",
        ],
    ),
    (
        |copy| {
            copy.with_manifest(|manifest| *manifest = json!({"files": {"golden.jsonl": "00", "../x": "00", "y": 1}}))
        },
        &["manifest.json: files.model.pt: missing", "golden.jsonl: sha256 is", "manifest.json: model: missing"],
    ),
    (
        |copy| copy.with_manifest(|manifest| manifest["task"] = "tensors".into()),
        &["task is tensors of model \"merchant_gmv\", wanted a name that is no other task's"],
    ),
];

#[cfg(feature = "torch")]
#[test]
fn the_shipped_models_are_right() {
    let output = check(&models::shipped());
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    for model in ["merchant_gmv", "user_portrait"] {
        let version = models::newest(model);
        let digest = models::digest(&version.manifest().unwrap());
        let said = of_version(&output, &format!("{model} version {}", version.version));
        assert!(said.starts_with("ok ") && said.contains(&digest), "{said}");
    }
}

#[cfg(feature = "torch")]
#[test]
fn one_model_or_one_version_can_be_checked() {
    let version = models::newest("merchant_gmv");
    for folder in [version.path.parent().unwrap(), &version.path] {
        let output = check(folder);
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
        assert!(!stdout(&output).contains("user_portrait"));
    }
}

#[test]
fn every_defect_is_named_and_so_are_all_together() {
    let (_folder, root) = empty_root();
    let defects = || DEFECTS.into_iter().chain(DEFECTS_OF_THE_PROOF);
    for (number, (bend, _)) in (1..).zip(defects()) {
        bend(&Copy::new("merchant_gmv", &root, number));
    }
    let output = check(&root);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for (number, (_, wanted)) in (1..).zip(defects()) {
        let said = of_version(&output, &format!("merchant_gmv version {number}"));
        assert!(said.starts_with("FAILED "), "{said}");
        for text in wanted {
            assert!(said.contains(text), "no {text:?} in:\n{said}");
        }
    }
    let count = defects().count();
    assert!(stdout(&output).contains(&format!("{count} versions checked, {count} with problems")));
}

#[test]
fn one_version_with_many_defects_has_all_of_them_named() {
    let (_folder, root) = empty_root();
    let copy = Copy::new("merchant_gmv", &root, 1);
    copy.flip("model.pt").remove("MODEL_CARD.md").flip("golden.jsonl").with_manifest(|manifest| {
        manifest["colour"] = "red".into();
        manifest["torch_version"] = "1.13.1".into();
        manifest["version"] = 7.into();
    });
    let output = check(&root);
    assert_eq!(output.status.code(), Some(1));
    let said = of_version(&output, "merchant_gmv version 1");
    for text in
        ["colour", "1.13.1", "version is 7", "model.pt: sha256", "golden.jsonl: sha256", "MODEL_CARD.md: the file"]
    {
        assert!(said.contains(text), "no {text:?} in:\n{said}");
    }
}

#[cfg(feature = "torch")]
#[test]
fn a_right_version_beside_a_wrong_one_is_still_right() {
    let (_folder, root) = empty_root();
    Copy::new("merchant_gmv", &root, 1).flip("model.pt");
    Copy::new("merchant_gmv", &root, 2);
    let output = check(&root);
    assert_eq!(output.status.code(), Some(1));
    assert!(of_version(&output, "merchant_gmv version 1").starts_with("FAILED"));
    assert!(of_version(&output, "merchant_gmv version 2").starts_with("ok"));
}

#[cfg(not(feature = "torch"))]
#[test]
fn without_libtorch_a_right_version_fails_and_says_why() {
    let output = check(&models::newest("merchant_gmv").path);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("without the feature `torch`"), "{}", stdout(&output));
}

#[cfg(feature = "torch")]
#[test]
fn a_change_in_the_third_digit_of_a_small_golden_output_is_found() {
    let (_folder, root) = empty_root();
    // Down to where the documentation of the tolerance says so.
    let magnitude = |value: &serde_json::Value| value.as_f64().map(f64::abs).filter(|size| *size >= 0.003);
    Copy::new("user_portrait", &root, 1).with_golden(|lines| {
        let outputs = lines.iter_mut().flat_map(|line| line["outputs"].as_object_mut().unwrap().values_mut());
        let values =
            outputs.flat_map(|output| output.as_array_mut().unwrap()).filter(|value| magnitude(value).is_some());
        let smallest = values.min_by(|one, other| magnitude(one).partial_cmp(&magnitude(other)).unwrap()).unwrap();
        let value = smallest.as_f64().unwrap();
        assert!(value.abs() < 0.004, "{value} is not small: the test shows nothing");
        *smallest = (value + 10_f64.powf(value.abs().log10().floor() - 2.0)).into();
    });
    let said = of_version(&check(&root), "user_portrait version 1");
    assert!(said.contains("1 problem\n") && said.contains("training computed"), "{said}");
}

#[test]
fn a_model_whose_name_is_not_its_tasks_is_refused() {
    let (_folder, root) = empty_root();
    Copy::new("user_portrait", &root, 2).rename(&root, "merchant_gmv");
    Copy::new("merchant_gmv", &root, 1).rename(&root, "gmv");
    let output = check(&root);
    let said = of_version(&output, "merchant_gmv version 2");
    let wanted = "task is user_portrait of model \"merchant_gmv\", wanted the model \"user_portrait\" for it";
    assert!(said.contains(wanted), "{said}");
    let said = of_version(&output, "gmv version 1");
    assert!(said.contains("task is merchant_gmv of model \"gmv\", wanted the model \"merchant_gmv\" for it"), "{said}");
}

#[test]
fn the_help_says_when_golden_rows_are_not_scored() {
    let output = souk(Path::new("."), &["check", "--help"]).output().unwrap();
    assert!(stdout(&output).contains("is never loaded"), "{}", stdout(&output));
}

#[test]
fn a_folder_without_versions_is_a_wrong_argument() {
    let (_folder, root) = empty_root();
    for folder in [&root, &root.join("nothing")] {
        let output = check(folder);
        assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
        assert!(stderr(&output).contains(&folder.display().to_string()), "{}", stderr(&output));
    }
}

#[test]
fn every_command_with_arguments_shows_examples() {
    let models = ["list", "show", "load", "unload", "traffic", "rollback", "watch"];
    let models = models.map(|command| format!("models {command}"));
    for command in ["serve", "check", "score", "models", "keygen", "sign", "verify"]
        .into_iter()
        .chain(models.iter().map(String::as_str))
    {
        let arguments: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let output = souk(Path::new("."), &arguments).output().unwrap();
        let examples = stdout(&output).split_once("Examples:").map(|(_, examples)| examples.to_owned());
        let example = format!("\n  souk {command}");
        assert!(examples.is_some_and(|examples| examples.contains(&example)), "{}", stdout(&output));
    }
}

#[test]
fn the_committed_schema_is_that_of_the_program() {
    let output = souk(Path::new("."), &["schema"]).output().unwrap();
    let committed = std::fs::read_to_string(models::shipped().join("manifest.schema.json")).unwrap();
    assert_eq!(stdout(&output), committed);
}
