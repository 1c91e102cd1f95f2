//! A histogram as it is counted, and what is told of what it gained.

use prometheus::proto::Histogram;

/// How many values lie up to each bound.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Buckets {
    /// Upper bounds, ascending and finite.
    bounds: Vec<f64>,
    /// Values up to each bound, and all of them last.
    up_to: Vec<u64>,
    sum: f64,
}

impl Buckets {
    pub(super) fn of(histogram: &Histogram) -> Self {
        let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
        let (bounds, mut up_to): (Vec<f64>, Vec<u64>) =
            finite.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).unzip();
        up_to.push(histogram.get_sample_count());
        Self { bounds, up_to, sum: histogram.get_sample_sum() }
    }

    pub(super) fn count(&self) -> u64 {
        self.up_to.last().copied().unwrap_or_default()
    }

    /// Takes those of another histogram in; of other bounds than its own only where it
    /// has none yet.
    pub(super) fn add(&mut self, other: &Self) {
        if self.up_to.is_empty() {
            *self = other.clone();
        } else if self.bounds == other.bounds {
            self.up_to.iter_mut().zip(&other.up_to).for_each(|(own, other)| *own += other);
            self.sum += other.sum;
        }
    }

    /// What came after `before`.
    pub(super) fn gained(&self, before: &Self) -> Self {
        if before.bounds != self.bounds {
            return self.clone();
        }
        let up_to = self.up_to.iter().zip(&before.up_to).map(|(now, before)| now.saturating_sub(*before)).collect();
        Self { bounds: self.bounds.clone(), up_to, sum: self.sum - before.sum }
    }

    /// `None` where there is no value.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum / self.count() as f64)
    }

    /// A percentile, as Prometheus' `histogram_quantile` estimates it: between a bucket's
    /// bounds as if its values were spread evenly, and the largest bound for what lies
    /// above. `None` where there is no value.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * (self.count() > 0).then_some(self.count())? as f64;
        let (mut lower, mut below) = (0.0, 0);
        for (bound, up_to) in self.bounds.iter().zip(&self.up_to) {
            if *up_to as f64 >= rank && *up_to > below {
                return Some(lower + (bound - lower) * (rank - below as f64) / (up_to - below) as f64);
            }
            (lower, below) = (*bound, *up_to);
        }
        self.bounds.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(up_to: [u64; 4]) -> Buckets {
        Buckets { bounds: vec![1.0, 2.0, 5.0], up_to: up_to.into(), sum: 10.0 }
    }

    #[test]
    fn a_percentile_lies_between_the_bounds_of_its_bucket() {
        let of = |share| buckets([0, 50, 100, 100]).quantile(share);
        assert_eq!((of(0.5), of(0.25), of(0.75), of(1.0)), (Some(2.0), Some(1.5), Some(3.5), Some(5.0)));
        assert_eq!(of(0.0), Some(1.0), "the first bucket is empty");
    }

    #[test]
    fn what_lies_above_all_bounds_is_the_largest() {
        assert_eq!(buckets([0, 0, 0, 7]).quantile(0.5), Some(5.0));
        assert_eq!(buckets([0, 0, 0, 0]).quantile(0.5), None);
        assert_eq!(Buckets::default().quantile(0.5), None);
    }

    #[test]
    fn only_what_was_gained_counts() {
        let gained = buckets([10, 60, 110, 110]).gained(&buckets([10, 60, 60, 60]));
        assert_eq!((gained.count(), gained.quantile(0.5), gained.mean()), (50, Some(3.5), Some(0.0)));
        assert_eq!(buckets([1, 1, 1, 1]).gained(&Buckets::default()).count(), 1);
    }

    #[test]
    fn histograms_of_one_kind_add_up() {
        let mut all = Buckets::default();
        all.add(&buckets([1, 2, 3, 4]));
        all.add(&buckets([1, 2, 3, 4]));
        assert_eq!((all.count(), all.mean()), (8, Some(2.5)));
        all.add(&Buckets { bounds: vec![7.0], up_to: vec![1, 1], sum: 7.0 });
        assert_eq!(all.count(), 8);
    }
}
