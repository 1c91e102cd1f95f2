//! A whole tensor in memory, with its dimension of rows where it has one.

use std::ops::Range;

use bytes::Bytes;

use super::super::golden::Shaped;
use crate::rows::Dtype;

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The elements as they lie in memory, row-major and little-endian.
    pub bytes: Bytes,
}

impl Array {
    /// Its rows, where it has a first dimension.
    pub(super) fn rows(&self) -> Option<usize> {
        self.shape.first().copied()
    }

    /// The rows in `range`.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let Some((rows, row)) = self.shape.split_first() else { return self.clone() };
        let size = row.iter().product::<usize>() * self.dtype.size();
        let range = range.start.min(*rows)..range.end.min(*rows);
        let bytes = self.bytes.get(range.start * size..range.end * size).unwrap_or_default();
        let shape = std::iter::once(range.len()).chain(row.iter().copied()).collect();
        Self { dtype: self.dtype, shape, bytes: self.bytes.slice_ref(bytes) }
    }

    /// Its rows, and behind them those of another one of the same shape per row.
    pub(super) fn followed_by(&self, other: &Self) -> Self {
        let mut shape = self.shape.clone();
        let more = other.rows().unwrap_or_default();
        shape.first_mut().into_iter().for_each(|rows| *rows += more);
        Self { dtype: self.dtype, shape, bytes: [self.bytes.as_ref(), other.bytes.as_ref()].concat().into() }
    }

    /// The same with the first element behind all others.
    pub(super) fn moved_on(&self) -> Self {
        let mut bytes = self.bytes.to_vec();
        let first = self.dtype.size().min(bytes.len());
        bytes.rotate_left(first);
        Self { bytes: bytes.into(), ..self.clone() }
    }

    /// One row without the dimension of rows.
    pub(super) fn row(&self, row: usize) -> Shaped {
        let one = self.slice(row..row + 1);
        Shaped { sizes: one.shape.get(1..).unwrap_or_default().to_vec(), bytes: one.bytes.to_vec() }
    }

    /// All of it.
    pub(super) fn whole(&self) -> Shaped {
        Shaped { sizes: self.shape.clone(), bytes: self.bytes.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_out_put_together_and_moved_on() {
        let array = Array { dtype: Dtype::Int16, shape: vec![3, 2], bytes: Bytes::from_static(b"abcdefghijkl") };
        let last = array.slice(2..9);
        assert_eq!((last.shape.as_slice(), last.bytes.as_ref()), ([1, 2].as_slice(), b"ijkl".as_slice()));
        let both = last.followed_by(&last.moved_on());
        assert_eq!((both.shape.as_slice(), both.bytes.as_ref()), ([2, 2].as_slice(), b"ijklklij".as_slice()));
        assert_eq!((array.row(1).sizes, array.row(1).bytes), (vec![2], b"efgh".to_vec()));
        assert!(array.row(3).bytes.is_empty());
    }
}
