//! The manifest's features and inputs, resolved against the fields of a row.

use std::collections::HashSet;

use super::calendar::{AsOf, CalendarRule};
use super::category::CategoryIds;
use super::check::Place;
use super::names::Names;
use super::number::{Limits, NumberIds, Scale};
use super::row::{Field, FieldKind, Value};
use super::slot::{Rule, Slot};
use crate::manifest::{DefaultValue, Encoding, Feature, InputSpec, Kind, LONGEST_LIST, Manifest};
use crate::rows::Dtype;

/// A feature, and where its values come from.
#[derive(Debug, Clone)]
pub(super) struct PlannedFeature {
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) source: Source,
    pub(super) required: bool,
    pub(super) limits: Limits,
}

/// Where the values of a feature come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The typed field at this position.
    Field(usize),
    /// `extra`, by the feature's name.
    Extra,
    /// `as_of`.
    Calendar(CalendarRule),
}

/// What a name in `extra` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExtraName {
    /// The feature of this version at this position.
    Feature(usize),
    /// A typed field, or a table.
    Typed,
    /// A feature that is computed.
    Computed,
}

/// An input, and what fills it.
#[derive(Debug, Clone)]
pub(super) struct PlannedInput {
    pub(super) dtype: Dtype,
    pub(super) slots: Vec<Slot>,
}

impl Source {
    /// The value of the feature: one of `fields`, what was sent in `extra`, or
    /// computed.
    pub(super) fn value<'r>(&self, fields: &[Value<'r>], extra: Value<'r>, as_of: AsOf) -> Value<'r> {
        match self {
            Self::Field(index) => fields.get(*index).copied().unwrap_or(Value::Absent),
            Self::Extra => extra,
            Self::Calendar(rule) => Value::Number(rule.number(as_of)),
        }
    }
}

impl PlannedFeature {
    /// # Errors
    ///
    /// Why the feature can't be read from such rows.
    pub(super) fn new(feature: &Feature, fields: &[Field]) -> Result<Self, String> {
        Ok(Self {
            name: feature.name.as_str().into(),
            kind: feature.kind,
            source: source(feature, fields)?,
            required: feature.required,
            limits: Limits::new(feature.range, feature.transform),
        })
    }

    pub(super) fn place(&self) -> Place<'_> {
        match self.source {
            Source::Field(_) => Place::Field(&self.name),
            Source::Extra | Source::Calendar(_) => Place::Extra(&self.name),
        }
    }
}

impl PlannedInput {
    /// # Errors
    ///
    /// Each feature that can't fill this input, and why.
    pub(super) fn new(spec: &InputSpec, manifest: &Manifest) -> Result<Self, Vec<String>> {
        let (mut slots, mut problems) = (Vec::new(), Vec::new());
        for name in &spec.features {
            let found = manifest.features.iter().enumerate().find(|(_, feature)| feature.name == *name);
            let found = found.ok_or_else(|| "is not among the manifest's features".to_owned());
            match found.and_then(|(index, feature)| slot(index, feature, spec.dtype)) {
                Ok(slot) => slots.push(slot),
                Err(why) => problems.push(format!("input `{}`: feature `{name}` {why}", spec.name)),
            }
        }
        if problems.is_empty() { Ok(Self { dtype: spec.dtype, slots }) } else { Err(problems) }
    }

    pub(super) fn width(&self) -> usize {
        self.slots.iter().map(Slot::width).sum()
    }
}

/// All names that mean something in `extra`.
pub(super) fn extra_names(features: &[PlannedFeature], fields: &[Field]) -> Names<ExtraName> {
    let of_version = features.iter().enumerate().filter_map(|(index, feature)| match feature.source {
        Source::Field(_) => None,
        Source::Extra => Some((feature.name.clone(), ExtraName::Feature(index))),
        Source::Calendar(_) => Some((feature.name.clone(), ExtraName::Computed)),
    });
    let typed = fields.iter().map(|field| field.name).chain(tables(fields));
    of_version.chain(typed.map(|name| (name.into(), ExtraName::Typed))).collect()
}

fn source(feature: &Feature, fields: &[Field]) -> Result<Source, String> {
    let Feature { name, kind, calendar, .. } = feature;
    let field = fields.iter().position(|field| field.name == name);
    match (kind, calendar, field.and_then(|index| Some((index, fields.get(index)?)))) {
        (Kind::Calendar, Some(_), Some(_)) => Err("is computed, and has the name of a typed field".to_owned()),
        (Kind::Calendar, Some(calendar), None) => CalendarRule::new(calendar).map(Source::Calendar),
        (Kind::Calendar, None, _) => Err("is of kind calendar, but has no `calendar`".to_owned()),
        (_, _, Some((index, field))) if *kind == kind_of(field.kind) => Ok(Source::Field(index)),
        (_, _, Some((_, field))) => {
            Err(format!("is a typed field of kind {}, found kind {}", kind_of(field.kind).as_str(), kind.as_str()))
        }
        (_, _, None) => match tables(fields).into_iter().find(|table| belongs_to(table, name)) {
            Some(table) => Err(format!("is not a column of `{table}`, wanted one of {}", columns(table, fields))),
            None => Ok(Source::Extra),
        },
    }
}

/// The kind of feature that reads such a field.
fn kind_of(field: FieldKind) -> Kind {
    match field {
        FieldKind::Number | FieldKind::Time => Kind::Number,
        FieldKind::Category => Kind::Category,
        FieldKind::Numbers | FieldKind::Times => Kind::NumberList,
        FieldKind::Categories => Kind::CategoryList,
    }
}

/// The names before the dot in `table.column`.
fn tables(fields: &[Field]) -> HashSet<&'static str> {
    fields.iter().filter_map(|field| Some(field.name.split_once('.')?.0)).collect()
}

fn belongs_to(table: &str, name: &str) -> bool {
    name.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn columns(table: &str, fields: &[Field]) -> String {
    let names = fields.iter().map(|field| field.name).filter(|name| belongs_to(table, name));
    names.collect::<Vec<_>>().join(", ")
}

fn slot(index: usize, feature: &Feature, dtype: Dtype) -> Result<Slot, String> {
    let rule = match dtype {
        Dtype::Float32 => dense_rule(feature),
        Dtype::Int64 => id_rule(feature),
        _ => None,
    };
    let rule = rule.ok_or_else(|| format!("of kind {} can't become {dtype} values", feature.kind.as_str()))?;
    let list = if feature.kind.is_list() { feature.max_len } else { None };
    // Checked again because manifests with problems come here too, to find more of them.
    if feature.kind.is_list() && list.is_none_or(|len| len > LONGEST_LIST) {
        return Err(format!("is a list without a max_len up to {LONGEST_LIST}"));
    }
    let words = words(feature.default.as_ref());
    Ok(Slot::new(index, rule, list, default_of(feature, &words)))
}

fn dense_rule(feature: &Feature) -> Option<Rule> {
    feature.kind.is_numeric().then(|| Rule::Dense(Scale::new(feature.transform)))
}

fn id_rule(feature: &Feature) -> Option<Rule> {
    match (&feature.encoding, feature.kind) {
        (Some(Encoding::Vocabulary(words)), Kind::Category | Kind::CategoryList) => {
            Some(Rule::CategoryIds(CategoryIds::vocabulary(words)))
        }
        (Some(Encoding::Hash { buckets }), Kind::Category | Kind::CategoryList) => {
            Some(Rule::CategoryIds(CategoryIds::hash(&feature.name, *buckets)))
        }
        (Some(Encoding::Edges(edges)), Kind::Number | Kind::NumberList | Kind::Calendar) => {
            Some(Rule::NumberIds(NumberIds::Edges(edges.as_slice().into())))
        }
        (None, Kind::Calendar) => {
            let rule = CalendarRule::new(feature.calendar.as_ref()?).ok()?;
            Some(Rule::NumberIds(NumberIds::Itself(rule.last_id()?)))
        }
        (Some(_) | None, _) => None,
    }
}

/// `words` are those of a list.
fn default_of<'a>(feature: &'a Feature, words: &'a [&'a str]) -> Value<'a> {
    match &feature.default {
        None | Some(DefaultValue::Missing) => Value::Absent,
        Some(DefaultValue::Number(number)) => Value::Number(*number),
        Some(DefaultValue::Category(category)) => Value::Category(category),
        Some(DefaultValue::Numbers(numbers)) => Value::Numbers(numbers),
        Some(DefaultValue::Categories(_)) => Value::Categories(words),
    }
}

fn words(default: Option<&DefaultValue>) -> Vec<&str> {
    match default {
        Some(DefaultValue::Categories(words)) => words.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}
