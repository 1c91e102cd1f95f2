//! Encodes rows by a plan that was made once from the manifest.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::civil::Date;

use super::calendar::AsOf;
use super::check::{self, Place};
use super::defaulted::{Defaulted, LeftOut};
use super::fault::{Faults, RowFault};
use super::names::Names;
use super::plan::{ExtraName, PlannedFeature, PlannedInput, Source, extra_names};
use super::row::{Field, Row, Value};
use super::scratch::{Found, Scratch};
use super::series;
use crate::error::shown;
use crate::manifest::{Kind, Manifest, Task};
use crate::rows::Dtype;
use crate::rows::{Column, Rows};

/// Encodes the rows of one version.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// For messages: `version 3 of merchant_gmv`.
    version: String,
    fields: &'static [Field],
    features: Vec<PlannedFeature>,
    inputs: Vec<PlannedInput>,
    extra: Names<ExtraName>,
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
        // Inputs that requests send as they are have no features.
        for input in manifest.inputs.iter().filter(|_| manifest.task != Task::Tensors) {
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
            Dtype::Int64 => Column::i64(input.width(), capacity),
            // Features fill no others.
            _ => Column::f32(input.width(), capacity),
        };
        Rows::empty(self.inputs.iter().map(column).collect())
    }

    /// Bytes that one encoded row takes.
    pub fn row_bytes(&self) -> usize {
        self.inputs.iter().map(|input| input.width() * input.dtype.size()).sum()
    }

    /// Appends one row to `into`, which [`Encoder::empty_rows`] made.
    ///
    /// `as_of` is the day that the row's features end on; moments are counted
    /// back from its end, calendar features look ahead from it. Ranges hold for
    /// every element of a list, also for those beyond its `max_len`. `scratch` is
    /// whatever was used for the row before, or new.
    ///
    /// # Errors
    ///
    /// All faults of the row; `into` is then as it was.
    pub fn encode(
        &self,
        row: &dyn Row,
        as_of: Date,
        scratch: &mut Scratch,
        into: &mut Rows,
    ) -> Result<Defaulted, RowFault> {
        let as_of = AsOf::new(as_of);
        let mut found = scratch.take();
        let encoded = self.read(row, as_of, &mut found).and_then(|()| {
            let values = &found.features;
            into.push(|columns| self.fill(values, as_of, columns), |ragged| RowFault::internal(ragged.to_string()))?;
            Ok(self.defaulted(values))
        });
        scratch.put_back(found);
        encoded
    }

    /// The names of the features that a default stood in for, in the manifest's order.
    pub fn names<'e>(&'e self, defaulted: &'e Defaulted) -> impl Iterator<Item = &'e str> + Clone {
        defaulted.iter().filter_map(|index| Some(&*self.features.get(index)?.name))
    }

    /// The names of all features, in the manifest's order.
    pub fn all_names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| &*feature.name)
    }

    /// For counting what rows leave out: none so far.
    pub fn left_out(&self) -> LeftOut {
        LeftOut::none_of(self.features.len())
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

    /// Finds the value of every feature, as sent; absent where it was left out.
    ///
    /// # Errors
    ///
    /// All faults of the row.
    fn read<'r>(&self, row: &'r dyn Row, as_of: AsOf, found: &mut Found<'r>) -> Result<(), RowFault> {
        let mut faults = Faults::default();
        row.values(&mut found.fields);
        let known = self.sort_extra(row, &mut found.features);
        if !known || !found.fields.iter().all(|value| check::is_sound(*value)) || !row.excess().is_empty() {
            self.name_unsound(row, &found.fields, as_of, &mut faults)?;
        }
        for (feature, value) in self.features.iter().zip(&mut found.features) {
            *value = self.taken(feature, feature.source.value(&found.fields, *value, as_of), as_of, &mut faults);
        }
        faults.into_result()
    }

    /// Puts what was sent in `extra` in the places of its features; whether all
    /// of it has one and is sound.
    fn sort_extra<'r>(&self, row: &'r dyn Row, features: &mut Vec<Value<'r>>) -> bool {
        features.resize(self.features.len(), Value::Absent);
        let mut known = true;
        for (name, value) in extra(row) {
            let place = match self.extra.get(name) {
                Some(ExtraName::Feature(index)) => features.get_mut(*index),
                Some(ExtraName::Typed | ExtraName::Computed) | None => None,
            };
            known &= place.is_some() && check::is_sound(value);
            place.into_iter().for_each(|place| *place = value);
        }
        known
    }

    /// Names what no version would take and what this one doesn't know.
    ///
    /// # Errors
    ///
    /// The fault of a row that is too long to be looked at further.
    #[cold]
    fn name_unsound(
        &self,
        row: &dyn Row,
        fields: &[Value<'_>],
        as_of: AsOf,
        faults: &mut Faults,
    ) -> Result<(), RowFault> {
        let typed = || self.fields.iter().map(|field| Place::Field(field.name)).zip(fields.iter().copied());
        // By name, and of one that was sent twice the last.
        let extra: BTreeMap<_, _> = extra(row).collect();
        let placed = || typed().chain(extra.iter().map(|(name, value)| (Place::Extra(name), *value)));
        check::lengths(&row.excess(), placed(), faults);
        std::mem::take(faults).into_result()?;
        for (place, value) in placed() {
            if let Place::Extra(name) = place {
                self.name_unknown(name, faults);
            }
            check::finite(value, place, as_of, faults);
        }
        Ok(())
    }

    fn name_unknown(&self, name: &str, faults: &mut Faults) {
        let (place, version) = (Place::Extra(name), &self.version);
        let known = self.extra.get(name);
        let name = shown(name);
        match known {
            Some(ExtraName::Feature(_)) => {}
            Some(ExtraName::Typed) => {
                faults.invalid(|| place.path(), || format!("`{name}` has a typed field, wanted it there"));
            }
            Some(ExtraName::Computed) => {
                faults.unmet(|| place.path(), || format!("feature `{name}` is computed by {version} from as_of"));
            }
            None => faults.unmet(|| place.path(), || format!("feature `{name}` is not known to {version}")),
        }
    }

    /// The value of one feature; absent where it is at fault.
    fn taken<'r>(&self, feature: &PlannedFeature, value: Value<'r>, as_of: AsOf, faults: &mut Faults) -> Value<'r> {
        if let Source::Calendar(_) = feature.source {
            return value;
        }
        let (value, place) = (series::or_absent(value), feature.place());
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
        let mut defaulted = Defaulted::default();
        for (index, (feature, value)) in self.features.iter().zip(values).enumerate() {
            if feature.kind != Kind::Calendar && matches!(value, Value::Absent) {
                defaulted.add(index);
            }
        }
        defaulted
    }
}

/// What was sent in `extra`, in the order sent.
fn extra<'r>(row: &'r dyn Row) -> impl Iterator<Item = (&'r str, Value<'r>)> {
    (0..).map_while(|index| row.extra(index))
}
