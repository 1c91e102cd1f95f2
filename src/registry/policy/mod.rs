//! Who answers for a model: labels, the versions that they name, and their shares of
//! the traffic.
//!
//! Plain data with its rules. It knows no version in memory and touches no disk:
//! [`file`] and [`history`] do.

pub(super) mod file;
pub(super) mod history;
mod split;

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize, de};

pub(super) use split::Split;

/// The label of the version that answers where a request names none.
pub const STABLE: &str = "stable";

/// The label of a version on trial, that [`GuardLimits`] watch over.
pub const CANARY: &str = "canary";

/// The label of a version that scores live rows for nobody.
pub const SHADOW: &str = "shadow";

/// Most labels of one model.
const MOST_LABELS: usize = 16;

/// Most characters of a label, and most bytes of a salt.
const MOST_CHARACTERS: usize = 32;
const MOST_SALT: usize = 64;

/// How far the shares may be from 100 percent in sum: rounding of decimals.
const ROUNDING: f64 = 1e-6;

/// Who answers for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What each label stands for; `stable` is always there.
    pub labels: BTreeMap<String, Labelled>,
    /// What entity ids are hashed with, so that two policies need not send the same
    /// entities to their canaries. Absent: the model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// When a canary is taken back.
    #[serde(default, skip_serializing_if = "GuardLimits::is_default")]
    pub guard: GuardLimits,
}

/// What a label stands for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// The version.
    pub version: Target,
    /// The share of the traffic that names no version, in percent; of `shadow` the
    /// share of the rows that it scores too. Absent: what the others leave of `stable`,
    /// all of `shadow`, and none of other labels, which then answer by name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
}

/// The version that a label names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The newest that proved itself and that no other label names.
    Newest,
    /// This one.
    Number(u64),
}

/// Beyond what a canary is taken back. Rates and ratios are of a sliding window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardLimits {
    /// Whether the canary is watched at all.
    pub enabled: bool,
    /// Fewest rows of the canary in the window before anything is judged.
    pub min_rows: u64,
    /// The window.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Largest share of rows on which the canary may fail, where `stable` fails on fewer
    /// of its own: some rows nobody can answer. Tensors of requests that name a version
    /// are not counted, neither here nor below.
    pub max_error_rate: f64,
    /// Largest share of rows that it may answer with something that is no number, again
    /// where `stable` does so for fewer.
    pub max_non_finite_rate: f64,
    /// Largest p99 of its requests, from admission to outputs, by that of `stable`.
    pub max_p99_ratio: f64,
    /// Largest cost of a pass, by that of the same rows by `stable`, side by side.
    pub max_cost_ratio: f64,
    /// Largest mean difference to what `stable` answers for the same rows, by the
    /// mean of that. Absent: it may answer what it likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_divergence: Option<f64>,
    /// How many looks in a row, a second apart, must find a limit broken.
    pub looks: u32,
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardLimit {
    /// [`GuardLimits::max_error_rate`].
    ErrorRate,
    /// [`GuardLimits::max_non_finite_rate`].
    NonFiniteRate,
    /// [`GuardLimits::max_p99_ratio`].
    P99Ratio,
    /// [`GuardLimits::max_cost_ratio`].
    CostRatio,
    /// [`GuardLimits::max_divergence`].
    Divergence,
}

/// A limit that a canary broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which one.
    pub limit: GuardLimit,
    /// The same as a sentence, with its figures.
    pub reason: String,
}

impl GuardLimit {
    /// The keys of all of them.
    pub const KEYS: [&'static str; 5] = [
        Self::ErrorRate.key(),
        Self::NonFiniteRate.key(),
        Self::P99Ratio.key(),
        Self::CostRatio.key(),
        Self::Divergence.key(),
    ];

    /// The limit's key in a policy.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ErrorRate => "max_error_rate",
            Self::NonFiniteRate => "max_non_finite_rate",
            Self::P99Ratio => "max_p99_ratio",
            Self::CostRatio => "max_cost_ratio",
            Self::Divergence => "max_divergence",
        }
    }
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            enabled: true,
            min_rows: 100,
            window: Duration::from_secs(30),
            max_error_rate: 0.01,
            max_non_finite_rate: 0.01,
            max_p99_ratio: 3.0,
            max_cost_ratio: 3.0,
            max_divergence: None,
            looks: 3,
        }
    }
}

impl GuardLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn problems(&self) -> Vec<String> {
        let least = [
            ("max_error_rate", self.max_error_rate, 0.0),
            ("max_non_finite_rate", self.max_non_finite_rate, 0.0),
            ("max_p99_ratio", self.max_p99_ratio, 1.0),
            ("max_cost_ratio", self.max_cost_ratio, 1.0),
            ("max_divergence", self.max_divergence.unwrap_or_default(), 0.0),
        ];
        let mut problems: Vec<String> = least
            .into_iter()
            // A NaN is within nothing.
            .filter(|(_, found, least)| !(*least..).contains(found))
            .map(|(key, found, least)| format!("guard.{key} is {found}, wanted at least {least}"))
            .collect();
        if self.looks == 0 {
            problems.push("guard.looks is 0, wanted at least 1".into());
        }
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(600));
        if !(shortest..=longest).contains(&self.window) {
            problems.push(format!("guard.window is {:?}, wanted {shortest:?} to {longest:?}", self.window));
        }
        problems
    }
}

impl Default for Policy {
    fn default() -> Self {
        let stable = Labelled { version: Target::Newest, percent: None };
        Self { labels: [(STABLE.to_owned(), stable)].into(), salt: None, guard: GuardLimits::default() }
    }
}

impl Policy {
    /// Everything that is wrong with it; empty where it can be followed.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> =
            self.labels.iter().flat_map(|(name, labelled)| label_problems(name, labelled)).collect();
        if !self.labels.contains_key(STABLE) {
            problems.push(format!("there is no label {STABLE:?}: it answers where a request names no version"));
        }
        if self.labels.len() > MOST_LABELS {
            problems.push(format!("there are {} labels, wanted at most {MOST_LABELS}", self.labels.len()));
        }
        if self.salt.as_ref().is_some_and(|salt| salt.is_empty() || salt.len() > MOST_SALT) {
            problems.push(format!("the salt is empty or longer than {MOST_SALT} bytes"));
        }
        problems.extend(self.guard.problems());
        if problems.is_empty() {
            problems.extend(self.sum_problem());
        }
        problems
    }

    /// Shares that are not 100 percent together.
    fn sum_problem(&self) -> Option<String> {
        let others = self.others();
        let stable = self.labels.get(STABLE).and_then(|stable| stable.percent);
        match stable {
            None if others > 100.0 + ROUNDING => {
                Some(format!("the labels beside {STABLE} have {others} percent, wanted at most 100"))
            }
            Some(stable) if (stable + others - 100.0).abs() > ROUNDING => {
                Some(format!("the shares sum up to {} percent, wanted 100", stable + others))
            }
            _ => None,
        }
    }

    /// What all labels but `stable` and `shadow` have together, in percent.
    fn others(&self) -> f64 {
        let others = self.labels.iter().filter(|(name, _)| *name != STABLE && *name != SHADOW);
        others.filter_map(|(_, labelled)| labelled.percent).sum()
    }

    /// The share of a label in percent, as [`Labelled::percent`] says.
    pub fn percent(&self, label: &str) -> f64 {
        let given = self.labels.get(label).and_then(|labelled| labelled.percent);
        given.unwrap_or_else(|| match label {
            STABLE => (100.0 - self.others()).max(0.0),
            SHADOW => 100.0,
            _ => 0.0,
        })
    }

    /// The numbers that labels name.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.labels.values().filter_map(|labelled| match labelled.version {
            Target::Number(number) => Some(number),
            Target::Newest => None,
        })
    }

    /// Whether new versions answer by themselves.
    pub fn follows_newest(&self) -> bool {
        self.labels.values().any(|labelled| labelled.version == Target::Newest)
    }
}

fn label_problems(name: &str, labelled: &Labelled) -> Vec<String> {
    let mut problems = Vec::new();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || !name.chars().all(plain) || name.len() > MOST_CHARACTERS || name == NEWEST {
        let name = crate::error::shown(name);
        problems.push(format!(
            "label {name:?}: wanted up to {MOST_CHARACTERS} of a-z, 0-9, - and _, a letter first, and not {NEWEST:?}"
        ));
    }
    if labelled.version == Target::Newest && name != STABLE {
        problems.push(format!("label {name:?}: only {STABLE} may be {NEWEST:?}, wanted a number"));
    }
    if labelled.version == Target::Number(0) {
        problems.push(format!("label {name:?}: versions begin at 1"));
    }
    if labelled.percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        problems.push(format!("label {name:?}: the share is {:?} percent, wanted 0 to 100", labelled.percent));
    }
    problems
}

/// How [`Target::Newest`] is written.
const NEWEST: &str = "newest";

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str(NEWEST),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == NEWEST => Ok(Self::Newest),
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => Err(format!("{text:?} is no version: wanted a number or {NEWEST:?}")),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Newest => serializer.serialize_str(NEWEST),
            Self::Number(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self::Number(number)),
            Written::Text(text) if text == NEWEST => Ok(Self::Newest),
            Written::Text(text) => {
                Err(de::Error::custom(format!("{text:?} is no version: wanted a number or {NEWEST:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Policy {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_left_of_the_shares_is_the_stable_versions() {
        let policy = policy(
            r#"{"labels": {"stable": {"version": 3}, "canary": {"version": 4, "percent": 12.5}, "shadow": {"version": 5}, "free": {"version": 1}}}"#,
        );
        assert_eq!(policy.problems(), Vec::<String>::new());
        assert_eq!(["stable", "canary", "shadow", "free"].map(|label| policy.percent(label)), [87.5, 12.5, 100.0, 0.0]);
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let wrong = policy(
            r#"{"labels": {"Canary": {"version": 0, "percent": -1}, "canary": {"version": "newest"}}, "salt": "", "guard": {"looks": 0, "max_p99_ratio": 0.5}}"#,
        );
        let problems = wrong.problems();
        assert_eq!(problems.len(), 8, "{problems:#?}");
        let sum =
            policy(r#"{"labels": {"stable": {"version": 3, "percent": 80}, "canary": {"version": 4, "percent": 10}}}"#);
        assert_eq!(sum.problems(), ["the shares sum up to 90 percent, wanted 100"]);
        let more = policy(
            r#"{"labels": {"stable": {"version": 3}, "b": {"version": 4, "percent": 60}, "c": {"version": 5, "percent": 60}}}"#,
        );
        assert_eq!(more.problems(), ["the labels beside stable have 120 percent, wanted at most 100"]);
    }

    #[test]
    fn what_is_misspelt_is_no_policy() {
        let misspelt = [
            r#"{"labels": {}, "weights": {}}"#,
            r#"{"labels": {"stable": {"version": "latest"}}}"#,
            r#"{"labels": {"stable": {"version": 1, "share": 3}}}"#,
            r#"{"labels": {"stable": {"version": -1}}}"#,
        ];
        for json in misspelt {
            assert!(serde_json::from_str::<Policy>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_policy_is_written_as_it_was_read() {
        let json = r#"{"labels":{"canary":{"version":4,"percent":10.0},"stable":{"version":"newest"}},"salt":"x"}"#;
        assert_eq!(serde_json::to_string(&policy(json)).unwrap(), json);
    }
}
