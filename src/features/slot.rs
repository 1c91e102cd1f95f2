//! The place of one feature in one input: one column, or all of them for a list.

use super::calendar::AsOf;
use super::category::CategoryIds;
use super::number::{NumberIds, Scale};
use super::row::Value;
use super::series;
use crate::rows::Values;

/// How one feature fills its place in an input.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// Position of the feature in the manifest.
    pub(super) feature: usize,
    rule: Rule,
    /// The `max_len` of a list; `None` for a single value.
    list: Option<usize>,
    /// What stands in for an absent value, already encoded.
    default: Values,
}

/// How a value, or each element of a list, becomes a number of the tensor.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// Numbers into floats.
    Dense(Scale),
    /// Numbers into ids.
    NumberIds(NumberIds),
    /// Categories into ids.
    CategoryIds(CategoryIds),
}

impl Slot {
    /// `default` is encoded as if it had been sent.
    pub(super) fn new(feature: usize, rule: Rule, list: Option<usize>, default: Value<'_>) -> Self {
        let mut encoded = match rule {
            Rule::Dense(_) => Values::F32(Vec::new()),
            Rule::NumberIds(_) | Rule::CategoryIds(_) => Values::I64(Vec::new()),
        };
        let mut slot = Self { feature, rule, list, default: Values::F32(Vec::new()) };
        // Defaults are numbers and categories, never moments: the day is not looked at.
        slot.write(series::or_absent(default), AsOf::new(jiff::civil::Date::constant(1970, 1, 1)), &mut encoded);
        slot.default = encoded;
        slot
    }

    /// How many of the input's values per row it fills.
    pub(super) fn width(&self) -> usize {
        self.list.unwrap_or(1)
    }

    /// Every id that it writes is from 0 and below this; `None` for floats.
    pub(super) fn below(&self) -> Option<i64> {
        match &self.rule {
            Rule::Dense(_) => None,
            Rule::NumberIds(ids) => Some(ids.below()),
            Rule::CategoryIds(ids) => Some(ids.below()),
        }
    }

    /// Writes the default where the value is absent.
    pub(super) fn fill(&self, value: Value<'_>, as_of: AsOf, into: &mut Values) {
        match (value, &self.default, into) {
            (Value::Absent, Values::F32(default), Values::F32(into)) => into.extend_from_slice(default),
            (Value::Absent, Values::I64(default), Values::I64(into)) => into.extend_from_slice(default),
            (_, _, into) => self.write(value, as_of, into),
        }
    }

    /// Writes nothing where `into` is of the wrong type: the rows are then found
    /// to be ragged.
    fn write(&self, value: Value<'_>, as_of: AsOf, into: &mut Values) {
        match (self.list, into) {
            (None, Values::F32(into)) => self.write_float(series::number(value, as_of), into),
            (None, Values::I64(into)) => self.write_id(value, as_of, into),
            (Some(max_len), Values::F32(into)) => self.write_floats(value, max_len, as_of, into),
            (Some(max_len), Values::I64(into)) => self.write_ids(value, max_len, as_of, into),
            (_, Values::Raw { .. }) => {}
        }
    }

    fn write_float(&self, number: Option<f64>, into: &mut Vec<f32>) {
        if let Rule::Dense(scale) = &self.rule {
            into.push(number.map_or(0.0, |number| scale.apply(number)));
        }
    }

    fn write_id(&self, value: Value<'_>, as_of: AsOf, into: &mut Vec<i64>) {
        into.push(match (&self.rule, value) {
            (Rule::Dense(_), _) => return,
            (Rule::NumberIds(ids), _) => series::number(value, as_of).map_or(0, |number| ids.id(number)),
            (Rule::CategoryIds(ids), Value::Category(category)) => ids.id(category),
            (Rule::CategoryIds(_), _) => 0,
        });
    }

    fn write_floats(&self, value: Value<'_>, max_len: usize, as_of: AsOf, into: &mut Vec<f32>) {
        let Rule::Dense(scale) = &self.rule else { return };
        match value {
            Value::Numbers(numbers) => {
                let newest = padded(numbers, max_len, into);
                scale.extend(newest.iter().copied(), into);
            }
            // Moments that are missing were refused.
            Value::Times(times) => {
                let newest = padded(times, max_len, into);
                scale.extend(newest.iter().map(|seconds| as_of.days_since(*seconds)), into);
            }
            _ => into.resize(into.len() + max_len, 0.0),
        }
    }

    fn write_ids(&self, value: Value<'_>, max_len: usize, as_of: AsOf, into: &mut Vec<i64>) {
        match (&self.rule, value) {
            (Rule::Dense(_), _) => {}
            (Rule::NumberIds(ids), Value::Numbers(numbers)) => {
                let newest = padded(numbers, max_len, into);
                into.extend(newest.iter().map(|number| ids.id(*number)));
            }
            (Rule::NumberIds(ids), Value::Times(times)) => {
                let newest = padded(times, max_len, into);
                into.extend(newest.iter().map(|seconds| ids.id(as_of.days_since(*seconds))));
            }
            (Rule::CategoryIds(ids), Value::Categories(categories)) => {
                let newest = padded(categories, max_len, into);
                into.extend(newest.iter().map(|category| ids.id(category)));
            }
            (Rule::NumberIds(_) | Rule::CategoryIds(_), _) => into.resize(into.len() + max_len, 0),
        }
    }
}

/// Writes the zeros in front of a list that is shorter than `max_len`; the
/// elements that follow them, the newest.
fn padded<'l, E, T: Default + Clone>(list: &'l [E], max_len: usize, into: &mut Vec<T>) -> &'l [E] {
    let newest = list.get(list.len().saturating_sub(max_len)..).unwrap_or_default();
    into.resize(into.len() + (max_len - newest.len()), T::default());
    newest
}
