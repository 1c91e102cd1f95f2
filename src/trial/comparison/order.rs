//! Whether two versions put the same rows into the same order.

use std::cmp::Ordering;

/// Spearman's rank correlation, with average ranks for ties: what
/// `scipy.stats.spearmanr` gives. Where a side is constant there is none, unless
/// both sides are equal: then it is 1.
///
/// The values are finite, `live` and `other` are of one length.
pub(super) fn rank_correlation(live: &[f64], other: &[f64]) -> Option<f64> {
    let (ours, theirs) = (doubled_ranks(live), doubled_ranks(other));
    // Twice the mean rank. Whole numbers far below 2^53 from here on, so that equal
    // orders give exactly 1.
    let mean = live.len() as f64 + 1.0;
    let centred = ours.iter().zip(&theirs).map(|(our, their)| (our - mean, their - mean));
    let (mut together, mut ours, mut theirs) = (0.0, 0.0, 0.0);
    for (our, their) in centred {
        together += our * their;
        ours += our * our;
        theirs += their * their;
    }
    if ours > 0.0 && theirs > 0.0 {
        return Some(together / (ours * theirs).sqrt());
    }
    (!live.is_empty() && live == other).then_some(1.0)
}

/// Twice the rank of each value, counted from 1; equal values share the average.
fn doubled_ranks(values: &[f64]) -> Vec<f64> {
    let order = sorted(values, f64::total_cmp);
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // Not `total_cmp`, by which -0 is below 0.
    for equal in order.chunk_by(|one, next| value(values, *one) == value(values, *next)) {
        let doubled = (before + 1 + before + equal.len()) as f64;
        equal.iter().filter_map(|row| ranks.get_mut(*row).map(|rank| *rank = doubled)).for_each(drop);
        before += equal.len();
    }
    ranks
}

/// Which share of the tenth of rows with the largest values is the same for both,
/// of equal values those with the smaller index; `None` without rows.
pub(super) fn top_decile_overlap(live: &[f64], other: &[f64]) -> Option<f64> {
    let count = live.len().div_ceil(10);
    let (ours, theirs) = (top(live, count), top(other, count));
    let common = ours.iter().filter(|row| theirs.binary_search(row).is_ok()).count();
    (count > 0).then(|| common as f64 / count as f64)
}

/// The indices of the largest values, ascending.
fn top(values: &[f64], count: usize) -> Vec<usize> {
    let largest_first = |one: &f64, other: &f64| other.partial_cmp(one).unwrap_or(Ordering::Equal);
    let mut rows = sorted(values, largest_first);
    rows.truncate(count);
    rows.sort_unstable();
    rows
}

/// The indices in the order of their values; of equal ones the smaller index first.
fn sorted(values: &[f64], compare: impl Fn(&f64, &f64) -> Ordering) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..values.len()).collect();
    rows.sort_by(|one, other| compare(&value(values, *one), &value(values, *other)));
    rows
}

fn value(values: &[f64], row: usize) -> f64 {
    values.get(row).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_their_average_rank() {
        assert_eq!(doubled_ranks(&[3.0, 1.0, 3.0, 2.0, -0.0, 0.0]), [11.0, 6.0, 11.0, 8.0, 3.0, 3.0]);
    }

    #[test]
    fn a_correlation_is_one_where_the_order_is_the_same_and_minus_one_where_it_is_reversed() {
        let values: Vec<f64> = (0..1000).map(|row| f64::from(row * 7919 % 997)).collect();
        let opposite: Vec<f64> = values.iter().map(|value| -value).collect();
        let squared: Vec<f64> = values.iter().map(|value| value * value).collect();
        assert_eq!(rank_correlation(&values, &values), Some(1.0));
        assert_eq!(rank_correlation(&values, &squared), Some(1.0));
        assert_eq!(rank_correlation(&values, &opposite), Some(-1.0));
    }

    #[test]
    fn a_constant_correlates_with_nothing_but_itself() {
        assert_eq!(rank_correlation(&[2.0; 5], &[2.0; 5]), Some(1.0));
        assert_eq!(rank_correlation(&[2.0; 5], &[3.0; 5]), None);
        assert_eq!(rank_correlation(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(rank_correlation(&[], &[]), None);
    }

    #[test]
    fn the_top_tenth_is_at_least_one_row_and_ties_go_to_the_first() {
        assert_eq!(top_decile_overlap(&[1.0, 1.0, 0.0], &[1.0, 2.0, 0.0]), Some(0.0));
        assert_eq!(top_decile_overlap(&[1.0, 1.0, 0.0], &[7.0, 7.0, 8.0]), Some(0.0));
        assert_eq!(top_decile_overlap(&[1.0, 1.0, 0.0], &[7.0, 7.0, 6.0]), Some(1.0));
        assert_eq!(top_decile_overlap(&[], &[]), None);
    }
}
