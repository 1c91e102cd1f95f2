//! Single values and lists, whatever they hold.

use super::calendar::AsOf;
use super::row::Value;

/// How many elements a list has; 0 for anything else.
pub(super) fn len(value: Value<'_>) -> usize {
    match value {
        Value::Numbers(numbers) | Value::Times(numbers) => numbers.len(),
        Value::Categories(categories) => categories.len(),
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

/// The number that an element of a list is; `None` where it has none.
pub(super) fn element(value: Value<'_>, index: usize, as_of: AsOf) -> Option<f64> {
    match value {
        Value::Numbers(numbers) => numbers.get(index).copied(),
        Value::Times(times) => times.get(index).filter(|seconds| !seconds.is_nan()).map(|at| as_of.days_since(*at)),
        _ => None,
    }
}

/// Whether `holds` of the number that the value is, or of all that it lists;
/// moments that are missing are NaN. Looks at all numbers of a list in any case:
/// such a loop is done several numbers at a time.
pub(super) fn all(value: Value<'_>, as_of: AsOf, holds: impl Fn(f64) -> bool) -> bool {
    match value {
        Value::Number(number) => holds(number),
        Value::Time(seconds) => holds(as_of.days_since(seconds)),
        Value::Numbers(numbers) => numbers.iter().fold(true, |all, number| all & holds(*number)),
        Value::Times(times) => times.iter().fold(true, |all, seconds| all & holds(as_of.days_since(*seconds))),
        Value::Absent | Value::Category(_) | Value::Categories(_) => true,
    }
}

/// What is empty counts as absent.
pub(super) fn or_absent(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Category("") | Value::Numbers([]) | Value::Categories([]) | Value::Times([]) => Value::Absent,
        other => other,
    }
}
