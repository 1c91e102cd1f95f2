//! Draws that need no state but a count: one atomic addition on the way of a request.

/// Whether the draw with this number falls below `share`, which is from 0 to 1.
pub(super) fn below(number: u64, share: f64) -> bool {
    // 53 bits: as many as a float tells apart.
    ((mixed(number) >> 11) as f64) < share * (1_u64 << 53) as f64
}

/// An index below `count` by the draw with this number; 0 where there is none.
pub(super) fn index(number: u64, count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    usize::try_from(mixed(number) % count).unwrap_or_default()
}

/// Numbers that follow each other give numbers that nothing connects.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators"
/// (OOPSLA 2014), `SplitMix64`.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_draws_fall_below_a_share_as_it_says() {
        let drawn = |share: f64| (0..100_000).filter(|number| below(*number, share)).count();
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 100_000));
        assert!((9_700..10_300).contains(&drawn(0.1)));
    }

    #[test]
    fn every_index_is_drawn_about_as_often() {
        let mut counts = [0; 7];
        (0..70_000).for_each(|number| counts[index(number, 7)] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert_eq!(index(5, 0), 0);
    }
}
