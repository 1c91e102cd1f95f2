//! Encodes rows by a plan that was made once from the manifest.

use std::collections::HashMap;
use std::ops::Range;

use jiff::civil::Date;

use super::calendar::AsOf;
use super::check::{self, Place};
use super::fault::{Faults, RowFault};
use super::plan::{ExtraName, PlannedFeature, PlannedInput, Source, extra_names};
use super::row::{Field, Row, Value};
use super::series;
use crate::error::shown;
use crate::manifest::{Dtype, Kind, Manifest};
use crate::rows::{Column, Rows};

/// Encodes the rows of one version.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// For messages: `version 3 of merchant_gmv`.
    version: String,
    fields: &'static [Field],
    features: Vec<PlannedFeature>,
    inputs: Vec<PlannedInput>,
    extra: HashMap<Box<str>, ExtraName>,
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
    /// Every id is from 0 and below this: the least size of the embedding table.
    pub below: i64,
}

impl Encoder {
    /// Resolves every feature to where its values come from. The manifest may
    /// have problems of its own ([`crate::manifest::ManifestError::readable`]):
    /// the encoder then only serves to find more of them.
    ///
    /// # Errors
    ///
    /// Everything that doesn't fit `fields`, by the feature's name.
    pub fn new(manifest: &Manifest, fields: &'static [Field]) -> Result<Self, Vec<String>> {
        let (mut features, mut inputs, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for feature in &manifest.features {
            match PlannedFeature::new(feature, fields) {
                Ok(planned) => features.push(planned),
                Err(why) => problems.push(format!("feature `{}` {why}", feature.name)),
            }
        }
        for input in &manifest.inputs {
            match PlannedInput::new(input, manifest) {
                Ok(planned) => inputs.push(planned),
                Err(why) => problems.extend(why),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let extra = extra_names(&features, fields);
        let version = format!("version {} of {}", manifest.version, manifest.model);
        Ok(Self { version, fields, features, inputs, extra })
    }

    /// No rows, in columns that fit the manifest's inputs, with room for `capacity`.
    pub fn empty_rows(&self, capacity: usize) -> Rows {
        let column = |input: &PlannedInput| match input.dtype {
            Dtype::Float32 => Column::f32(input.width(), capacity),
            Dtype::Int64 => Column::i64(input.width(), capacity),
        };
        Rows::empty(self.inputs.iter().map(column).collect())
    }

    /// Bytes that one encoded row takes.
    pub fn row_bytes(&self) -> usize {
        let bytes = |input: &PlannedInput| match input.dtype {
            Dtype::Float32 => input.width() * size_of::<f32>(),
            Dtype::Int64 => input.width() * size_of::<i64>(),
        };
        self.inputs.iter().map(bytes).sum()
    }

    /// Appends one row to `into`, which [`Encoder::empty_rows`] made.
    ///
    /// `as_of` is the day that the row's features end on; moments are counted
    /// back from its end, calendar features look ahead from it. Ranges hold for
    /// every element of a list, also for those beyond its `max_len`.
    ///
    /// # Errors
    ///
    /// All faults of the row; `into` is then as it was.
    pub fn encode(&self, row: &dyn Row, as_of: Date, into: &mut Rows) -> Result<Defaulted, RowFault> {
        let as_of = AsOf::new(as_of);
        let mut faults = Faults::default();
        check::lengths(row, self.fields, &mut faults);
        std::mem::take(&mut faults).into_result()?;
        check::finite_fields(row, self.fields, as_of, &mut faults);
        self.check_extra(row, as_of, &mut faults);
        let values: Vec<_> = self.features.iter().map(|feature| self.read(feature, row, as_of, &mut faults)).collect();
        faults.into_result()?;
        into.push(|columns| self.fill(&values, as_of, columns), |ragged| RowFault::internal(ragged.to_string()))?;
        Ok(self.defaulted(&values))
    }

    /// The names of the features that a default stood in for, in the manifest's order.
    pub fn names<'e>(&'e self, defaulted: &Defaulted) -> impl Iterator<Item = &'e str> {
        defaulted.features.iter().filter_map(|&index| Some(&*self.features.get(usize::from(index))?.name))
    }

    /// The ids that every column of the int64 inputs can hold. The encoder writes
    /// no others, by construction; tensors from elsewhere must be checked, because
    /// an index out of range poisons a device.
    pub fn id_bounds(&self) -> impl Iterator<Item = IdBound> + '_ {
        self.inputs.iter().enumerate().flat_map(|(position, input)| {
            let ends = input.slots.iter().scan(0, |end, slot| {
                *end += slot.width();
                Some((slot, *end))
            });
            ends.filter_map(move |(slot, end)| {
                Some(IdBound { input: position, columns: end - slot.width()..end, below: slot.below()? })
            })
        })
    }

    fn check_extra(&self, row: &dyn Row, as_of: AsOf, faults: &mut Faults) {
        for name in row.extra_names() {
            let (place, version) = (Place::Extra(name), &self.version);
            let known = self.extra.get(name);
            let name = shown(name);
            match known {
                Some(ExtraName::Feature) => {}
                Some(ExtraName::Typed) => {
                    faults.invalid(|| place.path(), || format!("`{name}` has a typed field, wanted it there"));
                }
                Some(ExtraName::Computed) => {
                    faults.unmet(|| place.path(), || format!("feature `{name}` is computed by {version} from as_of"));
                }
                None => faults.unmet(|| place.path(), || format!("feature `{name}` is not known to {version}")),
            }
            check::finite(row.extra(place.name()), place, as_of, faults);
        }
    }

    /// The value of one feature, as sent; absent where it was left out or is at fault.
    fn read<'r>(&self, feature: &PlannedFeature, row: &'r dyn Row, as_of: AsOf, faults: &mut Faults) -> Value<'r> {
        let value = series::or_absent(match &feature.source {
            Source::Field(index) => row.value(*index),
            Source::Extra => row.extra(&feature.name),
            Source::Calendar(rule) => return Value::Number(rule.number(as_of)),
        });
        let place = feature.place();
        if !check::fits(feature.kind, value) {
            let (found, wanted) = (check::kind_of(value), feature.kind.as_str());
            faults.invalid(|| place.path(), || format!("is a {found}, wanted a {wanted}"));
            return Value::Absent;
        }
        match value {
            Value::Absent if feature.required => {
                let description = || format!("feature `{}` is required by {}", feature.name, self.version);
                faults.unmet(|| place.path(), description);
            }
            _ if feature.kind.is_numeric() => check::limits(value, &feature.limits, place, as_of, faults),
            _ => {}
        }
        value
    }

    fn fill(&self, values: &[Value<'_>], as_of: AsOf, columns: &mut [Column]) -> Result<(), RowFault> {
        if columns.len() != self.inputs.len() {
            let (found, wanted) = (columns.len(), self.inputs.len());
            return Err(RowFault::internal(format!("the rows have {found} columns, wanted {wanted}")));
        }
        for (input, column) in self.inputs.iter().zip(columns) {
            for slot in &input.slots {
                let value = values.get(slot.feature).copied().unwrap_or(Value::Absent);
                slot.fill(value, as_of, &mut column.values);
            }
        }
        Ok(())
    }

    fn defaulted(&self, values: &[Value<'_>]) -> Defaulted {
        let absent = (0_u16..)
            .zip(self.features.iter().zip(values))
            .filter(|(_, (feature, value))| feature.kind != Kind::Calendar && matches!(value, Value::Absent));
        Defaulted { features: absent.map(|(index, _)| index).collect() }
    }
}

impl Defaulted {
    /// Whether every feature was sent.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }
}
