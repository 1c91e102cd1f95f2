//! What the encoder asks of a row, whatever it came from.
//!
//! The implementations for protobuf messages are generated from the descriptor
//! (see `build.rs`); this file does not know protobuf.

/// Most elements of a list, most events of a row and most features in `extra`: a
/// hundred times what models read, and little enough that looking at all of them
/// takes a few milliseconds.
pub const MOST_ELEMENTS: usize = 16_384;

/// What a field can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A number.
    Number,
    /// A category.
    Category,
    /// A moment; as a feature the days from it to the end of `as_of`.
    Time,
    /// A series of numbers.
    Numbers,
    /// A series of categories.
    Categories,
    /// A series of moments.
    Times,
}

/// A typed field of a row, or a column of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The feature's name: `rating`, or `events.price` for a column.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
}

/// The value of one field or of one feature in `extra`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Not sent, or sent empty.
    Absent,
    /// A number.
    Number(f64),
    /// A category.
    Category(&'a str),
    /// A moment, in seconds since 1970-01-01T00:00Z.
    Time(f64),
    /// A series of numbers, newest last.
    Numbers(&'a [f64]),
    /// A series of categories, newest last; an empty one is unknown.
    Categories(&'a [&'a str]),
    /// A series of moments, newest last; NaN where an element has none.
    Times(&'a [f64]),
}

/// Something that a row repeats more often than anybody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// The field, e.g. `events`.
    pub field: &'static str,
    /// What there is too much of, e.g. `elements`.
    pub what: &'static str,
    /// How many were sent.
    pub found: usize,
    /// How many may be.
    pub most: usize,
}

/// One entity to encode.
pub trait Row {
    /// The typed fields, in an order that never changes within a process. The
    /// columns of a table are called `table.column`.
    fn fields() -> &'static [Field]
    where
        Self: Sized;

    /// Appends the values of all typed fields, in the order of [`Row::fields`].
    fn values<'r>(&'r self, into: &mut Vec<Value<'r>>);

    /// The name and value of a feature in `extra`, counted from 0 in the order
    /// sent; `None` past the last. Of a name that was sent twice the last value
    /// counts.
    fn extra(&self, index: usize) -> Option<(&str, Value<'_>)>;

    /// What was sent too often, and so was not kept. Such a row is refused.
    fn excess(&self) -> Vec<Excess>;
}
