//! Memory for the values of one row, used again for the next.

use super::row::Value;

/// Memory that encoding a row needs, kept from row to row.
#[derive(Debug, Default)]
pub struct Scratch(Found<'static>);

/// The values of one row.
#[derive(Debug, Default)]
pub(super) struct Found<'r> {
    /// Of the typed fields, as [`super::row::Row::values`] tells them.
    pub(super) fields: Vec<Value<'r>>,
    /// Of the version's features, in the manifest's order.
    pub(super) features: Vec<Value<'r>>,
}

impl Scratch {
    /// Empty, for a row of any lifetime.
    pub(super) fn take<'r>(&mut self) -> Found<'r> {
        std::mem::take(&mut self.0)
    }

    /// Keeps the memory, and nothing of the row.
    pub(super) fn put_back(&mut self, Found { fields, features }: Found<'_>) {
        self.0 = Found { fields: emptied(fields), features: emptied(features) };
    }
}

/// The same memory, which collecting keeps where the elements are of one size.
fn emptied(mut values: Vec<Value<'_>>) -> Vec<Value<'static>> {
    values.clear();
    values.into_iter().map(|_| Value::Absent).collect()
}
