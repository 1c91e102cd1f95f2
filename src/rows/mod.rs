//! Encoded rows on their way to a model, and the outputs on their way back.
//!
//! Plain vectors: tensors of libtorch never leave the thread that runs them.
//! It does not know features, protobuf or models.

mod dtype;
mod values;

use std::{num::NonZeroUsize, ops::Range};

use thiserror::Error;

use crate::cost::Cost;

pub use dtype::Dtype;
pub use values::Values;

/// One input or output of some rows: `rows × width` values.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Values of one row: the product of the shape per row.
    pub width: usize,
    /// The sizes that the manifest leaves open, in the order of the shape; empty where
    /// it leaves none.
    pub varying: Vec<usize>,
    /// `rows × width` values, row-major.
    pub values: Values,
}

/// The tensors of some rows, in the order of the manifest's inputs (or outputs).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    len: usize,
    columns: Vec<Column>,
}

/// Columns that don't hold the same number of rows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column} holds {found} values, wanted {rows} rows of {width}")]
pub struct Ragged {
    /// Position of the column.
    pub column: usize,
    /// Values that it holds.
    pub found: usize,
    /// Rows that were wanted.
    pub rows: usize,
    /// Values of one row.
    pub width: usize,
}

impl Column {
    /// A column of rows of one fixed shape.
    pub fn new(width: usize, values: Values) -> Self {
        Self { width, varying: Vec::new(), values }
    }

    /// An empty column of 32-bit floats with room for `rows`.
    pub fn f32(width: usize, rows: usize) -> Self {
        Self::new(width, Values::F32(Vec::with_capacity(width * rows)))
    }

    /// An empty column of 64-bit integers with room for `rows`.
    pub fn i64(width: usize, rows: usize) -> Self {
        Self::new(width, Values::I64(Vec::with_capacity(width * rows)))
    }

    /// Whether the rows of both have the same shape and type.
    pub fn fits(&self, other: &Self) -> bool {
        self.width == other.width && self.varying == other.varying && self.values.dtype() == other.values.dtype()
    }

    /// The values of one row as 64-bit floats, of which integers beyond 2^53 are the
    /// nearest; none where there are fewer rows.
    pub fn row_numbers(&self, row: usize) -> Vec<f64> {
        self.values.numbers(row * self.width..(row + 1) * self.width)
    }

    /// One row as it lies in memory; empty where there are fewer.
    pub fn row_bytes(&self, row: usize) -> &[u8] {
        let size = self.width * self.values.dtype().size();
        self.values.as_bytes().get(row * size..(row + 1) * size).unwrap_or_default()
    }

    /// Whether all floats of a row are numbers, and not infinite.
    pub fn is_finite(&self, row: usize) -> bool {
        self.values.is_finite(row * self.width..(row + 1) * self.width)
    }

    fn with(&self, values: Values) -> Self {
        Self { width: self.width, varying: self.varying.clone(), values }
    }

    /// A column of the same kind without rows, with room for `rows`.
    fn emptied(&self, rows: usize) -> Self {
        self.with(self.values.emptied(rows * self.width))
    }

    /// The floats of one row; empty where the column holds integers, raw elements or
    /// fewer rows.
    pub fn f32_row(&self, row: usize) -> &[f32] {
        match &self.values {
            Values::F32(values) => values.get(row * self.width..(row + 1) * self.width).unwrap_or_default(),
            Values::I64(_) | Values::Raw { .. } => &[],
        }
    }
}

impl Rows {
    /// `len` rows out of full columns.
    ///
    /// # Errors
    ///
    /// [`Ragged`] names the first column that does not hold `len` rows.
    pub fn new(len: usize, columns: Vec<Column>) -> Result<Self, Ragged> {
        match Self::first_ragged(&columns, len) {
            Some(fault) => Err(fault),
            None => Ok(Self { len, columns }),
        }
    }

    /// No rows yet, in empty `columns`.
    pub fn empty(columns: Vec<Column>) -> Self {
        Self { len: 0, columns }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The columns, in the manifest's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns, for who needs nothing else of them.
    pub fn into_columns(self) -> Vec<Column> {
        self.columns
    }

    /// Whether these rows and those of `other` are of the same columns.
    pub fn fits(&self, other: &Self) -> bool {
        let same = |(mine, theirs): (&Column, &Column)| mine.fits(theirs);
        self.columns.len() == other.columns.len() && self.columns.iter().zip(&other.columns).all(same)
    }

    /// Whether all floats of a row are numbers, and not infinite.
    pub fn is_finite(&self, row: usize) -> bool {
        self.columns.iter().all(|column| column.is_finite(row))
    }

    /// Appends one row: `write` pushes exactly `width` values to every column.
    /// Where it fails, or pushed something else, the rows are as before.
    ///
    /// # Errors
    ///
    /// What `write` returned, or `ragged` made into the caller's error.
    pub fn push<T, E>(
        &mut self,
        write: impl FnOnce(&mut [Column]) -> Result<T, E>,
        ragged: impl FnOnce(Ragged) -> E,
    ) -> Result<T, E> {
        let wanted = self.len + 1;
        let written = write(&mut self.columns).and_then(|value| match Self::first_ragged(&self.columns, wanted) {
            Some(fault) => Err(ragged(fault)),
            None => Ok(value),
        });
        match &written {
            Ok(_) => self.len = wanted,
            Err(_) => self.truncate(self.len),
        }
        written
    }

    /// Keeps the first `len` rows.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for column in &mut self.columns {
            column.values.truncate(self.len * column.width);
        }
    }

    /// A copy of the rows in `range`.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let range = range.start.min(self.len)..range.end.min(self.len);
        let columns = self
            .columns
            .iter()
            .map(|column| column.with(column.values.slice(range.start * column.width..range.end * column.width)));
        Self { len: range.len(), columns: columns.collect() }
    }

    /// Appends the rows of `other`, which must have the same columns.
    ///
    /// # Errors
    ///
    /// [`Ragged`] for the first column that differs; the rows are then as before.
    pub fn append(&mut self, other: &Self) -> Result<(), Ragged> {
        let total = self.len + other.len;
        // No rows are of any columns.
        if other.is_empty() {
            return Ok(());
        }
        if self.columns.len() != other.columns.len() {
            let (column, width) = (self.columns.len().min(other.columns.len()), 0);
            return Err(Ragged { column, found: 0, rows: total, width });
        }
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            // What is not appended is found below, by its length.
            if mine.varying == theirs.varying {
                mine.values.extend(&theirs.values);
            }
        }
        if let Some(fault) = Self::first_ragged(&self.columns, total) {
            self.truncate(self.len);
            return Err(fault);
        }
        self.len = total;
        Ok(())
    }

    /// All rows of `parts` in one.
    ///
    /// # Errors
    ///
    /// [`Ragged`] where the parts don't have the same columns.
    pub fn joined(parts: &[&Self]) -> Result<Self, Ragged> {
        let len = parts.iter().map(|part| part.len).sum();
        let Some(first) = parts.first() else { return Ok(Self::default()) };
        let mut whole = Self::empty(first.columns.iter().map(|column| column.emptied(len)).collect());
        parts.iter().try_for_each(|part| whole.append(part))?;
        Ok(whole)
    }

    fn first_ragged(columns: &[Column], rows: usize) -> Option<Ragged> {
        columns
            .iter()
            .enumerate()
            .find(|(_, column)| column.values.len() != rows * column.width)
            .map(|(index, column)| Ragged { column: index, found: column.values.len(), rows, width: column.width })
    }
}

/// A model that turns inputs into outputs, on the thread that calls it.
///
/// The seam between the stack, which decides what runs when, and the engines.
pub trait Forward: Send + Sync {
    /// The model's name and the version's number, for messages.
    fn identity(&self) -> (&str, u64);

    /// Most rows in one pass.
    fn max_batch_rows(&self) -> NonZeroUsize;

    /// What its passes cost, for whoever runs them to learn and to ask.
    fn cost(&self) -> &Cost;

    /// Whether the number of rows tells what a pass costs. Where it does not, such as
    /// where requests choose sizes, or where a pass waits for another thread's, no pass
    /// runs on a thread that reads sockets.
    fn is_predictable(&self) -> bool {
        true
    }

    /// Whether `more` rows may run in one pass with the `first` ones.
    fn fits(&self, first: &Rows, more: &Rows) -> bool {
        first.fits(more)
    }

    /// Whether a row of its outputs is an answer: without NaN and infinities, but where
    /// the model means them.
    fn is_answer(&self, outputs: &Rows, row: usize) -> bool {
        outputs.is_finite(row)
    }

    /// The outputs of all rows of `parts`, one part after the other, as many rows
    /// in the same order. Each part fits the first one.
    ///
    /// # Errors
    ///
    /// [`ForwardError`] where the model raised or answered something else than
    /// its manifest says.
    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError>;
}

/// Why a forward pass gave no outputs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// The model raised: the line of its message that names the error, without
    /// stack traces and listings of code.
    #[error("it raised: {0}")]
    Raised(String),
    /// The parts of a batch don't have the same columns.
    #[error("its inputs don't fit together: {0}")]
    Inputs(#[from] Ragged),
    /// An output is not what the manifest says.
    #[error("output {output} is {found}, wanted {wanted}")]
    Mismatch {
        /// The output's name.
        output: String,
        /// Its dtype and shape.
        found: String,
        /// What the manifest says.
        wanted: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32]) -> Rows {
        let ids = values.iter().map(|value| *value as i64).flat_map(|id| [id, -id]).collect();
        let columns = vec![Column::new(1, Values::F32(values.to_vec())), Column::new(2, Values::I64(ids))];
        Rows::new(values.len(), columns).unwrap()
    }

    #[test]
    fn what_was_cut_apart_joins_again() {
        let whole = rows(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let mut joined = whole.slice(0..2);
        joined.append(&whole.slice(2..4)).unwrap();
        joined.append(&whole.slice(4..9)).unwrap();
        assert_eq!(joined, whole);
        let parts = [whole.slice(0..1), whole.slice(1..1), whole.slice(1..5)];
        assert_eq!(Rows::joined(&parts.each_ref()), Ok(whole));
    }

    #[test]
    fn a_slice_outside_is_empty() {
        assert!(rows(&[1.0]).slice(1..3).is_empty());
        assert!(rows(&[1.0]).slice(7..9).is_empty());
    }

    #[test]
    fn columns_that_do_not_hold_the_rows_are_refused() {
        let column = Column::new(2, Values::F32(vec![0.0; 3]));
        assert_eq!(Rows::new(1, vec![column]), Err(Ragged { column: 0, found: 3, rows: 1, width: 2 }));
    }

    #[test]
    fn a_row_that_fails_half_written_leaves_no_trace() {
        let mut some = rows(&[1.0, 2.0]);
        let failed = some.push(
            |columns| {
                if let Values::F32(values) = &mut columns[0].values {
                    values.push(3.0);
                }
                Err::<(), _>("broken")
            },
            |_ragged| "ragged",
        );
        assert_eq!(failed, Err("broken"));
        let ragged = some.push(|_columns| Ok::<_, &str>(()), |_ragged| "ragged");
        assert_eq!(ragged, Err("ragged"));
        assert_eq!(some, rows(&[1.0, 2.0]));
    }

    #[test]
    fn rows_of_other_columns_are_not_appended() {
        assert!(Rows::default().append(&rows(&[1.0])).is_err());
        assert!(rows(&[1.0]).append(&Rows::default()).is_ok());
        let mut some = rows(&[1.0]);
        let other = Rows::new(1, vec![Column::new(1, Values::I64(vec![1]))]).unwrap();
        assert!(some.append(&other).is_err());
        assert_eq!(some, rows(&[1.0]));
    }
}
