//! Features: their kinds, what stands in for an absent one, and the rules by
//! which values become ids and floats. Plain data; the rules are applied in
//! [`crate::features`].

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// Longest list that a feature keeps, in elements.
pub(crate) const LONGEST_LIST: usize = 65_536;

/// One feature. Exactly one of `required: true` and `default` is given, but for
/// calendar features, which have neither.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// The name of a typed field of the row's message, `events.<field>` for a
    /// column of a user's events, any name for a calendar feature. Any other
    /// name travels in `extra`.
    pub name: String,
    /// What the feature holds.
    pub kind: Kind,
    /// Whether a row without the feature is refused.
    #[serde(default)]
    pub required: bool,
    /// What stands in for an absent feature, encoded as if it had been sent.
    /// `null` means missing: id 0, float 0.0 after the transform, a list of
    /// padding only.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "DefaultValue")]
    pub default: Option<DefaultValue>,
    /// Lowest and highest value, both inclusive, of a number or of each element
    /// of a number list; a row with a value outside is refused.
    #[serde(default)]
    pub range: Option<[f64; 2]>,
    /// How numbers become floats; without it they stay as they are.
    #[serde(default)]
    pub transform: Option<Transform>,
    /// How values become ids; needed in an int64 input, except by the calendar
    /// features `day_of_week` and `month`, which are ids already.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// Length of a list, 1 to 65536: the newest elements are kept, shorter
    /// lists are padded in front with 0. Lists only, and needed by them.
    #[serde(default)]
    pub max_len: Option<usize>,
    /// What a calendar feature counts. Calendar features only.
    #[serde(default)]
    pub calendar: Option<Calendar>,
}

/// What a feature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number. A moment counts as a number: the days from it to the end of `as_of` (UTC).
    Number,
    /// A category.
    Category,
    /// A series of numbers, newest last.
    NumberList,
    /// A series of categories, newest last.
    CategoryList,
    /// A number computed from `as_of`; never sent.
    Calendar,
}

/// What stands in for an absent feature.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DefaultValue {
    /// Missing.
    Missing,
    /// For a number.
    Number(f64),
    /// For a category.
    Category(String),
    /// For a list of numbers, newest last.
    Numbers(Vec<f64>),
    /// For a list of categories, newest last.
    Categories(Vec<String>),
}

/// How a number becomes a float: `(y - mean) / std`, where `y` is the number or
/// its `log1p`. In 64 bits, rounded to 32 at the end.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transform {
    /// Whether `ln(1 + x)` comes first; `x` must then be above -1.
    pub log1p: bool,
    /// Subtracted.
    pub mean: f64,
    /// Divided by; above 0.
    pub std: f64,
}

/// How values become ids. Id 0 is for missing and unknown values.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encoding {
    /// Categories: the position in this list, from 1; an unlisted one is 0.
    Vocabulary(Vec<String>),
    /// Categories: `1 + h % (buckets - 1)`, where `h` is the xxh3-64 (seed 0) of
    /// `name=value` in UTF-8.
    Hash {
        /// How many ids there are, id 0 included; 2 to 2147483648.
        buckets: u64,
    },
    /// Numbers: 1 + how many of these ascending edges are at or below the value,
    /// before any transform.
    Edges(Vec<f64>),
}

/// What a calendar feature is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Calendar {
    /// How many of the listed dates lie in `as_of + 1 ..= as_of + horizon_days`.
    DatesInHorizon {
        /// Dates, `YYYY-MM-DD`, each once.
        dates: Vec<String>,
        /// Days in the horizon, 1 to 366.
        horizon_days: u32,
    },
    /// The day of the week of `as_of`: Monday 1 to Sunday 7.
    DayOfWeek,
    /// The month of `as_of`: 1 to 12.
    Month,
}

impl Kind {
    /// The name in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Category => "category",
            Self::NumberList => "number_list",
            Self::CategoryList => "category_list",
            Self::Calendar => "calendar",
        }
    }

    /// Whether a feature of this kind fills an input alone.
    pub fn is_list(self) -> bool {
        matches!(self, Self::NumberList | Self::CategoryList)
    }

    /// Whether its values are numbers, and so can fill a float input.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Number | Self::NumberList | Self::Calendar)
    }
}

impl Default for Transform {
    fn default() -> Self {
        Self { log1p: false, mean: 0.0, std: 1.0 }
    }
}

/// Tells `"default": null`, a missing value, from no `default` at all.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DefaultValue>, D::Error> {
    DefaultValue::deserialize(deserializer).map(Some)
}
