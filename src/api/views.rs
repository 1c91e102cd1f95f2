//! Entities as they lie in their frames: nothing is copied but numbers, so that
//! reading a row allocates nothing once the memory of the row before is there.
//!
//! The views of features are generated from the descriptor (see `build.rs`),
//! with what they tell the encoder. What a row repeats too often is counted and
//! not kept: two bytes on the wire would become dozens in memory.

use std::ops::Range;

use super::wire::{Malformed, View, Wire, next};
use crate::features::row::{Excess, Field, FieldKind, MOST_ELEMENTS, Row, Value};

/// Most categories in lists of `extra` of one row: sixteen of the longest lists.
const MOST_CATEGORIES: usize = 16 * MOST_ELEMENTS;

/// Features that are made room for at once: more than most versions have.
const SOME: usize = 64;

include!(concat!(env!("OUT_DIR"), "/views.rs"));

/// A `souk.v1.Merchant` or `souk.v1.User`, whose fields have the same numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct EntityView<'a, F> {
    pub(super) id: &'a str,
    pub(super) features: F,
    pub(super) as_of: &'a str,
}

impl<'a, F: View<'a>> View<'a> for EntityView<'a, F> {
    fn field(&mut self, number: u32, value: Wire<'a>) -> Result<(), Malformed> {
        match number {
            1 => value.text().map(|id| self.id = id),
            2 => self.features.merge(value.bytes()?),
            3 => value.text().map(|as_of| self.as_of = as_of),
            _ => Ok(()),
        }
    }

    fn clear(&mut self) {
        (self.id, self.as_of) = ("", "");
        self.features.clear();
    }
}

/// A `google.protobuf.Timestamp`.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    seconds: i64,
    nanos: i32,
}

impl<'a> View<'a> for Moment {
    #[allow(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "so does protobuf")]
    fn field(&mut self, number: u32, value: Wire<'a>) -> Result<(), Malformed> {
        match number {
            1 => value.integer().map(|seconds| self.seconds = seconds as i64),
            2 => value.integer().map(|nanos| self.nanos = nanos as i32),
            _ => Ok(()),
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The features in `extra`.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra<'a> {
    sent: usize,
    entries: Vec<Entry<'a>>,
    /// The numbers of all lists.
    numbers: Vec<f64>,
    categories_sent: usize,
    /// The categories of all lists.
    categories: Vec<&'a str>,
}

/// An entry of the map.
#[derive(Debug, Clone, Default)]
struct Entry<'a> {
    name: &'a str,
    value: Kind<'a>,
}

/// A `souk.v1.FeatureValue`.
#[derive(Debug, Clone, Default)]
enum Kind<'a> {
    #[default]
    Unset,
    Number(f64),
    Category(&'a str),
    /// Among [`Extra::numbers`].
    Numbers(Range<usize>),
    /// Among [`Extra::categories`].
    Categories(Range<usize>),
}

impl<'a> Extra<'a> {
    /// Takes in an entry of the map.
    fn add(&mut self, mut bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut entry = Entry::default();
        while !bytes.is_empty() {
            match next(&mut bytes)? {
                (1, name) => entry.name = name.text()?,
                (2, value) => self.read(value.bytes()?, &mut entry.value)?,
                _ => {}
            }
        }
        self.sent += 1;
        if self.sent <= MOST_ELEMENTS {
            self.entries.reserve(if self.entries.is_empty() { SOME } else { 1 });
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Takes in a value; a list that comes in several parts is joined.
    fn read(&mut self, mut bytes: &'a [u8], into: &mut Kind<'a>) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            match next(&mut bytes)? {
                (1, number) => *into = Kind::Number(number.number()?),
                (2, category) => *into = Kind::Category(category.text()?),
                (3, list) => *into = self.read_numbers(list.bytes()?, into)?,
                (4, list) => *into = self.read_categories(list.bytes()?, into)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_numbers(&mut self, mut bytes: &'a [u8], before: &Kind<'a>) -> Result<Kind<'a>, Malformed> {
        let start = if let Kind::Numbers(range) = before { range.start } else { self.numbers.len() };
        while !bytes.is_empty() {
            if let (1, values) = next(&mut bytes)? {
                values.numbers(&mut self.numbers)?;
            }
        }
        Ok(Kind::Numbers(start..self.numbers.len()))
    }

    fn read_categories(&mut self, mut bytes: &'a [u8], before: &Kind<'a>) -> Result<Kind<'a>, Malformed> {
        let start = if let Kind::Categories(range) = before { range.start } else { self.categories.len() };
        while !bytes.is_empty() {
            if let (1, category) = next(&mut bytes)? {
                let category = category.text()?;
                self.categories_sent += 1;
                if self.categories_sent <= MOST_CATEGORIES {
                    self.categories.push(category);
                }
            }
        }
        Ok(Kind::Categories(start..self.categories.len()))
    }

    fn get(&self, index: usize) -> Option<(&'a str, Value<'_>)> {
        let Entry { name, value } = self.entries.get(index)?;
        let value = match value {
            Kind::Unset => Value::Absent,
            Kind::Number(number) => Value::Number(*number),
            Kind::Category(text) => category(text),
            Kind::Numbers(range) => numbers(self.numbers.get(range.clone()).unwrap_or_default()),
            Kind::Categories(range) => categories(self.categories.get(range.clone()).unwrap_or_default()),
        };
        Some((name, value))
    }

    fn clear(&mut self) {
        (self.sent, self.categories_sent) = (0, 0);
        self.entries.clear();
        self.numbers.clear();
        self.categories.clear();
    }

    fn excess(&self, field: &'static str, into: &mut Vec<Excess>) {
        into.extend(too_many(field, "elements", self.sent, MOST_ELEMENTS));
        into.extend(too_many(field, "categories in lists", self.categories_sent, MOST_CATEGORIES));
    }
}

fn too_many(field: &'static str, what: &'static str, found: usize, most: usize) -> Option<Excess> {
    (found > most).then_some(Excess { field, what, found, most })
}

fn number(value: Option<f64>) -> Value<'static> {
    value.map_or(Value::Absent, Value::Number)
}

fn category(value: &str) -> Value<'_> {
    if value.is_empty() { Value::Absent } else { Value::Category(value) }
}

fn numbers(values: &[f64]) -> Value<'_> {
    if values.is_empty() { Value::Absent } else { Value::Numbers(values) }
}

fn categories<'r>(values: &'r [&'r str]) -> Value<'r> {
    if values.is_empty() { Value::Absent } else { Value::Categories(values) }
}

fn times(values: &[f64]) -> Value<'_> {
    if values.is_empty() { Value::Absent } else { Value::Times(values) }
}

/// NaN where there is none.
fn seconds(moment: Option<Moment>) -> f64 {
    moment.map_or(f64::NAN, |at| at.seconds as f64 + f64::from(at.nanos) * 1e-9)
}

#[cfg(test)]
mod tests;
