//! Rows for tests: protobuf's JSON form, read without protobuf.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::row::{Excess, Field, FieldKind, Row, Value};

/// The fields of `MerchantFeatures`.
pub(crate) const MERCHANT: &[Field] = &[
    field("country", FieldKind::Category),
    field("city", FieldKind::Category),
    field("area", FieldKind::Category),
    field("category_l1", FieldKind::Category),
    field("category_l2", FieldKind::Category),
    field("category_l3", FieldKind::Category),
    field("tenure_days", FieldKind::Number),
    field("shop_level", FieldKind::Number),
    field("average_basket", FieldKind::Number),
    field("rating", FieldKind::Number),
    field("review_count", FieldKind::Number),
    field("active_products", FieldKind::Number),
    field("fulfilment_rate", FieldKind::Number),
    field("refund_rate", FieldKind::Number),
    field("late_delivery_rate", FieldKind::Number),
    field("daily_gmv", FieldKind::Numbers),
    field("daily_orders", FieldKind::Numbers),
    field("live_sessions", FieldKind::Number),
    field("live_viewers", FieldKind::Number),
    field("short_videos", FieldKind::Number),
    field("short_video_views", FieldKind::Number),
    field("page_views", FieldKind::Number),
    field("unique_visitors", FieldKind::Number),
    field("conversion_rate", FieldKind::Number),
];

/// The fields of `UserFeatures`.
pub(crate) const USER: &[Field] = &[
    field("country", FieldKind::Category),
    field("city", FieldKind::Category),
    field("device", FieldKind::Category),
    field("tenure_days", FieldKind::Number),
    field("coupons_redeemed", FieldKind::Number),
    field("campaigns_received", FieldKind::Number),
    field("events.time", FieldKind::Times),
    field("events.action", FieldKind::Categories),
    field("events.item", FieldKind::Categories),
    field("events.category", FieldKind::Categories),
    field("events.department", FieldKind::Categories),
    field("events.brand", FieldKind::Categories),
    field("events.price", FieldKind::Numbers),
    field("events.quantity", FieldKind::Numbers),
    field("events.discount", FieldKind::Numbers),
    field("events.store", FieldKind::Categories),
];

/// A row made from the `features` of JSON, or by hand.
#[derive(Debug, Default)]
pub(crate) struct JsonRow {
    /// One for each typed field, or none at all.
    fields: Vec<Owned>,
    pub(crate) extra: BTreeMap<String, Owned>,
    pub(crate) excess: Vec<Excess>,
}

/// A value that owns what [`Value`] borrows.
#[derive(Debug, Clone)]
pub(crate) enum Owned {
    Absent,
    Number(f64),
    Category(String),
    Time(f64),
    Numbers(Vec<f64>),
    /// Leaked, since a test ends soon.
    Categories(Vec<&'static str>),
    Times(Vec<f64>),
}

impl JsonRow {
    /// `row` is a `Merchant` or a `User`.
    pub(crate) fn new(row: &Json, fields: &[Field]) -> Self {
        let features = &row["features"];
        let typed = fields.iter().map(|field| match field.name.split_once('.') {
            Some((table, column)) => cells(field.kind, column, &features[table]),
            None => owned(field.kind, &features[field.name]),
        });
        Self {
            fields: typed.collect(),
            extra: features["extra"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), extra(v))).collect(),
            excess: Vec::new(),
        }
    }

    /// Sets a typed field of a merchant, also to what JSON can't hold.
    pub(crate) fn set(&mut self, name: &str, value: Owned) {
        *self.field(MERCHANT, name) = value;
    }

    /// Of a row with such fields the one of this name.
    pub(crate) fn field(&mut self, fields: &[Field], name: &str) -> &mut Owned {
        self.fields.resize(fields.len(), Owned::Absent);
        &mut self.fields[fields.iter().position(|field| field.name == name).unwrap()]
    }
}

impl Row for JsonRow {
    fn fields() -> &'static [Field] {
        MERCHANT
    }

    fn values<'r>(&'r self, into: &mut Vec<Value<'r>>) {
        into.extend(self.fields.iter().map(Owned::borrowed));
    }

    fn extra(&self, index: usize) -> Option<(&str, Value<'_>)> {
        self.extra.iter().nth(index).map(|(name, value)| (name.as_str(), value.borrowed()))
    }

    fn excess(&self) -> Vec<Excess> {
        self.excess.clone()
    }
}

impl Owned {
    fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Absent => Value::Absent,
            Self::Number(number) => Value::Number(*number),
            Self::Category(category) => Value::Category(category),
            Self::Time(seconds) => Value::Time(*seconds),
            Self::Numbers(numbers) => Value::Numbers(numbers),
            Self::Categories(categories) => Value::Categories(categories),
            Self::Times(times) => Value::Times(times),
        }
    }
}

fn owned(kind: FieldKind, json: &Json) -> Owned {
    match (kind, json) {
        (_, Json::Null) => Owned::Absent,
        (FieldKind::Number, _) => Owned::Number(json.as_f64().unwrap()),
        (FieldKind::Category, _) => Owned::Category(json.as_str().unwrap().to_owned()),
        (FieldKind::Time, _) => Owned::Time(seconds(json)),
        (FieldKind::Numbers, _) => Owned::Numbers(list(json, |item| item.as_f64().unwrap())),
        (FieldKind::Categories, _) => Owned::Categories(list(json, word)),
        (FieldKind::Times, _) => Owned::Times(list(json, seconds)),
    }
}

fn seconds(json: &Json) -> f64 {
    let time: jiff::Timestamp = json.as_str().unwrap().parse().unwrap();
    time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9
}

fn word(json: &Json) -> &'static str {
    json.as_str().unwrap().to_owned().leak()
}

fn extra(json: &Json) -> Owned {
    let set = |kind, key| json.get(key).map(|found| owned(kind, found.get("values").unwrap_or(found)));
    set(FieldKind::Number, "number")
        .or_else(|| set(FieldKind::Category, "category"))
        .or_else(|| set(FieldKind::Numbers, "numbers"))
        .or_else(|| set(FieldKind::Categories, "categories"))
        .unwrap_or(Owned::Absent)
}

/// A field of all events; protobuf's own defaults where it is not set.
fn cells(kind: FieldKind, column: &str, events: &Json) -> Owned {
    let cell = |event: &Json| event.get(column).filter(|cell| !cell.is_null()).cloned();
    match kind {
        FieldKind::Numbers => {
            Owned::Numbers(list(events, |event| cell(event).map_or(0.0, |cell| cell.as_f64().unwrap())))
        }
        FieldKind::Times => Owned::Times(list(events, |event| cell(event).map_or(f64::NAN, |cell| seconds(&cell)))),
        _ => Owned::Categories(list(events, |event| cell(event).map_or("", |cell| word(&cell)))),
    }
}

fn list<T>(json: &Json, item: impl Fn(&Json) -> T) -> Vec<T> {
    json.as_array().into_iter().flatten().map(item).collect()
}

const fn field(name: &'static str, kind: FieldKind) -> Field {
    Field { name, kind }
}
