//! What a version answers to a row, as plain numbers that can be compared with those
//! of another version.

use std::ops::Range;

use crate::{
    heads::{Forecast, GmvHead, Head, HeadError, Portrait, PortraitHead},
    manifest::{GroupSpec, HeadSpec, Manifest},
    model::Version,
    rows::Rows,
};

/// The head of forecasts, by what is compared of it.
const EXPECTED_GMV: &str = "expected_gmv";

/// Reads the numbers of one version's answers, row by row.
pub(super) enum Answers<'v> {
    Gmv(&'v GmvHead, Forecast),
    Portrait(&'v PortraitHead, Portrait<'v>),
    /// Tensors have no rows that travel.
    None,
}

/// The name of one number: its head, and which of it.
type Name = (String, String);

/// The numbers that two versions have in common, head by head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Common {
    /// Of each head its name and how many columns it has.
    heads: Vec<(String, usize)>,
    /// Of each column its places in the answers of the live and of the other version.
    columns: Vec<(usize, usize)>,
}

impl<'v> Answers<'v> {
    pub(super) fn of(version: &'v Version) -> Self {
        match &version.head {
            Head::Gmv(head) => Self::Gmv(head, Forecast::default()),
            Head::Portrait(head) => Self::Portrait(head, head.blank()),
            Head::Tensors => Self::None,
        }
    }

    /// The numbers of one row, in the order of [`names`].
    ///
    /// # Errors
    ///
    /// [`HeadError`] where the outputs are no answer; `into` is then of no use.
    pub(super) fn read(&mut self, outputs: &Rows, row: usize, into: &mut Vec<f64>) -> Result<(), HeadError> {
        into.clear();
        match self {
            Self::Gmv(head, made) => {
                head.forecast(outputs, row, &[], made)?;
                into.push(made.expected_gmv);
            }
            Self::Portrait(head, made) => {
                head.portrait(outputs, row, made)?;
                let tags = made.groups.iter().flat_map(|group| &group.tags);
                into.extend(tags.map(|(_, probability)| *probability));
                into.extend(made.embedding.iter().map(|coordinate| f64::from(*coordinate)));
            }
            Self::None => {}
        }
        Ok(())
    }
}

/// The names of a version's numbers.
fn names(version: &Version) -> Vec<Name> {
    match &version.head {
        Head::Gmv(_) => vec![(EXPECTED_GMV.to_owned(), String::new())],
        Head::Portrait(head) => {
            let blank = head.blank();
            let tags = blank
                .groups
                .iter()
                .flat_map(|group| group.tags.iter().map(|(label, _)| (group.name.to_owned(), (*label).to_owned())));
            tags.chain(coordinates(&version.manifest)).collect()
        }
        Head::Tensors => Vec::new(),
    }
}

/// The names of an embedding's coordinates.
fn coordinates(manifest: &Manifest) -> impl Iterator<Item = Name> {
    let group = embedding(manifest);
    let output = group.and_then(|group| manifest.outputs.iter().find(|output| output.name == group.output()));
    let width = output.and_then(|output| output.width()).unwrap_or_default();
    let name = group.map(GroupSpec::name).unwrap_or_default();
    (0..width).map(move |coordinate| (name.to_owned(), coordinate.to_string()))
}

/// The group that is a place and no answer, if there is one.
pub(super) fn embedding(manifest: &Manifest) -> Option<&GroupSpec> {
    let HeadSpec::Portrait { groups } = &manifest.head else { return None };
    groups.iter().find(|group| matches!(group, GroupSpec::Embedding { .. }))
}

impl Common {
    /// What the answers of both versions have in common.
    pub(super) fn new(live: &Version, other: &Version) -> Self {
        Self::of(&names(live), &names(other))
    }

    fn of(live: &[Name], other: &[Name]) -> Self {
        let mut common = Self { heads: Vec::new(), columns: Vec::new() };
        for (ours, name) in live.iter().enumerate() {
            let Some(theirs) = other.iter().position(|other| other == name) else { continue };
            match common.heads.last_mut().filter(|(head, _)| *head == name.0) {
                Some((_, columns)) => *columns += 1,
                None => common.heads.push((name.0.clone(), 1)),
            }
            common.columns.push((ours, theirs));
        }
        common
    }

    /// How many numbers there are.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Each head with its columns among all.
    pub(super) fn heads(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.heads.iter().scan(0, |end, (head, columns)| {
            let start = *end;
            *end += columns;
            Some((head.as_str(), start..*end))
        })
    }

    /// The common numbers of both answers; `None` where there is none, or where the
    /// answers are not those of the versions.
    pub(super) fn of_row(&self, live: &[f64], other: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
        let both = self.columns.iter().map(|(ours, theirs)| Some((*live.get(*ours)?, *other.get(*theirs)?)));
        both.collect::<Option<(Vec<f64>, Vec<f64>)>>().filter(|(live, _)| !live.is_empty())
    }
}

#[cfg(test)]
impl Common {
    /// Of answers with these names.
    pub(super) fn of_names(live: &[(&str, &str)], other: &[(&str, &str)]) -> Self {
        let owned = |names: &[(&str, &str)]| -> Vec<Name> {
            names.iter().map(|(head, which)| ((*head).to_owned(), (*which).to_owned())).collect()
        };
        Self::of(&owned(live), &owned(other))
    }
}
