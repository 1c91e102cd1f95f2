//! What a row must not hold. All faults of a row are collected.

use super::calendar::AsOf;
use super::fault::Faults;
use super::number::Limits;
use super::row::{Field, FieldKind, Row, Value};
use super::series::{self, NumberSeries};
use crate::error::shown;
use crate::manifest::Kind;

/// Most elements of a list, and most events of a row: a hundred times what models
/// read, and little enough that looking at all of them takes a few milliseconds.
pub(super) const MOST_ELEMENTS: usize = 16_384;

/// Where a value lies within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A typed field, or `table.column`.
    Field(&'a str),
    /// A feature in `extra`.
    Extra(&'a str),
}

impl<'a> Place<'a> {
    /// The name of the field or feature.
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Field(name) | Self::Extra(name) => name,
        }
    }

    /// The path of the value; of the table for one of its columns.
    pub(super) fn path(self) -> String {
        match self {
            Self::Field(name) => format!("features.{}", name.split_once('.').map_or(name, |(table, _)| table)),
            Self::Extra(name) => format!("features.extra.{}", shown(name)),
        }
    }

    /// The path of one element of a list.
    pub(super) fn element(self, index: usize) -> String {
        match self {
            Self::Field(name) => match name.split_once('.') {
                Some((table, column)) => format!("features.{table}[{index}].{column}"),
                None => format!("features.{name}[{index}]"),
            },
            Self::Extra(name) => format!("features.extra.{}[{index}]", shown(name)),
        }
    }
}

/// Lists that are too long to look at, whoever reads them.
pub(super) fn lengths(row: &dyn Row, fields: &[Field], faults: &mut Faults) {
    let typed = fields.iter().enumerate().map(|(index, field)| (Place::Field(field.name), row.value(index)));
    let extra = row.extra_names().map(|name| (Place::Extra(name), row.extra(name)));
    let mut named = String::new();
    for (place, value) in typed.chain(extra) {
        let found = series::len(value);
        // The columns of a table are as long as the table: it is named once.
        if found > MOST_ELEMENTS && place.path() != named {
            named = place.path();
            faults.invalid(|| place.path(), || format!("has {found} elements, wanted at most {MOST_ELEMENTS}"));
        }
    }
}

/// Non-finite numbers in typed fields, those included that the version does not
/// read: a NaN is a mistake of the caller that another version would choke on.
pub(super) fn finite_fields(row: &dyn Row, fields: &[Field], as_of: AsOf, faults: &mut Faults) {
    for (index, field) in fields.iter().enumerate() {
        match field.kind {
            FieldKind::Category | FieldKind::Categories => {}
            FieldKind::Number | FieldKind::Time | FieldKind::Numbers | FieldKind::Times => {
                finite(row.value(index), Place::Field(field.name), as_of, faults);
            }
        }
    }
}

/// Non-finite numbers in one value.
pub(super) fn finite(value: Value<'_>, place: Place<'_>, as_of: AsOf, faults: &mut Faults) {
    if let Some(number) = series::number(value, as_of)
        && !number.is_finite()
    {
        faults.invalid(|| place.path(), || not_finite(number));
    }
    let numbers = NumberSeries::new(value, as_of);
    for index in 0..series::len(value) {
        match numbers.get(index) {
            Some(number) if !number.is_finite() => faults.invalid(|| place.element(index), || not_finite(number)),
            Some(_) | None => {}
        }
    }
}

/// Numbers that the feature does not take, and elements of a list that have
/// none. Non-finite numbers are passed over: [`finite`] names them.
pub(super) fn limits(value: Value<'_>, limits: &Limits, place: Place<'_>, as_of: AsOf, faults: &mut Faults) {
    let refusal = |number: f64| if number.is_finite() { limits.refusal(number) } else { None };
    if let Some(why) = series::number(value, as_of).and_then(refusal) {
        faults.invalid(|| place.path(), || why);
    }
    let numbers = NumberSeries::new(value, as_of);
    for index in 0..series::len(value) {
        let why = match numbers.get(index) {
            Some(number) => refusal(number),
            None => Some("is missing, and the version reads it".to_owned()),
        };
        if let Some(why) = why {
            faults.invalid(|| place.element(index), || why);
        }
    }
}

/// Whether a feature of this kind can be read from the value.
pub(super) fn fits(kind: Kind, value: Value<'_>) -> bool {
    match value {
        Value::Absent => true,
        Value::Number(_) | Value::Time(_) => matches!(kind, Kind::Number | Kind::Calendar),
        Value::Category(_) => kind == Kind::Category,
        Value::Numbers(_) => kind == Kind::NumberList,
        Value::Categories(_) => kind == Kind::CategoryList,
        Value::Column(..) => kind.is_list(),
    }
}

/// What a value is called where it doesn't fit.
pub(super) fn kind_of(value: Value<'_>) -> &'static str {
    match value {
        Value::Absent => "nothing",
        Value::Number(_) => "number",
        Value::Category(_) => "category",
        Value::Time(_) => "moment",
        Value::Numbers(_) => "number_list",
        Value::Categories(_) => "category_list",
        Value::Column(..) => "column of events",
    }
}

fn not_finite(number: f64) -> String {
    format!("is {number}, wanted a finite number")
}
