//! Numbers: which are refused, and how they become floats and ids.

use super::calendar::AsOf;
use super::row::Value;
use super::series;
use crate::manifest::Transform;

/// How a number becomes a float.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale(Transform);

/// Which numbers a feature takes.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    range: Option<[f64; 2]>,
    scale: Scale,
    /// Whether all of `range` becomes finite floats, so that nothing but the
    /// range need be looked at.
    range_is_enough: bool,
}

/// How a number becomes an id.
#[derive(Debug, Clone)]
pub(super) enum NumberIds {
    /// 1 + how many of these ascending edges are at or below the number.
    Edges(Box<[f64]>),
    /// The number is the id, from 0 up to here.
    Itself(i64),
}

impl Scale {
    pub(super) fn new(transform: Option<Transform>) -> Self {
        Self(transform.unwrap_or_default())
    }

    /// All in 64 bits, as training does it; rounded to 32 at the end.
    pub(super) fn apply(self, number: f64) -> f32 {
        let Transform { log1p, mean, std } = self.0;
        let number = if log1p { number.ln_1p() } else { number };
        ((number - mean) / std) as f32
    }

    /// Appends what [`Scale::apply`] makes of each number; without a logarithm
    /// several at a time.
    pub(super) fn extend(self, numbers: impl Iterator<Item = f64>, into: &mut Vec<f32>) {
        match self.0 {
            Transform { log1p: true, .. } => into.extend(numbers.map(|number| self.apply(number))),
            // Which taking off 0 and dividing by 1 leaves alone.
            Transform { mean: 0.0, std: 1.0, .. } => into.extend(numbers.map(|number| number as f32)),
            Transform { mean, std, .. } => into.extend(numbers.map(|number| ((number - mean) / std) as f32)),
        }
    }
}

impl Limits {
    pub(super) fn new(range: Option<[f64; 2]>, transform: Option<Transform>) -> Self {
        let scale = Scale::new(transform);
        // The transform is monotonic: what holds at both ends holds between.
        let range_is_enough = range.is_some_and(|ends| ends.into_iter().all(|end| scale.apply(end).is_finite()));
        Self { range, scale, range_is_enough }
    }

    /// Whether all numbers of a value are taken. Says no to what is not finite.
    pub(super) fn take(&self, value: Value<'_>, as_of: AsOf) -> bool {
        match self.range {
            Some([low, high]) if self.range_is_enough => {
                series::all(value, as_of, |number| (low <= number) & (number <= high))
            }
            Some(_) | None => series::all(value, as_of, |number| number.is_finite() && self.refusal(number).is_none()),
        }
    }

    /// Why the finite `number` is refused; `None` where it is taken.
    pub(super) fn refusal(&self, number: f64) -> Option<String> {
        match self.range {
            Some([low, high]) if !(low..=high).contains(&number) => {
                return Some(format!("is {number}, wanted {low} to {high}"));
            }
            Some(_) if self.range_is_enough => return None,
            Some(_) | None => {}
        }
        if self.scale.0.log1p && number <= -1.0 {
            return Some(format!("is {number}, wanted a number above -1, because its logarithm is taken"));
        }
        let too_large = !self.scale.apply(number).is_finite();
        too_large.then(|| format!("is {number}, wanted a number that 32 bits can hold"))
    }
}

impl NumberIds {
    pub(super) fn id(&self, number: f64) -> i64 {
        match self {
            Self::Edges(edges) => 1 + edges.partition_point(|&edge| edge <= number) as i64,
            Self::Itself(_) => number as i64,
        }
    }

    /// Every id is below this.
    pub(super) fn below(&self) -> i64 {
        match self {
            Self::Edges(edges) => edges.len() as i64 + 2,
            Self::Itself(last) => last + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log1p(mean: f64, std: f64) -> Option<Transform> {
        Some(Transform { log1p: true, mean, std })
    }

    #[test]
    fn a_number_without_transform_stays() {
        assert_eq!(Scale::new(None).apply(3.25), 3.25);
    }

    #[test]
    fn the_logarithm_comes_before_mean_and_std() {
        // ln(1 + 6.38905609893065) = 2, (2 - 0.5) / 3 = 0.5
        assert_eq!(Scale::new(log1p(0.5, 3.0)).apply(6.389_056_098_930_65), 0.5);
    }

    #[test]
    fn lists_are_scaled_as_single_numbers_are() {
        let numbers = [0.0, -0.0, 1.5, 1e30, 1234.567];
        for transform in [None, Some(Transform { mean: 2.5, std: 3.0, ..Transform::default() }), log1p(0.5, 3.0)] {
            let (scale, mut list) = (Scale::new(transform), Vec::new());
            scale.extend(numbers.into_iter(), &mut list);
            let single = numbers.map(|number| scale.apply(number).to_bits());
            assert_eq!(list.iter().map(|float| float.to_bits()).collect::<Vec<_>>(), single);
        }
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let limits = Limits::new(Some([0.0, 5.0]), None);
        assert_eq!(limits.refusal(0.0), None);
        assert_eq!(limits.refusal(5.0), None);
        assert_eq!(limits.refusal(5.1).as_deref(), Some("is 5.1, wanted 0 to 5"));
        assert_eq!(limits.refusal(-0.1).as_deref(), Some("is -0.1, wanted 0 to 5"));
    }

    #[test]
    fn numbers_without_a_logarithm_are_refused_even_without_a_range() {
        let limits = Limits::new(None, log1p(0.0, 1.0));
        assert_eq!(limits.refusal(-0.999), None);
        assert!(limits.refusal(-1.0).is_some_and(|why| why.contains("above -1")));
    }

    #[test]
    fn numbers_beyond_32_bits_are_refused() {
        assert!(Limits::new(None, None).refusal(1e39).is_some_and(|why| why.contains("32 bits")));
        assert!(Limits::new(Some([0.0, 1e300]), None).refusal(1e39).is_some());
        assert_eq!(Limits::new(None, log1p(0.0, 1.0)).refusal(1e300), None);
    }

    #[test]
    fn an_edge_belongs_to_the_bucket_above_it() {
        let ids = NumberIds::Edges([1.0, 2.0, 4.0].into());
        assert_eq!([0.5, 1.0, 1.5, 2.0, 3.9, 4.0, 9.0].map(|number| ids.id(number)), [1, 2, 2, 3, 3, 4, 4]);
    }

    proptest! {
        #[test]
        fn ids_of_edges_are_within_the_bound(mut edges in prop::collection::vec(-1e6..1e6, 0..20), number: f64) {
            edges.sort_by(f64::total_cmp);
            let ids = NumberIds::Edges(edges.into());
            prop_assert!((1..ids.below()).contains(&ids.id(number)));
        }

        #[test]
        fn what_the_limits_take_becomes_a_finite_float(
            ends in prop::array::uniform2(prop::num::f64::NORMAL),
            ranged: bool, log1p: bool, mean in -1e9..1e9, std in 1e-9..1e9,
            number in prop::num::f64::NORMAL,
        ) {
            let range = ranged.then(|| [ends[0].min(ends[1]), ends[0].max(ends[1])]);
            let transform = Some(Transform { log1p, mean, std });
            if Limits::new(range, transform).refusal(number).is_none() {
                prop_assert!(Scale::new(transform).apply(number).is_finite());
            }
        }
    }
}
