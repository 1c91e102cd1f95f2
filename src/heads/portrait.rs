//! Portraits of users: tags with probabilities, and an embedding.

use super::{HeadError, Source, finite, sigmoid};
use crate::manifest::{Calibration, GroupSpec, Manifest};
use crate::rows::Rows;

/// Reads portraits out of a model's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct PortraitHead {
    groups: Vec<TagHead>,
    embedding: Option<Source>,
}

/// Reads one group of tags.
#[derive(Debug, Clone, PartialEq)]
struct TagHead {
    name: String,
    exclusive: bool,
    source: Source,
    labels: Vec<String>,
    calibration: Calibration,
}

/// What is known of one user. Names and labels are the head's.
#[derive(Debug, Clone, PartialEq)]
pub struct Portrait<'h> {
    /// In the manifest's order.
    pub groups: Vec<Group<'h>>,
    /// The user's place in the model's space of behaviours; empty where the
    /// version has none.
    pub embedding: Vec<f32>,
}

/// Tags that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'h> {
    /// E.g. `age`.
    pub name: &'h str,
    /// True: exactly one tag holds, and the probabilities sum to 1. False: each
    /// tag holds or not for itself.
    pub exclusive: bool,
    /// `(label, probability)`, in the manifest's order.
    pub tags: Vec<(&'h str, f64)>,
}

impl PortraitHead {
    pub(super) fn new(manifest: &Manifest, groups: &[GroupSpec]) -> Self {
        let embedding = groups.iter().find_map(|group| match group {
            GroupSpec::Embedding { output, .. } => Some(Source::whole(manifest, output)),
            GroupSpec::Softmax { .. } | GroupSpec::Sigmoid { .. } => None,
        });
        Self { groups: groups.iter().filter_map(|group| TagHead::new(manifest, group)).collect(), embedding }
    }

    /// The portrait of one row.
    ///
    /// # Errors
    ///
    /// [`HeadError::NotFinite`] where an output is not finite or its calibrated
    /// logit overflows, [`HeadError::Shape`] where the outputs are not the manifest's.
    pub fn portrait<'h>(&'h self, outputs: &Rows, row: usize) -> Result<Portrait<'h>, HeadError> {
        let groups = self.groups.iter().map(|group| group.read(outputs, row)).collect::<Result<_, _>>()?;
        let embedding = match &self.embedding {
            Some(source) => read_embedding(source, outputs, row)?,
            None => Vec::new(),
        };
        Ok(Portrait { groups, embedding })
    }
}

impl TagHead {
    /// `None` for an embedding, which has no tags.
    fn new(manifest: &Manifest, group: &GroupSpec) -> Option<Self> {
        let (labels, calibration, exclusive) = match group {
            GroupSpec::Softmax { labels, calibration, .. } => (labels, calibration, true),
            GroupSpec::Sigmoid { labels, calibration, .. } => (labels, calibration, false),
            GroupSpec::Embedding { .. } => return None,
        };
        Some(Self {
            name: group.name().to_owned(),
            exclusive,
            source: Source::new(manifest, group.output(), labels.len()),
            labels: labels.clone(),
            calibration: calibration.clone(),
        })
    }

    fn read<'h>(&'h self, outputs: &Rows, row: usize) -> Result<Group<'h>, HeadError> {
        let mut values = self.calibrated(self.source.read(outputs, row)?)?;
        if self.exclusive {
            softmax(&mut values);
        } else {
            values.iter_mut().for_each(|value| *value = sigmoid(*value));
        }
        let tags = self.labels.iter().map(String::as_str).zip(values).collect();
        Ok(Group { name: &self.name, exclusive: self.exclusive, tags })
    }

    /// `logits · scale + bias`; a missing bias is 0.
    fn calibrated(&self, logits: &[f32]) -> Result<Vec<f64>, HeadError> {
        let Calibration { scale, bias } = &self.calibration;
        let biases = bias.iter().copied().chain(std::iter::repeat(0.0));
        let what = || format!("a logit of `{}`", self.name);
        logits.iter().zip(biases).map(|(&logit, bias)| finite(f64::from(logit) * scale + bias, what)).collect()
    }
}

/// Logits become probabilities that sum to 1. The largest logit is taken off
/// first, so that no exponential overflows.
fn softmax(values: &mut [f64]) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f64 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
}

fn read_embedding(source: &Source, outputs: &Rows, row: usize) -> Result<Vec<f32>, HeadError> {
    let values = source.read(outputs, row)?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values.to_vec()),
        false => Err(HeadError::NotFinite { what: "the embedding".to_owned() }),
    }
}
