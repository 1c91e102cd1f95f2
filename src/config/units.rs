//! Values with more than one way to write them.

use std::{fmt, num::NonZeroUsize, thread};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Texts: a list of them, or one text with commas in between, as a variable of the
/// environment holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts(pub Vec<String>);

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Not as a list: the layers of settings take an empty one for no key at all.
        serializer.serialize_str(&self.0.join(","))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> de::Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of texts, or one with commas in between")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Texts, E> {
        let texts = value.split(',').map(str::trim).filter(|text| !text.is_empty());
        Ok(Texts(texts.map(str::to_owned).collect()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }
}

/// A number of threads: fixed, or by the cores that the process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// By the cores, as far as a cgroup's quota allows.
    Auto,
    /// As many as this.
    Fixed(NonZeroUsize),
}

impl Count {
    /// The number of threads on this machine, where `auto` makes one of its cores.
    ///
    /// `available_parallelism` minds the cgroup's quota and the affinity mask.
    pub(super) fn or(self, auto: impl FnOnce(NonZeroUsize) -> NonZeroUsize) -> NonZeroUsize {
        match self {
            Self::Auto => auto(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
            Self::Fixed(count) => count,
        }
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl de::Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`auto` or a whole number from 1")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Count, E> {
        usize::try_from(value)
            .ok()
            .and_then(NonZeroUsize::new)
            .map(Count::Fixed)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Count, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Count, E> {
        match (value, value.parse()) {
            ("auto", _) => Ok(Count::Auto),
            (_, Ok(count)) => self.visit_u64(count),
            (_, Err(_)) => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
        }
    }
}
