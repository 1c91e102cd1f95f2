//! The generated messages and services, their descriptors, and how typed
//! fields read as features.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]
#![allow(clippy::all, clippy::indexing_slicing, reason = "generated code")]

use std::collections::BTreeMap;

use prost_types::Timestamp;

use crate::features::row::{Field, FieldKind, Row, Table, Value};

/// All messages and services of `souk.v1`.
pub mod v1 {
    tonic::include_proto!("souk.v1");
}

use v1::{Behaviour, FeatureValue, MerchantFeatures, UserFeatures, feature_value::Kind};

/// The serialised `FileDescriptorSet`, for reflection and for JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/souk_descriptor.bin"));

include!(concat!(env!("OUT_DIR"), "/features.rs"));

fn number(value: Option<f64>) -> Value<'static> {
    value.map_or(Value::Absent, Value::Number)
}

fn category(value: Option<&str>) -> Value<'_> {
    value.filter(|value| !value.is_empty()).map_or(Value::Absent, Value::Category)
}

fn time(value: Option<&Timestamp>) -> Value<'static> {
    value.map_or(Value::Absent, |at| Value::Time(at.seconds as f64 + f64::from(at.nanos) * 1e-9))
}

fn numbers(values: &[f64]) -> Value<'_> {
    if values.is_empty() { Value::Absent } else { Value::Numbers(values) }
}

fn categories(values: &[String]) -> Value<'_> {
    if values.is_empty() { Value::Absent } else { Value::Categories(values) }
}

fn column<T: Table>(table: &T, column: usize) -> Value<'_> {
    if table.len() == 0 { Value::Absent } else { Value::Column(table, column) }
}

fn extra<'a>(values: &'a BTreeMap<String, FeatureValue>, name: &str) -> Value<'a> {
    match values.get(name).and_then(|value| value.kind.as_ref()) {
        None => Value::Absent,
        Some(Kind::Number(value)) => Value::Number(*value),
        Some(Kind::Category(value)) => category(Some(value)),
        Some(Kind::Numbers(list)) => numbers(&list.values),
        Some(Kind::Categories(list)) => categories(&list.values),
    }
}

fn extra_names(values: &BTreeMap<String, FeatureValue>) -> Box<dyn Iterator<Item = &str> + '_> {
    Box::new(values.keys().map(String::as_str))
}
