//! Lists, whatever holds them: a repeated field, `extra`, or a column of events.

use super::calendar::AsOf;
use super::row::Value;

/// A list of numbers, newest last.
#[derive(Clone, Copy)]
pub(super) struct NumberSeries<'a> {
    value: Value<'a>,
    as_of: AsOf,
}

/// A list of categories, newest last.
#[derive(Clone, Copy)]
pub(super) struct CategorySeries<'a>(pub(super) Value<'a>);

impl<'a> NumberSeries<'a> {
    pub(super) fn new(value: Value<'a>, as_of: AsOf) -> Self {
        Self { value, as_of }
    }

    /// `None` where this element has no number.
    pub(super) fn get(self, index: usize) -> Option<f64> {
        match self.value {
            Value::Numbers(numbers) => numbers.get(index).copied(),
            Value::Column(table, column) => number(table.cell(index, column), self.as_of),
            _ => None,
        }
    }
}

impl<'a> CategorySeries<'a> {
    /// The empty string where this element has no category.
    pub(super) fn get(self, index: usize) -> &'a str {
        match self.0 {
            Value::Categories(categories) => categories.get(index).map(String::as_str).unwrap_or_default(),
            Value::Column(table, column) => match table.cell(index, column) {
                Value::Category(category) => category,
                _ => "",
            },
            _ => "",
        }
    }
}

/// How many elements a list has; 0 for anything else.
pub(super) fn len(value: Value<'_>) -> usize {
    match value {
        Value::Numbers(numbers) => numbers.len(),
        Value::Categories(categories) => categories.len(),
        Value::Column(table, _) => table.len(),
        Value::Absent | Value::Number(_) | Value::Category(_) | Value::Time(_) => 0,
    }
}

/// The number that a single value is; `None` for anything else.
pub(super) fn number(value: Value<'_>, as_of: AsOf) -> Option<f64> {
    match value {
        Value::Number(number) => Some(number),
        Value::Time(seconds) => Some(as_of.days_since(seconds)),
        _ => None,
    }
}

/// What is empty counts as absent.
pub(super) fn or_absent(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Category("") => Value::Absent,
        Value::Numbers(_) | Value::Categories(_) | Value::Column(..) if len(value) == 0 => Value::Absent,
        other => other,
    }
}
