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

    /// A portrait of nobody, to be read into.
    pub fn blank(&self) -> Portrait<'_> {
        Portrait { groups: self.groups.iter().map(TagHead::blank).collect(), embedding: Vec::new() }
    }

    /// Reads the portrait of one row. `into` was made by [`PortraitHead::blank`].
    ///
    /// # Errors
    ///
    /// [`HeadError::NotFinite`] where an output is not finite or its calibrated
    /// logit overflows, [`HeadError::Shape`] where the outputs are not the
    /// manifest's. `into` is then of no use.
    pub fn portrait(&self, outputs: &Rows, row: usize, into: &mut Portrait<'_>) -> Result<(), HeadError> {
        for (head, group) in self.groups.iter().zip(&mut into.groups) {
            head.read(outputs, row, &mut group.tags)?;
        }
        match &self.embedding {
            Some(source) => read_embedding(source, outputs, row, &mut into.embedding),
            None => Ok(()),
        }
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

    fn blank(&self) -> Group<'_> {
        let tags = self.labels.iter().map(|label| (label.as_str(), 0.0)).collect();
        Group { name: &self.name, exclusive: self.exclusive, tags }
    }

    fn read(&self, outputs: &Rows, row: usize, tags: &mut [(&str, f64)]) -> Result<(), HeadError> {
        let logits = self.source.read(outputs, row)?;
        for ((_, value), logit) in tags.iter_mut().zip(self.calibrated(logits)) {
            *value = finite(logit, || format!("a logit of `{}`", self.name))?;
        }
        if self.exclusive {
            softmax(tags);
        } else {
            tags.iter_mut().for_each(|(_, value)| *value = sigmoid(*value));
        }
        Ok(())
    }

    /// `logits · scale + bias`; a missing bias is 0.
    fn calibrated(&self, logits: &[f32]) -> impl Iterator<Item = f64> {
        let Calibration { scale, bias } = &self.calibration;
        let biases = bias.iter().copied().chain(std::iter::repeat(0.0));
        logits.iter().zip(biases).map(move |(&logit, bias)| f64::from(logit) * scale + bias)
    }
}

/// Logits become probabilities that sum to 1. The largest logit is taken off
/// first, so that no exponential overflows.
fn softmax(tags: &mut [(&str, f64)]) {
    let largest = tags.iter().map(|(_, logit)| *logit).fold(f64::NEG_INFINITY, f64::max);
    tags.iter_mut().for_each(|(_, value)| *value = (*value - largest).exp());
    let sum: f64 = tags.iter().map(|(_, exponential)| exponential).sum();
    tags.iter_mut().for_each(|(_, value)| *value /= sum);
}

fn read_embedding(source: &Source, outputs: &Rows, row: usize, into: &mut Vec<f32>) -> Result<(), HeadError> {
    let values = source.read(outputs, row)?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(HeadError::NotFinite { what: "the embedding".to_owned() });
    }
    into.clear();
    into.extend_from_slice(values);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::heads::Head;
    use crate::manifest::fixture;
    use crate::rows::{Column, Values};

    /// Two implementations of `exp`, in 64 bits.
    const RELATIVE: f64 = 1e-12;

    #[derive(Deserialize)]
    struct Reference {
        logits: Vec<f32>,
        kind: String,
        scale: f64,
        bias: Vec<f64>,
        probabilities: Vec<f64>,
    }

    fn head() -> PortraitHead {
        head_of(&fixture::portrait())
    }

    fn head_of(manifest: &serde_json::Value) -> PortraitHead {
        let Head::Portrait(head) = Head::new(&fixture::parsed(manifest).unwrap()) else { panic!("no portraits") };
        head
    }

    impl PortraitHead {
        fn portrait_of(&self, outputs: &Rows, row: usize) -> Result<Portrait<'_>, HeadError> {
            let mut portrait = self.blank();
            self.portrait(outputs, row, &mut portrait).map(|()| portrait)
        }
    }

    fn outputs(columns: &[&[f32]]) -> Rows {
        let column = |values: &&[f32]| Column::new(values.len(), Values::F32(values.to_vec()));
        Rows::new(1, columns.iter().map(column).collect()).unwrap()
    }

    #[test]
    fn probabilities_are_those_of_training() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/heads.json")).unwrap();
        let references: Vec<Reference> = serde_json::from_value(file["portrait"].clone()).unwrap();
        assert!(references.len() >= 6, "the fixture is cut short");
        for Reference { logits, kind, scale, bias, probabilities } in references {
            let labels: Vec<_> = (0..logits.len()).map(|label| label.to_string()).collect();
            let mut manifest = fixture::portrait();
            manifest["outputs"] = json!([{"name": "tags", "dtype": "float32", "shape": [logits.len()]}]);
            manifest["head"]["groups"] = json!([{"name": "tags", "kind": kind, "output": "tags", "labels": labels,
                "calibration": {"scale": scale, "bias": bias}}]);
            let head = head_of(&manifest);
            let portrait = head.portrait_of(&outputs(&[&logits]), 0).unwrap();
            for ((_, found), wanted) in portrait.groups[0].tags.iter().zip(probabilities) {
                assert!((found - wanted).abs() <= RELATIVE * wanted, "found {found}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn groups_and_tags_keep_the_manifests_order() {
        let head = head();
        let portrait = head.portrait_of(&outputs(&[&[2.0, 0.0], &[0.0, 0.0, 0.0], &[1.0, 2.0, 3.0, 4.0]]), 0).unwrap();
        assert_eq!(portrait.embedding, [1.0, 2.0, 3.0, 4.0]);
        let half = 0.5; // 2 · 0.5 + 0 equals 0 · 0.5 + 1.
        assert_eq!(
            portrait.groups,
            [
                Group { name: "age", exclusive: true, tags: vec![("18-34", half), ("35+", half)] },
                Group {
                    name: "departments",
                    exclusive: false,
                    tags: vec![("FOOD", half), ("DRUG", half), ("MEAT", half)]
                },
            ]
        );
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let said = |columns: &[&[f32]]| head().portrait_of(&outputs(columns), 0).unwrap_err().to_string();
        let (age, departments, embedding) = ([0.0; 2], [0.0; 3], [0.0; 4]);
        assert_eq!(said(&[&[f32::NAN, 0.0], &departments, &embedding]), "a logit of `age` is not finite");
        assert_eq!(said(&[&age, &[0.0, f32::INFINITY, 0.0], &embedding]), "a logit of `departments` is not finite");
        assert_eq!(said(&[&age, &departments, &[0.0, 0.0, 0.0, f32::NAN]]), "the embedding is not finite");
    }

    #[test]
    fn outputs_of_another_shape_are_named() {
        let said = |columns: &[&[f32]]| head().portrait_of(&outputs(columns), 0).unwrap_err().to_string();
        assert_eq!(said(&[&[0.0; 3]]), "output `age` holds 3 floats for this row, wanted 2");
        assert_eq!(said(&[&[0.0; 2]]), "output `departments` holds 0 floats for this row, wanted 3");
    }

    proptest! {
        #[test]
        fn exclusive_tags_sum_to_one(logits in prop::array::uniform2(prop::num::f32::NORMAL)) {
            let head = head();
            let portrait = head.portrait_of(&outputs(&[&logits, &[0.0; 3], &[0.0; 4]]), 0).unwrap();
            let sum: f64 = portrait.groups[0].tags.iter().map(|(_, probability)| probability).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }

        #[test]
        fn every_probability_lies_between_zero_and_one(logits in prop::array::uniform3(prop::num::f32::NORMAL)) {
            let head = head();
            let portrait = head.portrait_of(&outputs(&[&[0.0; 2], &logits, &[0.0; 4]]), 0).unwrap();
            prop_assert!(portrait.groups[1].tags.iter().all(|(_, probability)| (0.0..=1.0).contains(probability)));
        }
    }
}
