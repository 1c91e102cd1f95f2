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

    fn outputs(columns: &[&[f32]]) -> Rows {
        let column = |values: &&[f32]| Column { width: values.len(), values: Values::F32(values.to_vec()) };
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
            let portrait = head.portrait(&outputs(&[&logits]), 0).unwrap();
            for ((_, found), wanted) in portrait.groups[0].tags.iter().zip(probabilities) {
                assert!((found - wanted).abs() <= RELATIVE * wanted, "found {found}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn groups_and_tags_keep_the_manifests_order() {
        let head = head();
        let portrait = head.portrait(&outputs(&[&[2.0, 0.0], &[0.0, 0.0, 0.0], &[1.0, 2.0, 3.0, 4.0]]), 0).unwrap();
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
        let said = |columns: &[&[f32]]| head().portrait(&outputs(columns), 0).unwrap_err().to_string();
        let (age, departments, embedding) = ([0.0; 2], [0.0; 3], [0.0; 4]);
        assert_eq!(said(&[&[f32::NAN, 0.0], &departments, &embedding]), "a logit of `age` is not finite");
        assert_eq!(said(&[&age, &[0.0, f32::INFINITY, 0.0], &embedding]), "a logit of `departments` is not finite");
        assert_eq!(said(&[&age, &departments, &[0.0, 0.0, 0.0, f32::NAN]]), "the embedding is not finite");
    }

    #[test]
    fn outputs_of_another_shape_are_named() {
        let said = |columns: &[&[f32]]| head().portrait(&outputs(columns), 0).unwrap_err().to_string();
        assert_eq!(said(&[&[0.0; 3]]), "output `age` holds 3 floats for this row, wanted 2");
        assert_eq!(said(&[&[0.0; 2]]), "output `departments` holds 0 floats for this row, wanted 3");
    }

    proptest! {
        #[test]
        fn exclusive_tags_sum_to_one(logits in prop::array::uniform2(prop::num::f32::NORMAL)) {
            let head = head();
            let portrait = head.portrait(&outputs(&[&logits, &[0.0; 3], &[0.0; 4]]), 0).unwrap();
            let sum: f64 = portrait.groups[0].tags.iter().map(|(_, probability)| probability).sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }

        #[test]
        fn every_probability_lies_between_zero_and_one(logits in prop::array::uniform3(prop::num::f32::NORMAL)) {
            let head = head();
            let portrait = head.portrait(&outputs(&[&[0.0; 2], &logits, &[0.0; 4]]), 0).unwrap();
            prop_assert!(portrait.groups[1].tags.iter().all(|(_, probability)| (0.0..=1.0).contains(probability)));
        }
    }
}
