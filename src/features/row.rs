//! What the encoder asks of a row, whatever it came from.
//!
//! The implementations for protobuf messages are generated from the descriptor
//! (see `build.rs`); this file does not know protobuf.

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
#[derive(Clone, Copy)]
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
    /// A series of categories, newest last.
    Categories(&'a [String]),
    /// One column of a table: a series of whatever the column holds.
    Column(&'a dyn Table, usize),
}

/// Rows within a row, such as the events of a user; newest last.
pub trait Table {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value in `column` (its position among the table's fields) of `row`.
    /// `Absent` outside, and for an empty string.
    fn cell(&self, row: usize, column: usize) -> Value<'_>;
}

/// One entity to encode.
pub trait Row {
    /// The typed fields, in an order that never changes within a process.
    fn fields() -> &'static [Field]
    where
        Self: Sized;

    /// The value of the field at this position of [`Row::fields`].
    fn value(&self, field: usize) -> Value<'_>;

    /// The value of a feature in `extra`.
    fn extra(&self, name: &str) -> Value<'_>;

    /// The names of the features in `extra`.
    fn extra_names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
}
