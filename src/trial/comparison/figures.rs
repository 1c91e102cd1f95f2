//! The figures of two versions' answers to the same rows.

use super::order::{rank_correlation, top_decile_overlap};

/// How the answers of one head differ. Differences are the other version's answer
/// less the live one's.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Rows that both answered.
    pub rows: usize,
    /// The mean difference.
    pub mean: f64,
    /// The mean of the absolute differences.
    pub mean_absolute: f64,
    /// The standard deviation of the differences (numpy's, with `ddof=0`).
    pub deviation: f64,
    /// Percentiles of the absolute differences (numpy's `linear`).
    pub p50: f64,
    /// The 90th.
    pub p90: f64,
    /// The 99th.
    pub p99: f64,
    /// The largest absolute difference.
    pub largest: f64,
    /// The sum of the absolute differences by that of the live answers' absolute
    /// values; `None` where these are all 0 and the others are not.
    pub relative: Option<f64>,
    /// Spearman's rank correlation over the rows; the mean over the head's columns of
    /// those that have one.
    pub rank_correlation: Option<f64>,
    /// Which share of the tenth of rows with the largest answers is the same, at least
    /// one row; the mean over the head's columns.
    pub top_decile_overlap: Option<f64>,
}

/// The answers of two versions to the same rows: `rows × width` values each,
/// row-major, all finite.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    pub(super) width: usize,
    pub(super) live: Vec<f64>,
    pub(super) other: Vec<f64>,
}

impl Pairs {
    /// `None` where there is no row.
    pub(super) fn figures(&self) -> Option<Figures> {
        let differences: Vec<f64> = self.other.iter().zip(&self.live).map(|(other, live)| other - live).collect();
        let count = differences.len() as f64;
        if differences.is_empty() || self.width == 0 {
            return None;
        }
        let mean = differences.iter().sum::<f64>() / count;
        let variance = differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>() / count;
        let mut absolute: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
        absolute.sort_unstable_by(f64::total_cmp);
        let total: f64 = absolute.iter().sum();
        Some(Figures {
            rows: differences.len() / self.width,
            mean,
            mean_absolute: total / count,
            deviation: variance.sqrt(),
            p50: percentile(&absolute, 0.5),
            p90: percentile(&absolute, 0.9),
            p99: percentile(&absolute, 0.99),
            largest: absolute.last().copied().unwrap_or_default(),
            relative: relative(total, self.live.iter().map(|live| live.abs()).sum()),
            rank_correlation: self.over_columns(rank_correlation),
            top_decile_overlap: self.over_columns(top_decile_overlap),
        })
    }

    /// The mean of what `of` gives for each column.
    fn over_columns(&self, of: impl Fn(&[f64], &[f64]) -> Option<f64>) -> Option<f64> {
        let column = |values: &[f64], column| values.iter().skip(column).step_by(self.width).copied().collect();
        let columns = (0..self.width).filter_map(|index| {
            let (live, other): (Vec<f64>, Vec<f64>) = (column(&self.live, index), column(&self.other, index));
            of(&live, &other)
        });
        let found: Vec<f64> = columns.collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }
}

fn relative(differences: f64, live: f64) -> Option<f64> {
    match (differences > 0.0, live > 0.0) {
        (_, true) => Some(differences / live),
        (false, false) => Some(0.0),
        (true, false) => None,
    }
}

/// Of ascending values, between its two neighbours by its distance to each.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the values")]
fn percentile(ascending: &[f64], share: f64) -> f64 {
    let place = ascending.len().saturating_sub(1) as f64 * share;
    let below = place.floor() as usize;
    let value = |index: usize| ascending.get(index).or(ascending.last()).copied().unwrap_or_default();
    value(below) + (value(below + 1) - value(below)) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums in another order than numpy's.
    const RELATIVE: f64 = 1e-12;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= RELATIVE * wanted.abs(), "{found}, wanted {wanted}");
    }

    /// Whole numbers that any language computes alike: `a · row mod m`.
    fn column(rows: u32, factor: u32, modulus: u32) -> impl Iterator<Item = f64> {
        (0..rows).map(move |row| f64::from(row * factor % modulus))
    }

    #[test]
    fn two_equal_versions_differ_in_nothing() {
        let live: Vec<f64> = (0..1000).map(|row| (f64::from(row) * 0.37).exp().fract() * 1e4).collect();
        let figures = Pairs { width: 4, live: live.clone(), other: live }.figures().unwrap();
        let zeros = [
            figures.mean,
            figures.mean_absolute,
            figures.deviation,
            figures.p50,
            figures.p90,
            figures.p99,
            figures.largest,
        ];
        assert_eq!((figures.rows, zeros), (250, [0.0; 7]));
        assert_eq!(figures.relative, Some(0.0));
        assert_eq!((figures.rank_correlation, figures.top_decile_overlap), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn nothing_is_said_of_no_rows() {
        assert_eq!(Pairs { width: 1, ..Pairs::default() }.figures(), None);
    }

    #[test]
    fn a_difference_to_nothing_has_no_relation() {
        let figures = |other: f64| Pairs { width: 1, live: vec![0.0], other: vec![other] }.figures().unwrap();
        assert_eq!(figures(0.0).relative, Some(0.0));
        assert_eq!(figures(1.0).relative, None);
    }

    /// What numpy 2.4 and scipy 1.17 give: mean, mean absolute, deviation, p50, p90,
    /// p99, largest, relative, rank correlation, overlap of the top tenth.
    fn is(pairs: &Pairs, rows: usize, wanted: [f64; 10]) {
        let figures = pairs.figures().unwrap();
        let Figures { mean, mean_absolute, deviation, p50, p90, p99, largest, .. } = figures;
        let found = [mean, mean_absolute, deviation, p50, p90, p99, largest];
        let ratios = [figures.relative, figures.rank_correlation, figures.top_decile_overlap].map(Option::unwrap);
        assert_eq!(figures.rows, rows);
        found.into_iter().chain(ratios).zip(wanted).for_each(|(found, wanted)| near(found, wanted));
    }

    #[test]
    fn the_figures_of_a_shifted_version_are_those_of_numpy_and_scipy() {
        let live: Vec<f64> = column(997, 613, 997).collect();
        let other = live.iter().zip(column(997, 331, 97)).map(|(live, noise)| live * 1.05 + noise).collect();
        let wanted = [
            72.83981945837515,
            72.83981945837515,
            31.44170919971912,
            72.45000000000005,
            115.17000000000007,
            135.90400000000008,
            143.20000000000005,
            0.1462646977075806,
            0.9964302378534767,
            0.88,
        ];
        is(&Pairs { width: 1, live, other }, 997, wanted);
    }

    #[test]
    fn ties_are_ranked_as_scipy_ranks_them() {
        let live: Vec<f64> = column(500, 7, 23).collect();
        let other = live.iter().zip(column(500, 11, 5)).map(|(live, noise)| (live / 2.0).floor() + noise).collect();
        let wanted =
            [-3.746, 4.254, 3.602982653302677, 4.0, 9.0, 11.0, 11.0, 0.3863058481656375, 0.9238011954368117, 0.56];
        is(&Pairs { width: 1, live, other }, 500, wanted);
    }

    #[test]
    fn ranks_of_several_columns_are_each_over_the_rows() {
        let columns: [Vec<f64>; 3] =
            [(37, 101), (53, 89), (71, 13)].map(|(factor, modulus)| column(200, factor, modulus).collect());
        let (more, less): (Vec<f64>, Vec<f64>) = (column(200, 3, 7).collect(), column(200, 5, 11).collect());
        let row = |row: usize| columns.each_ref().map(|column| column[row]);
        let changed = |at: usize| {
            let [one, two, three] = row(at);
            [one + more[at], two * 0.5, three - less[at]]
        };
        let (live, other) = ((0..200).flat_map(row).collect(), (0..200).flat_map(changed).collect());
        let wanted = [
            -8.044166666666667,
            10.040833333333333,
            13.03725939907958,
            5.0,
            31.05000000000001,
            43.0,
            44.0,
            0.30011457606854636,
            0.915718436686013,
            0.7166666666666667,
        ];
        is(&Pairs { width: 3, live, other }, 200, wanted);
    }
}
