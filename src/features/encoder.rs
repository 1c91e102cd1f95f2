//! Encodes rows by a plan that was made once from the manifest.

use std::ops::Range;

use jiff::civil::Date;

use super::fault::RowFault;
use super::row::{Field, Row};
use crate::manifest::Manifest;
use crate::rows::Rows;

/// Encodes the rows of one version.
#[derive(Debug)]
pub struct Encoder {
    names: Vec<Box<str>>,
}

/// The features that a default stood in for, in the manifest's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaulted {
    features: Vec<u16>,
}

/// Columns of an int64 input, and the ids that they can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdBound {
    /// Position of the input in the manifest.
    pub input: usize,
    /// Which of its values per row.
    pub columns: Range<usize>,
    /// Every id is from 0 and below this: the size of the embedding table.
    pub below: i64,
}

impl Encoder {
    /// Resolves every feature of a checked manifest to where its values come from.
    ///
    /// # Errors
    ///
    /// Everything that doesn't fit `fields`, by the feature's name.
    pub fn new(_manifest: &Manifest, _fields: &'static [Field]) -> Result<Self, Vec<String>> {
        Err(vec!["not yet".to_owned()])
    }

    /// No rows, in columns that fit the manifest's inputs, with room for `capacity`.
    pub fn empty_rows(&self, _capacity: usize) -> Rows {
        Rows::default()
    }

    /// Appends one row to `into`, which [`Encoder::empty_rows`] made.
    ///
    /// # Errors
    ///
    /// All faults of the row; `into` is then as it was.
    pub fn encode(&self, _row: &dyn Row, _as_of: Date, _into: &mut Rows) -> Result<Defaulted, RowFault> {
        Ok(Defaulted::default())
    }

    /// The names of the features that a default stood in for, in the manifest's order.
    pub fn names<'e>(&'e self, defaulted: &'e Defaulted) -> impl Iterator<Item = &'e str> {
        defaulted.features.iter().filter_map(|&index| self.names.get(usize::from(index)).map(AsRef::as_ref))
    }

    /// The ids that every column of the int64 inputs can hold.
    pub fn id_bounds(&self) -> impl Iterator<Item = IdBound> + '_ {
        std::iter::empty()
    }
}
