//! Rows for tests: protobuf's JSON form, read without protobuf.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::row::{Field, FieldKind, Row, Table, Value};

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
    fields: BTreeMap<usize, Owned>,
    pub(crate) extra: BTreeMap<String, Owned>,
    pub(crate) events: Vec<Vec<Owned>>,
    first_column: Option<usize>,
}

/// A value that owns what [`Value`] borrows.
#[derive(Debug, Clone)]
pub(crate) enum Owned {
    Absent,
    Number(f64),
    Category(String),
    Time(f64),
    Numbers(Vec<f64>),
    Categories(Vec<String>),
}

impl JsonRow {
    /// `row` is a `Merchant` or a `User`.
    pub(crate) fn new(row: &Json, fields: &[Field]) -> Self {
        let features = &row["features"];
        let typed = fields.iter().enumerate().map(|(index, field)| (index, owned(field.kind, &features[field.name])));
        let first_column = fields.iter().position(|field| field.name.starts_with("events."));
        let columns = first_column.and_then(|first| fields.get(first..)).unwrap_or_default();
        Self {
            fields: typed.collect(),
            extra: features["extra"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), extra(v))).collect(),
            events: list(&features["events"], |event| columns.iter().map(|field| cell(field, event)).collect()),
            first_column,
        }
    }

    /// Sets a typed field of a merchant, also to what JSON can't hold.
    pub(crate) fn set(&mut self, name: &str, value: Owned) {
        let field = MERCHANT.iter().position(|field| field.name == name).unwrap();
        self.fields.insert(field, value);
    }
}

impl Row for JsonRow {
    fn fields() -> &'static [Field] {
        MERCHANT
    }

    fn value(&self, field: usize) -> Value<'_> {
        match self.first_column {
            Some(first) if field >= first => Value::Column(&self.events, field - first),
            _ => self.fields.get(&field).map_or(Value::Absent, Owned::borrowed),
        }
    }

    fn extra(&self, name: &str) -> Value<'_> {
        self.extra.get(name).map_or(Value::Absent, Owned::borrowed)
    }

    fn extra_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.extra.keys().map(String::as_str))
    }
}

impl Table for Vec<Vec<Owned>> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn cell(&self, row: usize, column: usize) -> Value<'_> {
        self.get(row).and_then(|row| row.get(column)).map_or(Value::Absent, Owned::borrowed)
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
        }
    }
}

fn owned(kind: FieldKind, json: &Json) -> Owned {
    match (kind, json) {
        (_, Json::Null) => Owned::Absent,
        (FieldKind::Number, _) => Owned::Number(json.as_f64().unwrap()),
        (FieldKind::Category, _) => Owned::Category(json.as_str().unwrap().to_owned()),
        (FieldKind::Time, _) => {
            let time: jiff::Timestamp = json.as_str().unwrap().parse().unwrap();
            Owned::Time(time.as_second() as f64 + f64::from(time.subsec_nanosecond()) / 1e9)
        }
        (FieldKind::Numbers, _) => Owned::Numbers(list(json, |item| item.as_f64().unwrap())),
        (FieldKind::Categories, _) => Owned::Categories(list(json, |item| item.as_str().unwrap().to_owned())),
        (FieldKind::Times, _) => Owned::Absent,
    }
}

fn extra(json: &Json) -> Owned {
    let set = |kind, key| json.get(key).map(|found| owned(kind, found.get("values").unwrap_or(found)));
    set(FieldKind::Number, "number")
        .or_else(|| set(FieldKind::Category, "category"))
        .or_else(|| set(FieldKind::Numbers, "numbers"))
        .or_else(|| set(FieldKind::Categories, "categories"))
        .unwrap_or(Owned::Absent)
}

/// A field of an event; protobuf's own defaults where it is not set.
fn cell(field: &Field, event: &Json) -> Owned {
    let json = &event[field.name.trim_start_matches("events.")];
    match (field.kind, json) {
        (FieldKind::Numbers, Json::Null) => Owned::Number(0.0),
        (FieldKind::Numbers, _) => owned(FieldKind::Number, json),
        (FieldKind::Times, _) => owned(FieldKind::Time, json),
        _ => owned(FieldKind::Category, json),
    }
}

fn list<T>(json: &Json, item: impl Fn(&Json) -> T) -> Vec<T> {
    json.as_array().into_iter().flatten().map(item).collect()
}

const fn field(name: &'static str, kind: FieldKind) -> Field {
    Field { name, kind }
}
