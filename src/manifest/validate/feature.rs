//! Features, each for itself.

use std::collections::HashSet;

use jiff::civil::Date;

use super::{Problems, quoted};
use crate::manifest::{Calendar, DefaultValue, Encoding, Feature, Kind, LONGEST_LIST, Manifest, Transform};

/// Most features of a version.
const MOST_FEATURES: usize = 4096;

/// Most ids of a hashed feature: no table of embeddings is larger.
const MOST_BUCKETS: u64 = 1 << 31;

/// Longest horizon, in days.
pub(super) const LONGEST_HORIZON: u32 = 366;

pub(super) fn check(manifest: &Manifest, problems: &mut Problems) {
    if manifest.features.len() > MOST_FEATURES {
        problems.add("features", manifest.features.len(), format!("at most {MOST_FEATURES}"));
    }
    problems.names(manifest.features.iter().map(|feature| feature.name.as_str()), |i| format!("features[{i}].name"));
    for (index, feature) in manifest.features.iter().enumerate() {
        let feature = Checked { feature, path: format!("features[{index}]") };
        feature.check_absence(problems);
        feature.check_range(problems);
        feature.check_transform(problems);
        feature.check_encoding(problems);
        feature.check_max_len(problems);
        feature.check_calendar(problems);
    }
}

struct Checked<'m> {
    feature: &'m Feature,
    path: String,
}

impl Checked<'_> {
    /// `features[3].range of "rating"`
    fn at(&self, key: &str) -> String {
        format!("{}.{key} of {}", self.path, quoted(&self.feature.name))
    }

    fn check_absence(&self, problems: &mut Problems) {
        let Feature { kind, required, default, .. } = self.feature;
        match (kind, required, default) {
            (Kind::Calendar, false, None) => {}
            (Kind::Calendar, _, _) => problems.add(self.at("kind"), "calendar", "neither required nor default with it"),
            (_, true, Some(_)) => problems.add(self.at("default"), "a default and required: true", "one of the two"),
            (_, false, None) => problems.add(self.at("default"), "none", "a default or required: true"),
            (_, true, None) => {}
            (_, false, Some(default)) => self.check_default(default, problems),
        }
    }

    fn check_default(&self, default: &DefaultValue, problems: &mut Problems) {
        let kind = self.feature.kind;
        let fits = match default {
            DefaultValue::Missing => true,
            DefaultValue::Number(_) => kind == Kind::Number,
            // An empty category counts as absent, so it can't stand in for an absent one.
            DefaultValue::Category(category) => kind == Kind::Category && !category.is_empty(),
            // JSON's empty list is read as one of numbers.
            DefaultValue::Numbers(numbers) => kind == Kind::NumberList || (kind.is_list() && numbers.is_empty()),
            DefaultValue::Categories(_) => kind == Kind::CategoryList,
        };
        if !fits {
            let wanted = format!("null or what the kind {} holds", kind.as_str());
            return problems.add(self.at("default"), format!("{default:?}"), wanted);
        }
        let numbers = match default {
            DefaultValue::Number(number) => std::slice::from_ref(number),
            DefaultValue::Numbers(numbers) => numbers,
            DefaultValue::Missing | DefaultValue::Category(_) | DefaultValue::Categories(_) => &[],
        };
        let refused = |number: &&f64| !self.takes(**number);
        if let Some(number) = numbers.iter().find(refused) {
            problems.add(self.at("default"), number, "a number that the range and the transform take");
        }
    }

    fn takes(&self, number: f64) -> bool {
        let log1p = self.feature.transform.is_some_and(|transform| transform.log1p);
        let ranged = self.feature.range.is_none_or(|[low, high]| low > high || (low..=high).contains(&number));
        ranged && (!log1p || number > -1.0)
    }

    fn check_range(&self, problems: &mut Problems) {
        let Feature { kind, range, .. } = self.feature;
        match range {
            Some(_) if !matches!(kind, Kind::Number | Kind::NumberList) => {
                problems.add(self.at("range"), format!("a range for kind {}", kind.as_str()), "one for numbers only");
            }
            Some([low, high]) if low > high => {
                problems.add(self.at("range"), format!("[{low}, {high}]"), "the lower end first");
            }
            Some(_) | None => {}
        }
    }

    fn check_transform(&self, problems: &mut Problems) {
        let Feature { kind, range, transform, .. } = self.feature;
        let Some(Transform { log1p, std, .. }) = transform else { return };
        if !kind.is_numeric() {
            let found = format!("a transform for kind {}", kind.as_str());
            problems.add(self.at("transform"), found, "one for numbers only");
        }
        if *std <= 0.0 {
            problems.add(self.at("transform.std"), std, "a number above 0");
        }
        if let Some([low, _]) = range
            && *log1p
            && *low <= -1.0
        {
            problems.add(self.at("range"), format!("{low} with log1p"), "a lower end above -1");
        }
    }

    fn check_encoding(&self, problems: &mut Problems) {
        let categories = matches!(self.feature.kind, Kind::Category | Kind::CategoryList);
        let fits = match &self.feature.encoding {
            None => return,
            Some(Encoding::Vocabulary(words)) => {
                if words.is_empty() {
                    problems.add(self.at("encoding.vocabulary"), "no category", "at least one");
                }
                problems.names(words.iter().map(String::as_str), |i| self.at(&format!("encoding.vocabulary[{i}]")));
                categories
            }
            Some(Encoding::Hash { buckets }) => {
                if !(2..=MOST_BUCKETS).contains(buckets) {
                    problems.add(self.at("encoding.hash.buckets"), buckets, format!("2 to {MOST_BUCKETS}"));
                }
                categories
            }
            Some(Encoding::Edges(edges)) => {
                if edges.is_empty() {
                    problems.add(self.at("encoding.edges"), "no edge", "at least one");
                }
                problems.ascending(self.at("encoding.edges"), edges);
                !categories
            }
        };
        if !fits {
            let wanted = "vocabulary or hash for categories, edges for numbers";
            problems.add(self.at("encoding"), format!("another for kind {}", self.feature.kind.as_str()), wanted);
        }
    }

    fn check_max_len(&self, problems: &mut Problems) {
        let Feature { kind, max_len, .. } = self.feature;
        match max_len {
            None if kind.is_list() => problems.0.push(format!("{}: missing", self.at("max_len"))),
            Some(len) if !kind.is_list() => problems.add(self.at("max_len"), len, "one for lists only"),
            Some(len) if !(1..=LONGEST_LIST).contains(len) => {
                problems.add(self.at("max_len"), len, format!("1 to {LONGEST_LIST}"));
            }
            Some(_) | None => {}
        }
    }

    fn check_calendar(&self, problems: &mut Problems) {
        match (&self.feature.calendar, self.feature.kind) {
            (None, Kind::Calendar) => problems.0.push(format!("{}: missing", self.at("calendar"))),
            (Some(_), kind) if kind != Kind::Calendar => {
                problems.add(self.at("calendar"), format!("one for kind {}", kind.as_str()), "kind calendar with it");
            }
            (Some(Calendar::DatesInHorizon { dates, horizon_days }), _) => {
                self.check_dates(dates, problems);
                if !(1..=LONGEST_HORIZON).contains(horizon_days) {
                    let path = self.at("calendar.dates_in_horizon.horizon_days");
                    problems.add(path, horizon_days, format!("1 to {LONGEST_HORIZON}"));
                }
            }
            (Some(Calendar::DayOfWeek | Calendar::Month) | None, _) => {}
        }
    }

    fn check_dates(&self, dates: &[String], problems: &mut Problems) {
        let mut seen = HashSet::new();
        for (index, text) in dates.iter().enumerate() {
            let path = || self.at(&format!("calendar.dates_in_horizon.dates[{index}]"));
            match text.parse::<Date>() {
                Err(_) => problems.add(path(), quoted(text), "a date, YYYY-MM-DD"),
                // The parser alone would also take `20260501` and a date with a time.
                Ok(date) if date.to_string() != *text => problems.add(path(), quoted(text), "a date, YYYY-MM-DD"),
                Ok(date) if !seen.insert(date) => problems.add(path(), format!("{date} again"), "each once"),
                Ok(_) => {}
            }
        }
    }
}
