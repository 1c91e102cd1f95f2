//! Manifests that are bent in one place or several, and what is said of them.

mod architecture;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::explain::explain;
use super::*;

fn problems(value: &Value) -> Vec<String> {
    Manifest::parse(value.to_string().as_bytes()).map_or_else(|error| error.problems, |_| Vec::new())
}

/// `manifest` with `value` at a JSON pointer, whose last key may be new.
fn bent(mut manifest: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match manifest.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        object => object[key] = value,
    }
    manifest
}

fn without(mut manifest: Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    manifest.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(key).unwrap();
    manifest
}

/// What is said of each bend, one line a problem.
fn said(manifest: fn() -> Value, bends: &[(&str, Value)]) -> String {
    let lines = bends.iter().map(|(pointer, value)| problems(&bent(manifest(), pointer, value.clone())).join("\n"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_examples_are_sound() {
    assert_eq!(problems(&fixture::gmv()), [""; 0]);
    assert_eq!(problems(&fixture::portrait()), [""; 0]);
}

#[test]
fn a_missing_default_differs_from_a_default_of_null() {
    let manifest = fixture::parsed(&fixture::gmv()).unwrap();
    let defaults: Vec<_> = manifest.features.iter().map(|feature| feature.default.clone()).collect();
    assert_eq!(defaults[0], Some(DefaultValue::Missing));
    assert_eq!(defaults[1], Some(DefaultValue::Category("centre".to_owned())));
    assert_eq!(defaults[4], None);
}

#[test]
fn every_fault_of_the_shape_is_named_at_once() {
    let mut manifest = fixture::gmv();
    manifest["colour"] = json!("red");
    manifest["version"] = json!("three");
    manifest["engine"] = json!("onnx");
    manifest["features"][2]["rnage"] = json!([0, 1]);
    manifest["features"][2]["range"] = json!([0]);
    manifest["features"][5]["calendar"]["dates_in_horizon"]["days"] = json!(3);
    manifest["inputs"][1]["dtype"] = json!("float8");
    manifest["head"]["quantile"] = json!([0.5]);
    let manifest = without(manifest, "/serving/max_batch_rows");
    assert_eq!(
        problems(&manifest),
        [
            "version: found \"three\", wanted integer",
            "engine: found \"onnx\", wanted \"torchscript\" or \"deepfm\"",
            "features[2].range: found [0], wanted 2 items",
            "features[2].rnage: unknown key, wanted one of name, kind, required, default, range, transform, \
             encoding, max_len, calendar",
            "features[5].calendar.dates_in_horizon.days: unknown key, wanted one of dates, horizon_days",
            "inputs[1].dtype: found \"float8\", wanted \"bool\" or \"uint8\" or \"int8\" or \"int16\" or \"int32\" or \
             \"int64\" or \"float16\" or \"bfloat16\" or \"float32\" or \"float64\"",
            "head.quantile: unknown key, wanted one of kind, output, currency, horizon_days, quantiles",
            "serving.max_batch_rows: missing",
            "colour: unknown key, wanted one of format_version, model, version, task, description, torch_version, \
             created_at, files, engine, architecture, features, inputs, arguments, outputs, head, tolerance, serving",
        ]
    );
}

#[test]
fn unknown_keys_do_not_hide_faults_of_meaning() {
    let mut manifest = fixture::gmv();
    manifest["head"]["color"] = json!(1);
    manifest["head"]["currency"] = json!("euro");
    let found = problems(&manifest);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1], "head.currency: found \"euro\", wanted a code of ISO 4217, 3 capital letters");
}

#[test]
fn what_can_be_understood_is_handed_back_with_the_problems() {
    let unknown = bent(fixture::gmv(), "/colour", json!("red"));
    let error = Manifest::parse(unknown.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.readable, fixture::parsed(&fixture::gmv()).ok().map(Box::new));
    let missing = without(fixture::gmv(), "/head");
    assert_eq!(Manifest::parse(missing.to_string().as_bytes()).unwrap_err().readable, None);
}

#[test]
fn unions_say_what_they_could_be() {
    assert_eq!(
        said(
            fixture::gmv,
            &[
                ("/features/0/encoding", json!({"onehot": 3})),
                ("/features/1/encoding/hash", json!({"bucket": 3})),
                ("/features/0/default", json!({})),
                ("/features/6/calendar", json!("year")),
                ("/head/kind", json!("tweedie")),
            ]
        ),
        r#"features[0].encoding: found {"onehot":3}, wanted {"vocabulary": ...} or {"hash": ...} or {"edges": ...} or null
features[1].encoding.hash.bucket: unknown key, wanted one of buckets
features[1].encoding.hash.buckets: missing
features[0].default: found {}, wanted null or number or string or array of numbers or array of strings
features[6].calendar: found "year", wanted {"dates_in_horizon": ...} or "day_of_week" or "month" or null
head: found {"kind":"tweedie","output":"ziln","currency":"EUR","horizon_..., wanted {"kind": "ziln"} or {"kind": "point"} or {"kind": "portrait"} or {"kind": "tensors"}"#
    );
}

#[test]
fn what_is_no_json_is_named_with_its_line() {
    let error = Manifest::parse(b"{\n\"model\": ").unwrap_err();
    assert_eq!(error.problems, ["not JSON: EOF while parsing a value at line 2 column 9"]);
}

#[test]
fn a_list_is_no_object() {
    // serde's own structs would take it, key by key in order.
    assert_eq!(said(fixture::gmv, &[("/serving", json!([256, [1]]))]), "serving: found [256,[1]], wanted object");
}

#[test]
fn a_number_too_large_for_its_type_is_a_problem() {
    let found = said(fixture::gmv, &[("/head/horizon_days", json!(1_u64 << 32))]);
    assert!(found.starts_with("invalid value: integer `4294967296`, expected u32"), "{found}");
}

#[test]
fn a_key_given_twice_is_a_problem() {
    let text = fixture::gmv().to_string().replacen("\"version\":3", "\"version\":3,\"version\":4", 1);
    let error = Manifest::parse(text.as_bytes()).unwrap_err();
    assert!(error.problems[0].starts_with("duplicate field `version`"), "{error}");
}

#[test]
fn faults_of_identity_and_files_are_named() {
    assert_eq!(
        said(
            fixture::gmv,
            &[
                ("/format_version", json!(2)),
                ("/model", json!("../gmv")),
                ("/version", json!(0)),
                ("/created_at", json!("yesterday")),
                ("/files", json!({"model.pt": "AB", "../golden.jsonl": fixture::DIGEST})),
                ("/tolerance", json!({"absolute": -1})),
                ("/tolerance", json!({"absolute": 1e30, "relative": 0.0011})),
                ("/tolerance", json!({"absolute": 0.001, "relative": 0})),
                ("/serving", json!({"max_batch_rows": 0})),
                ("/serving/warmup_rows", json!([0, 256, 257])),
            ]
        ),
        r#"format_version: found 2, wanted 1
model: found "../gmv", wanted up to 100 of a-z, A-Z, 0-9, _, - and ., a letter or digit first
version: found 0, wanted 1 or more
created_at: found "yesterday", wanted a time by RFC 3339
files.golden.jsonl: missing
files: found "../golden.jsonl", wanted the plain name of another file of the folder
files.model.pt: found "AB", wanted a sha256: 64 of 0-9 and a-f
tolerance.absolute: found -1, wanted 0 to 0.001
tolerance.absolute: found 1000000000000000000000000000000, wanted 0 to 0.001
tolerance.relative: found 0.0011, wanted 0 to 0.001

serving.max_batch_rows: found 0, wanted 1 to 65536
serving.warmup_rows[0]: found 0, wanted 1 to max_batch_rows, 256
serving.warmup_rows[2]: found 257, wanted 1 to max_batch_rows, 256"#
    );
}

#[test]
fn faults_of_features_are_named() {
    assert_eq!(
        said(
            fixture::gmv,
            &[
                ("/features/0/required", json!(true)),
                ("/features/0/default", json!("")),
                ("/features/0/range", json!([0, 1])),
                ("/features/0/transform", json!({})),
                ("/features/0/encoding", json!({"vocabulary": ["Paris", "", "Paris"]})),
                ("/features/0/encoding", json!({"edges": [1]})),
                ("/features/0/max_len", json!(3)),
                ("/features/0/calendar", json!("month")),
                ("/features/1/encoding/hash/buckets", json!(1)),
                ("/features/2/default", json!(7)),
                ("/features/2/default", json!([7])),
                ("/features/2/range", json!([5, 0])),
                ("/features/2/transform/std", json!(0)),
                ("/features/2/encoding/edges", json!([1, 2, 2])),
                ("/features/3/range", json!([-1, 5])),
                ("/features/4/required", json!(false)),
                ("/features/4/max_len", json!(0)),
                ("/features/5/default", Value::Null),
                ("/features/5/calendar/dates_in_horizon/dates", json!(["20260501", "2026-05-08", "2026-05-08"])),
                ("/features/5/calendar/dates_in_horizon/horizon_days", json!(0)),
            ]
        ),
        r#"features[0].default of "city": found a default and required: true, wanted one of the two
features[0].default of "city": found Category(""), wanted null or what the kind category holds
features[0].range of "city": found a range for kind category, wanted one for numbers only
features[0].transform of "city": found a transform for kind category, wanted one for numbers only
features[0].encoding.vocabulary[1] of "city": found "", wanted a name
features[0].encoding.vocabulary[2] of "city": found "Paris" again, wanted each once
features[0].encoding of "city": found another for kind category, wanted vocabulary or hash for categories, edges for numbers
features[0].max_len of "city": found 3, wanted one for lists only
features[0].calendar of "city": found one for kind category, wanted kind calendar with it
features[1].encoding.hash.buckets of "area": found 1, wanted 2 to 2147483648
features[2].default of "rating": found 7, wanted a number that the range and the transform take
features[2].default of "rating": found Numbers([7.0]), wanted null or what the kind number holds
features[2].range of "rating": found [5, 0], wanted the lower end first
features[2].transform.std of "rating": found 0, wanted a number above 0
features[2].encoding.edges of "rating": found 2 after 2, wanted ascending numbers
features[3].range of "shelf_life": found -1 with log1p, wanted a lower end above -1
features[4].default of "daily_gmv": found none, wanted a default or required: true
features[4].max_len of "daily_gmv": found 0, wanted 1 to 65536
inputs[2].shape: found [4], wanted 0 values by its features
features[5].kind of "holidays": found calendar, wanted neither required nor default with it
features[5].calendar.dates_in_horizon.dates[0] of "holidays": found "20260501", wanted a date, YYYY-MM-DD
features[5].calendar.dates_in_horizon.dates[2] of "holidays": found 2026-05-08 again, wanted each once
features[5].calendar.dates_in_horizon.horizon_days of "holidays": found 0, wanted 1 to 366"#
    );
}

#[test]
fn faults_between_inputs_and_features_are_named() {
    assert_eq!(
        said(
            fixture::gmv,
            &[
                ("/inputs/0/shape", json!([5])),
                ("/inputs/0/shape", json!([i64::MAX, 2])),
                ("/inputs/0/features/0", json!("country")),
                ("/inputs/0/features/0", json!("area")),
                ("/inputs/0/features/3", json!("holidays")),
                ("/inputs/1/features/1", json!("city")),
                ("/inputs/1/features/1", json!("daily_gmv")),
                ("/inputs/1/name", json!("ids")),
                ("/inputs/2/features", json!([])),
                ("/outputs", json!([])),
                ("/features/0/name", json!("rating")),
            ]
        ),
        r#"inputs[0].shape: found [5], wanted 4 values by its features
inputs[0].shape: found [9223372036854775807, 2], wanted a product of 1 to 1048576
inputs[0].shape: found [9223372036854775807, 2], wanted 4 values by its features
inputs[0].features[0]: found "country", wanted one of the manifest's features
features[0]: found "city" in no input, wanted it in at least one
inputs[0].features[1]: found "area" again, wanted each once
features[0]: found "city" in no input, wanted it in at least one
inputs[0].features[3]: found "holidays" of kind calendar for int64, wanted numbers for float32, a feature with an encoding for int64
features[6]: found "weekday" in no input, wanted it in at least one
inputs[1].features[1]: found "city" of kind category for float32, wanted numbers for float32, a feature with an encoding for int64
features[3]: found "shelf_life" in no input, wanted it in at least one
inputs[1].features[1]: found the list "daily_gmv" among others, wanted a list alone
features[3]: found "shelf_life" in no input, wanted it in at least one
inputs[1].name: found "ids" again, wanted each once
inputs[2].features: found none, wanted at least one
features[4]: found "daily_gmv" in no input, wanted it in at least one
outputs: found none, wanted at least one
head.output: found "ziln", wanted one of the manifest's outputs
features[2].name: found "rating" again, wanted each once
inputs[0].features[0]: found "city", wanted one of the manifest's features"#
    );
}

#[test]
fn faults_of_heads_are_named() {
    assert_eq!(
        said(
            fixture::gmv,
            &[
                ("/task", json!("user_portrait")),
                ("/outputs/0/shape", json!([2])),
                ("/outputs/0/dtype", json!("int64")),
                ("/head/quantiles", json!([0.5, 0.5, 1])),
                ("/head/horizon_days", json!(367)),
                ("/head", json!({"kind": "point", "output": "ziln", "currency": "EUR", "horizon_days": 1})),
            ]
        ),
        r#"head.kind: found ziln for task user_portrait, wanted portrait
head.output: found "ziln" of shape [2], wanted 3 values
head.output: found "ziln" of int64, wanted float32
head.quantiles[2]: found 1, wanted a number strictly between 0 and 1
head.quantiles: found 0.5 after 0.5, wanted ascending numbers
head.horizon_days: found 367, wanted 1 to 366
head.output: found "ziln" of shape [3], wanted 1 values"#
    );
    assert_eq!(
        said(
            fixture::portrait,
            &[
                ("/head/groups", json!([])),
                ("/head/groups/0/labels", json!(["18-34", "18-34"])),
                ("/head/groups/0/calibration", json!({"scale": 0, "bias": [1]})),
                ("/head/groups/1/labels", json!(["FOOD"])),
                ("/head/groups/1", json!({"kind": "embedding", "name": "age", "output": "embedding"})),
            ]
        ),
        r#"head.groups: found none, wanted at least one
head.groups[0].labels[1]: found "18-34" again, wanted each once
head.groups[0].calibration.scale: found 0, wanted a number above 0
head.groups[0].calibration.bias: found 1 numbers, wanted one for each of 2 labels, or none
head.groups[1].output: found "departments" of shape [3], wanted 1 values
head.groups[1].name: found "age" again, wanted each once
head.groups: found 2 embeddings, wanted at most one"#
    );
}

#[test]
fn the_committed_schema_is_the_one_of_these_types() {
    let committed: Value = serde_json::from_str(include_str!("../../models/manifest.schema.json")).unwrap();
    assert_eq!(committed, json_schema(), "`souk schema > models/manifest.schema.json` writes the new one");
}

/// Every place in `value`, as JSON pointers.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    let below: Vec<_> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        into.push(format!("{at}/{key}"));
        places(value, &format!("{at}/{key}"), into);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let values = [json!(null), json!(true), json!(-3), json!(7), json!(2.5), json!("x"), json!("hash"), json!([])];
    let compounds = [json!([1]), json!(["x"]), json!([1, 2]), json!({}), json!({"x": 1}), json!({"kind": "point"})];
    prop::sample::select([values.as_slice(), compounds.as_slice()].concat())
}

/// What serde refuses has a named reason, and a reason is found just where a
/// general validator finds one.
#[test]
fn serde_the_schema_and_the_walk_agree() {
    let schema = json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let bends = prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4);
    proptest!(|(portrait: bool, bends in bends)| {
        let mut manifest = if portrait { fixture::portrait() } else { fixture::gmv() };
        for (place, value) in bends {
            let mut all = Vec::new();
            places(&manifest, "", &mut all);
            *manifest.pointer_mut(place.get::<String>(&all)).unwrap() = value;
        }
        let faults = explain(&manifest, &schema);
        prop_assert_eq!(validator.is_valid(&manifest), faults.is_empty(), "{:?}", faults);
        prop_assert!(!faults.is_empty() || serde_json::from_value::<Manifest>(manifest).is_ok());
    });
}

#[test]
fn the_shipped_versions_have_sound_manifests_that_the_encoder_and_the_wire_fit() {
    use crate::{features::Encoder, model::RowReader as _};

    let forms = crate::api::JsonForms::new().unwrap();
    for model in ["merchant_gmv", "user_portrait"] {
        let path = format!("{}/models/{model}/1/manifest.json", env!("CARGO_MANIFEST_DIR"));
        let manifest = Manifest::parse(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(manifest.task.as_str(), model);
        assert!(Encoder::new(&manifest, forms.fields(manifest.task)).is_ok(), "{path}");
    }
}

#[test]
fn numbers_are_read_to_their_last_bit() {
    use proptest::prelude::*;

    let read = |text: &str| serde_json::from_str::<f64>(text).unwrap();
    for text in ["51.248178375505404", "31.245270191439438", "121.48791951161945", "100.78399658203125"] {
        assert_eq!(read(text).to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    proptest!(|(number in any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()))| {
        prop_assert_eq!(read(&format!("{number:e}")), number);
    });
}
