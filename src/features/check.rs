//! What a row must not hold. All faults of a row are collected.

use super::calendar::AsOf;
use super::fault::Faults;
use super::number::Limits;
use super::row::{Excess, MOST_ELEMENTS, Value};
use super::series;
use crate::error::shown;
use crate::manifest::Kind;

/// Where a value lies within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A typed field, or `table.column`.
    Field(&'a str),
    /// A feature in `extra`.
    Extra(&'a str),
}

impl Place<'_> {
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

/// What is too much or too long to look at, whoever reads it.
pub(super) fn lengths<'a>(
    excess: &[Excess],
    placed: impl Iterator<Item = (Place<'a>, Value<'a>)>,
    faults: &mut Faults,
) {
    for Excess { field, what, found, most } in excess {
        faults.invalid(|| Place::Field(field).path(), || format!("has {found} {what}, wanted at most {most}"));
    }
    for (place, found) in placed.map(|(place, value)| (place, series::len(value))) {
        if found > MOST_ELEMENTS {
            faults.invalid(|| place.path(), || format!("has {found} elements, wanted at most {MOST_ELEMENTS}"));
        }
    }
}

/// Whether a value holds no number that is not finite, and is no list that is
/// too long to look at.
pub(super) fn is_sound(value: Value<'_>) -> bool {
    let finite = match value {
        Value::Number(number) => number.is_finite(),
        Value::Numbers(numbers) => numbers.iter().fold(true, |all, number| all & number.is_finite()),
        _ => true,
    };
    finite && series::len(value) <= MOST_ELEMENTS
}

/// Names the non-finite numbers in one value.
pub(super) fn finite(value: Value<'_>, place: Place<'_>, as_of: AsOf, faults: &mut Faults) {
    if let Some(number) = series::number(value, as_of)
        && !number.is_finite()
    {
        faults.invalid(|| place.path(), || not_finite(number));
    }
    for index in 0..series::len(value) {
        match series::element(value, index, as_of) {
            Some(number) if !number.is_finite() => faults.invalid(|| place.element(index), || not_finite(number)),
            Some(_) | None => {}
        }
    }
}

/// Numbers that the feature does not take, and elements of a list that have
/// none. Non-finite numbers are passed over: [`finite`] names them.
pub(super) fn limits(value: Value<'_>, limits: &Limits, place: Place<'_>, as_of: AsOf, faults: &mut Faults) {
    if limits.take(value, as_of) {
        return;
    }
    let refusal = |number: f64| if number.is_finite() { limits.refusal(number) } else { None };
    if let Some(why) = series::number(value, as_of).and_then(refusal) {
        faults.invalid(|| place.path(), || why);
    }
    for index in 0..series::len(value) {
        let why = match series::element(value, index, as_of) {
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
        Value::Numbers(_) | Value::Times(_) => kind == Kind::NumberList,
        Value::Categories(_) => kind == Kind::CategoryList,
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
        Value::Times(_) => "list of moments",
    }
}

fn not_finite(number: f64) -> String {
    format!("is {number}, wanted a finite number")
}
