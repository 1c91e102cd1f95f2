//! The place of one feature in one input: one column, or all of them for a list.

use super::calendar::AsOf;
use super::category::CategoryIds;
use super::number::{NumberIds, Scale};
use super::row::Value;
use super::series::{self, CategorySeries, NumberSeries};
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
        let numbers = NumberSeries::new(value, as_of);
        let single = || series::number(value, as_of);
        match (&self.rule, self.list, into) {
            (Rule::Dense(scale), None, Values::F32(into)) => into.push(single().map_or(0.0, |x| scale.apply(x))),
            (Rule::Dense(scale), Some(max_len), Values::F32(into)) => {
                pad(into, max_len, value, |index| numbers.get(index).map_or(0.0, |x| scale.apply(x)));
            }
            (Rule::NumberIds(ids), None, Values::I64(into)) => into.push(single().map_or(0, |x| ids.id(x))),
            (Rule::NumberIds(ids), Some(max_len), Values::I64(into)) => {
                pad(into, max_len, value, |index| numbers.get(index).map_or(0, |x| ids.id(x)));
            }
            (Rule::CategoryIds(ids), None, Values::I64(into)) => into.push(match value {
                Value::Category(category) => ids.id(category),
                _ => 0,
            }),
            (Rule::CategoryIds(ids), Some(max_len), Values::I64(into)) => {
                let categories = CategorySeries(value);
                pad(into, max_len, value, |index| ids.id(categories.get(index)));
            }
            (Rule::Dense(_) | Rule::NumberIds(_) | Rule::CategoryIds(_), _, Values::F32(_) | Values::I64(_)) => {}
        }
    }
}

/// Writes the newest `max_len` elements of `list`, with zeros in front where
/// there are fewer.
fn pad<T: Default + Clone>(into: &mut Vec<T>, max_len: usize, list: Value<'_>, element: impl Fn(usize) -> T) {
    let len = series::len(list);
    let kept = len.min(max_len);
    into.resize(into.len() + (max_len - kept), T::default());
    into.extend((len - kept..len).map(element));
}
