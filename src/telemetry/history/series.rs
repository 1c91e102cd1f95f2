//! One figure over time.

use std::collections::VecDeque;

use super::KEPT;

/// The last values of one figure.
pub(super) struct Series {
    values: VecDeque<f32>,
    /// What it is where there is nothing to say: 0, or NaN.
    blank: f32,
    /// How many of the last values are that.
    idle: usize,
}

impl Series {
    /// Blank for all points but the last of so many.
    pub(super) fn begun(blank: f32, points: usize, value: f32) -> Self {
        let mut values = VecDeque::with_capacity(KEPT + 1);
        values.resize(points.saturating_sub(1), blank);
        let mut series = Self { values, blank, idle: points.saturating_sub(1) };
        series.push(Some(value));
        series
    }

    /// The value of one more point.
    pub(super) fn push(&mut self, value: Option<f32>) {
        let value = rounded(value.unwrap_or(self.blank));
        self.idle = if is_nothing(value) { self.idle + 1 } else { 0 };
        self.values.push_back(value);
        if self.values.len() > KEPT {
            self.values.pop_front();
        }
    }

    /// Whether no value says anything.
    pub(super) fn is_nothing(&self) -> bool {
        self.idle >= self.values.len()
    }

    /// The values after the first `skipped`, unless none of them says anything.
    pub(super) fn since(&self, skipped: usize) -> Option<Vec<f32>> {
        let left = self.values.len().saturating_sub(skipped);
        (self.idle < left).then(|| self.values.iter().skip(skipped).copied().collect())
    }
}

pub(super) fn is_nothing(value: f32) -> bool {
    value == 0.0 || value.is_nan()
}

/// To four digits: more than a chart shows, and half as many bytes as all of them.
fn rounded(value: f32) -> f32 {
    if is_nothing(value) || !value.is_finite() {
        return value;
    }
    let value = f64::from(value);
    let unit = 10_f64.powf(value.abs().log10().floor() - 3.0);
    // By a division where it can be: 0.1 is none of the numbers that this computes with.
    let rounded =
        if unit < 1.0 { (value / unit).round() / (1.0 / unit).round() } else { (value / unit).round() * unit };
    #[expect(clippy::cast_possible_truncation, reason = "it was one before")]
    let rounded = rounded as f32;
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_four_digits() {
        let written = |value: f32| serde_json::to_string(&rounded(value)).unwrap();
        assert_eq!(
            [0.0, 1.0 / 3.0, 12_345.678, 0.000_123_456, 123.456, 1e9, -2.0 / 3.0].map(written),
            ["0.0", "0.3333", "12350.0", "0.0001235", "123.5", "1000000000.0", "-0.6667"]
        );
        assert_eq!(written(f32::NAN), "null");
    }

    #[test]
    fn a_series_that_says_nothing_is_nothing() {
        let mut series = Series::begun(0.0, 3, 2.5);
        assert_eq!(series.since(0), Some(vec![0.0, 0.0, 2.5]));
        series.push(None);
        assert_eq!(series.since(3), None);
        (0..KEPT - 2).for_each(|_| series.push(None));
        assert!(!series.is_nothing());
        series.push(Some(0.0));
        assert!(series.is_nothing() && series.values.len() == KEPT);
    }
}
