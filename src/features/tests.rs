//! Whole rows through the encoder.

use jiff::civil::{Date, date};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::json_row::{JsonRow, MERCHANT, Owned, USER};
use super::row::Excess;
use super::*;
use crate::manifest::fixture;
use crate::rows::{Column, Rows, Values};

const AS_OF: Date = date(2026, 4, 30);

fn encoder(manifest: &Json) -> Encoder {
    let manifest = fixture::parsed(manifest).unwrap();
    let fields = if manifest.task.as_str() == "merchant_gmv" { MERCHANT } else { USER };
    Encoder::new(&manifest, fields).unwrap()
}

fn merchant(features: Json) -> JsonRow {
    JsonRow::new(&json!({"features": features}), MERCHANT)
}

fn user(features: Json) -> JsonRow {
    JsonRow::new(&json!({"features": features}), USER)
}

fn encoded(encoder: &Encoder, row: &JsonRow) -> Rows {
    let mut rows = encoder.empty_rows(1);
    encoder.encode(row, AS_OF, &mut Scratch::default(), &mut rows).unwrap();
    rows
}

/// `field: description` of every violation.
fn faults(manifest: &Json, row: &JsonRow) -> (FaultCode, Vec<String>) {
    let encoder = encoder(manifest);
    let fault = encoder.encode(row, AS_OF, &mut Scratch::default(), &mut encoder.empty_rows(1)).unwrap_err();
    let violations = fault.violations.iter().map(|at| format!("{}: {}", at.field, at.description));
    (fault.code, violations.collect())
}

fn floats(values: &[f32]) -> Values {
    Values::F32(values.to_vec())
}

fn ids(values: &[i64]) -> Values {
    Values::I64(values.to_vec())
}

fn columns(rows: &Rows) -> Vec<Values> {
    rows.columns().iter().map(|column| column.values.clone()).collect()
}

/// Ids must be equal. Floats may differ by what two implementations of `log1p`
/// differ by in 64 bits, which after rounding to 32 is one step at most.
fn assert_encoded(case: &str, found: &Column, wanted: &Json) {
    match &found.values {
        Values::I64(found) => assert_eq!(json!(found), *wanted, "{case}"),
        Values::Raw { .. } => panic!("{case}: features are typed"),
        Values::F32(found) => {
            let wanted: Vec<f32> = serde_json::from_value(wanted.clone()).unwrap();
            assert_eq!(found.len(), wanted.len(), "{case}");
            for (found, wanted) in found.iter().zip(wanted) {
                let one_step = *found == wanted || found.next_up() == wanted || found.next_down() == wanted;
                assert!(one_step, "{case}: found {found}, wanted {wanted}");
            }
        }
    }
}

#[test]
fn rows_are_encoded_as_training_encodes_them() {
    let file: Json = serde_json::from_str(include_str!("../../tests/fixtures/encoding.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 90, "the fixture is cut short");
    for case in cases {
        let (name, row) = (case["name"].as_str().unwrap(), &case["row"]);
        let manifest = fixture::parsed(&case["manifest"]).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let fields = if manifest.task.as_str() == "merchant_gmv" { MERCHANT } else { USER };
        let encoder = Encoder::new(&manifest, fields).unwrap();
        let mut rows = encoder.empty_rows(1);
        let as_of = row["as_of"].as_str().unwrap().parse().unwrap();
        encoder
            .encode(&JsonRow::new(row, fields), as_of, &mut Scratch::default(), &mut rows)
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        for (input, column) in manifest.inputs.iter().zip(rows.columns()) {
            assert_encoded(&format!("{name}, {}", input.name), column, &case["inputs"][&input.name]);
        }
    }
}

#[test]
fn every_kind_of_feature_finds_its_place() {
    let row = merchant(json!({
        "city": "Lyon", "area": "Croix-Rousse", "rating": 4.0, "daily_gmv": [0.0, 1.718281828459045],
        "extra": {"shelf_life": {"number": 0.0}}
    }));
    let rows = encoded(&encoder(&fixture::gmv()), &row);
    let area = 1 + (xxhash_rust::xxh3::xxh3_64("area=Croix-Rousse".as_bytes()) % 49) as i64;
    // 2026-04-30 is a Thursday; both listed holidays follow within 28 days.
    assert_eq!(columns(&rows), [ids(&[2, area, 4, 4]), floats(&[2.0, 0.0, 2.0]), floats(&[0.0, 0.0, -0.5, 0.0])]);
}

#[test]
fn defaults_stand_in_for_what_is_absent_and_are_named() {
    let encoder = encoder(&fixture::gmv());
    let row = merchant(json!({"city": "", "daily_gmv": [0.0], "extra": {"shelf_life": {}}}));
    let mut rows = encoder.empty_rows(1);
    let defaulted = encoder.encode(&row, AS_OF, &mut Scratch::default(), &mut rows).unwrap();
    let area = 1 + (xxhash_rust::xxh3::xxh3_64(b"area=centre") % 49) as i64;
    assert_eq!(columns(&rows)[0], ids(&[0, area, 3, 4]));
    assert_eq!(columns(&rows)[1], floats(&[1.0, 0.0, 2.0]));
    assert_eq!(encoder.names(&defaulted).collect::<Vec<_>>(), ["city", "area", "rating", "shelf_life"]);
}

#[test]
fn nothing_is_named_where_all_was_sent() {
    let encoder = encoder(&fixture::gmv());
    let row = merchant(json!({"city": "Nice", "area": "a", "rating": 1, "daily_gmv": [1],
        "extra": {"shelf_life": {"number": 3}}}));
    assert!(encoder.encode(&row, AS_OF, &mut Scratch::default(), &mut encoder.empty_rows(1)).unwrap().is_empty());
}

#[test]
fn events_are_cut_to_the_newest_and_padded_in_front() {
    let encoder = encoder(&fixture::portrait());
    let event = |time: &str, price: f64| json!({"time": time, "item": "", "price": price});
    let two = user(json!({"events": [event("2026-04-30T00:00:00Z", 0.5), event("2026-04-30T12:00:00Z", 10.0)]}));
    assert_eq!(columns(&encoded(&encoder, &two))[1..], [floats(&[0.0, 1.0, 0.5]), ids(&[0, 0, 0]), ids(&[0, 1, 3])]);
    let four: Vec<_> = (1..5).map(|day| event(&format!("2026-04-0{day}T00:00:00Z"), 2.0)).collect();
    let rows = encoded(&encoder, &user(json!({"events": four})));
    assert_eq!(columns(&rows)[1], floats(&[29.0, 28.0, 27.0]));
}

#[test]
fn a_default_list_is_padded_like_a_sent_one() {
    let rows = encoded(&encoder(&fixture::portrait()), &user(json!({})));
    assert_eq!(columns(&rows)[1..], [floats(&[0.0; 3]), ids(&[0; 3]), ids(&[0, 0, 2])]);
}

#[test]
fn a_required_feature_that_is_absent_names_the_version() {
    let (code, violations) = faults(&fixture::gmv(), &merchant(json!({"daily_gmv": []})));
    assert_eq!(code, FaultCode::FailedPrecondition);
    assert_eq!(violations, ["features.daily_gmv: feature `daily_gmv` is required by version 3 of merchant_gmv"]);
}

#[test]
fn an_unknown_name_in_extra_names_the_version() {
    let row = merchant(json!({"daily_gmv": [1], "extra": {"mood": {"number": 1}, "weekday": {"number": 1}}}));
    let (code, violations) = faults(&fixture::gmv(), &row);
    assert_eq!(code, FaultCode::FailedPrecondition);
    assert_eq!(
        violations,
        [
            "features.extra.mood: feature `mood` is not known to version 3 of merchant_gmv",
            "features.extra.weekday: feature `weekday` is computed by version 3 of merchant_gmv from as_of",
        ]
    );
}

#[test]
fn all_faults_of_a_row_are_named_at_once() {
    let mut row = merchant(json!({
        "rating": 5.5, "daily_gmv": [1, -1, 2],
        "extra": {"shelf_life": {"category": "long"}, "city": {"category": "Lyon"}, "mood": {"number": 1}}
    }));
    // Not read by this version.
    row.set("daily_orders", Owned::Numbers(vec![1.0, f64::NEG_INFINITY]));
    let (code, violations) = faults(&fixture::gmv(), &row);
    assert_eq!(code, FaultCode::InvalidArgument);
    assert_eq!(
        violations,
        [
            "features.daily_orders[1]: is -inf, wanted a finite number",
            "features.extra.city: `city` has a typed field, wanted it there",
            "features.extra.mood: feature `mood` is not known to version 3 of merchant_gmv",
            "features.rating: is 5.5, wanted 0 to 5",
            "features.extra.shelf_life: is a category, wanted a number",
            "features.daily_gmv[1]: is -1, wanted 0 to 1000000000",
        ]
    );
}

#[test]
fn a_nan_is_named_once_wherever_it_hides() {
    let mut row = merchant(json!({}));
    row.set("rating", Owned::Number(f64::NAN));
    row.set("daily_gmv", Owned::Numbers(vec![f64::NAN]));
    row.extra.insert("mood".to_owned(), Owned::Numbers(vec![0.0, f64::INFINITY]));
    let (code, violations) = faults(&fixture::gmv(), &row);
    assert_eq!(code, FaultCode::InvalidArgument);
    assert_eq!(
        violations,
        [
            "features.rating: is NaN, wanted a finite number",
            "features.daily_gmv[0]: is NaN, wanted a finite number",
            "features.extra.mood: feature `mood` is not known to version 3 of merchant_gmv",
            "features.extra.mood[1]: is inf, wanted a finite number",
        ]
    );
}

#[test]
fn what_is_too_long_is_named_and_nothing_else_looked_at() {
    let mut row = merchant(json!({"rating": 7, "extra": {"mood": {"number": 1}}}));
    row.set("daily_gmv", Owned::Numbers(vec![f64::NAN; 16_385]));
    row.extra.insert("dishes".to_owned(), Owned::Categories(vec!["soup"; 20_000]));
    row.excess.push(Excess { field: "events", what: "elements", found: 30_000, most: 16_384 });
    let (code, violations) = faults(&fixture::gmv(), &row);
    assert_eq!(code, FaultCode::InvalidArgument);
    assert_eq!(
        violations,
        [
            "features.events: has 30000 elements, wanted at most 16384",
            "features.daily_gmv: has 16385 elements, wanted at most 16384",
            "features.extra.dishes: has 20000 elements, wanted at most 16384",
        ]
    );
}

#[test]
fn more_than_64_features_that_are_left_out_are_all_named() {
    let mut manifest = fixture::gmv();
    let names: Vec<String> = (0..130).map(|number| format!("f{number}")).collect();
    let feature = |name: &String| json!({"name": name, "kind": "number", "default": null, "range": [0, 1]});
    manifest["features"] = names.iter().map(feature).collect();
    manifest["inputs"] = json!([{"name": "dense", "dtype": "float32", "shape": [130], "features": names}]);
    let encoder = encoder(&manifest);
    let row = merchant(json!({"extra": {"f3": {"number": 1}, "f63": {"number": 1}, "f64": {"number": 1}}}));
    let defaulted = encoder.encode(&row, AS_OF, &mut Scratch::default(), &mut encoder.empty_rows(1)).unwrap();
    let wanted = names.iter().enumerate().filter(|(number, _)| ![3, 63, 64].contains(number)).map(|(_, name)| name);
    assert!(encoder.names(&defaulted).eq(wanted));
}

#[test]
fn events_at_fault_are_named_by_their_position() {
    let mut row = user(json!({"events": [
        {"time": "2026-04-01T00:00:00Z"}, {"item": "tea"}, {"time": "2026-05-02T00:00:00Z"}
    ]}));
    *row.field(USER, "events.price") = Owned::Numbers(vec![f64::NAN, 0.0, 0.0]);
    let (code, violations) = faults(&fixture::portrait(), &row);
    assert_eq!(code, FaultCode::InvalidArgument);
    assert_eq!(
        violations,
        [
            "features.events[0].price: is NaN, wanted a finite number",
            "features.events[1].time: is missing, and the version reads it",
            "features.events[2].time: is -1, wanted 0 to 400",
        ]
    );
}

#[test]
fn a_column_that_events_lack_is_named_with_those_they_have() {
    let mut manifest = fixture::portrait();
    manifest["features"][2]["name"] = json!("events.colour");
    manifest["inputs"][2]["features"] = json!(["events.colour"]);
    let problems = Encoder::new(&fixture::parsed(&manifest).unwrap(), USER).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("feature `events.colour` is not a column of `events`, wanted one of events.time, "),
        "{problems:?}"
    );
}

#[test]
fn a_typed_field_of_another_kind_is_a_problem() {
    let mut manifest = fixture::gmv();
    manifest["features"][3]["name"] = json!("daily_orders");
    manifest["inputs"][1]["features"][1] = json!("daily_orders");
    let problems = Encoder::new(&fixture::parsed(&manifest).unwrap(), MERCHANT).unwrap_err();
    assert_eq!(problems, ["feature `daily_orders` is a typed field of kind number_list, found kind number"]);
}

#[test]
fn a_list_of_any_length_is_refused_before_its_padding_is_made() {
    let mut manifest = fixture::parsed(&fixture::gmv()).unwrap();
    manifest.features[4].max_len = Some(usize::MAX);
    let problems = Encoder::new(&manifest, MERCHANT).unwrap_err();
    assert_eq!(problems, ["input `daily_gmv`: feature `daily_gmv` is a list without a max_len up to 65536"]);
}

#[test]
fn rows_of_another_encoder_are_refused_and_left_alone() {
    let row = merchant(json!({"daily_gmv": [1]}));
    for mut rows in [Rows::default(), encoder(&fixture::portrait()).empty_rows(1)] {
        let before = rows.clone();
        let fault = encoder(&fixture::gmv()).encode(&row, AS_OF, &mut Scratch::default(), &mut rows).unwrap_err();
        assert_eq!((fault.code, &rows), (FaultCode::Internal, &before));
    }
}

#[test]
fn id_bounds_cover_the_id_inputs_and_no_others() {
    let bound = |input, columns, below| IdBound { input, columns, below };
    let gmv: Vec<_> = encoder(&fixture::gmv()).id_bounds().collect();
    assert_eq!(gmv, [bound(0, 0..1, 3), bound(0, 1..2, 50), bound(0, 2..3, 5), bound(0, 3..4, 8)]);
    let portrait: Vec<_> = encoder(&fixture::portrait()).id_bounds().collect();
    assert_eq!(portrait, [bound(2, 0..3, 100), bound(3, 0..3, 4)]);
}

fn any_number() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(prop_oneof![0.0..6.0, Just(f64::NAN), Just(-1.0), any::<f64>()])
}

fn any_merchant() -> impl Strategy<Value = JsonRow> {
    let city = prop::option::of(prop_oneof![Just("Paris".to_owned()), ".{0,5}"]);
    let series = prop::collection::vec(prop_oneof![20 => 0.0..1e6, 1 => any::<f64>()], 0..8);
    (city, any_number(), any_number(), series).prop_map(|(city, rating, shelf_life, series)| {
        let mut row = JsonRow::default();
        row.set("city", city.map_or(Owned::Absent, Owned::Category));
        row.set("rating", rating.map_or(Owned::Absent, Owned::Number));
        row.set("daily_gmv", Owned::Numbers(series));
        row.extra.extend(shelf_life.map(|life| ("shelf_life".to_owned(), Owned::Number(life))));
        row
    })
}

proptest! {
    #[test]
    fn faulty_rows_leave_no_trace_among_the_others(merchants in prop::collection::vec(any_merchant(), 1..12)) {
        let encoder = encoder(&fixture::gmv());
        let mut mixed = encoder.empty_rows(merchants.len());
        let mut alone = encoder.empty_rows(merchants.len());
        let mut scratch = Scratch::default();
        for merchant in &merchants {
            let mut one = encoder.empty_rows(1);
            let found = encoder.encode(merchant, AS_OF, &mut scratch, &mut mixed);
            match (found, encoder.encode(merchant, AS_OF, &mut Scratch::default(), &mut one)) {
                (Ok(_), Ok(_)) => alone.append(&one).unwrap(),
                (found, alone) => prop_assert_eq!(found, alone),
            }
            prop_assert_eq!(&mixed, &alone);
        }
    }

    #[test]
    fn what_is_encoded_has_the_manifests_shape_and_ids_within_bounds(merchant in any_merchant()) {
        let (manifest, encoder) = (fixture::parsed(&fixture::gmv()).unwrap(), encoder(&fixture::gmv()));
        let mut rows = encoder.empty_rows(1);
        if encoder.encode(&merchant, AS_OF, &mut Scratch::default(), &mut rows).is_err() {
            return Ok(());
        }
        for (column, input) in rows.columns().iter().zip(&manifest.inputs) {
            prop_assert_eq!(Some(column.values.len()), input.width());
            if let Values::F32(values) = &column.values {
                prop_assert!(values.iter().all(|value| value.is_finite()));
            }
        }
        for bound in encoder.id_bounds() {
            let Values::I64(ids) = &rows.columns()[bound.input].values else { panic!("ids are integers") };
            prop_assert!(ids[bound.columns].iter().all(|id| (0..bound.below).contains(id)));
        }
    }
}
