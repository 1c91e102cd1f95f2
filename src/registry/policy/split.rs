//! Which arm of a split an entity belongs to: the same on every server, after every
//! restart, and as far as possible after every change of the shares.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Arms with their shares.
///
/// Weighted rendezvous hashing: each arm draws a number for the entity from their
/// names alone, and the largest `-share / ln(number)` wins. A change of shares moves
/// an entity only to an arm that gained by comparison with the one that it leaves.
///
/// Source: Schindelhauer, Schomaker, "Weighted distributed hash tables" (SPAA 2005),
/// the logarithmic method.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::registry) struct Split {
    salt: u64,
    /// Seed and share of each arm.
    arms: Vec<(u64, f64)>,
}

impl Split {
    /// Of arms by name, in any order, with shares in any unit. Arms without a share
    /// get nobody.
    pub(in crate::registry) fn new<'a>(salt: &str, arms: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let seed = |name: &str| xxh3_64_with_seed(name.as_bytes(), 0);
        Self { salt: seed(salt), arms: arms.into_iter().map(|(name, share)| (seed(name), share)).collect() }
    }

    /// The index of the arm of this entity.
    pub(in crate::registry) fn arm(&self, entity_id: &str) -> usize {
        let entity = xxh3_64_with_seed(entity_id.as_bytes(), self.salt);
        let score = |&(arm, share): &(u64, f64)| {
            let drawn = xxh3_64_with_seed(&entity.to_le_bytes(), arm);
            // 53 bits, in the middle of their step: neither 0 nor 1.
            let number = ((drawn >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            if share > 0.0 { -share / number.ln() } else { 0.0 }
        };
        let scores = self.arms.iter().map(score).enumerate();
        scores.max_by(|(_, one), (_, other)| one.total_cmp(other)).map_or(0, |(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: usize = 100_000;

    fn arms(split: &Split) -> Vec<usize> {
        (0..IDS).map(|id| split.arm(&format!("merchant-{id}"))).collect()
    }

    fn share(arms: &[usize], of: usize) -> f64 {
        arms.iter().filter(|arm| **arm == of).count() as f64 / IDS as f64
    }

    #[test]
    fn shares_are_what_was_asked_for() {
        let split = Split::new("merchant_gmv", [("stable", 90.0), ("canary", 10.0), ("idle", 0.0)]);
        let arms = arms(&split);
        // Three standard deviations are 0.0028.
        assert!((share(&arms, 1) - 0.1).abs() < 0.003, "{}", share(&arms, 1));
        assert_eq!(share(&arms, 2), 0.0);
    }

    #[test]
    fn a_change_of_shares_moves_entities_only_to_arms_that_gained() {
        let before = arms(&Split::new("salt", [("stable", 90.0), ("canary", 10.0)]));
        let after = arms(&Split::new("salt", [("canary", 20.0), ("stable", 80.0)]));
        // The order of the arms changed: 1 is the canary before, 0 after.
        assert!(before.iter().zip(&after).all(|(before, after)| *before != 1 || *after == 0));
        assert!((share(&after, 0) - 0.2).abs() < 0.004);
        let three = arms(&Split::new("salt", [("canary", 20.0), ("stable", 75.0), ("b", 5.0)]));
        // None goes back to the stable version.
        assert!(after.iter().zip(&three).all(|(before, after)| before == after || *after != 1));
    }

    #[test]
    fn another_salt_chooses_others() {
        let one = arms(&Split::new("one", [("stable", 90.0), ("canary", 10.0)]));
        let other = arms(&Split::new("other", [("stable", 90.0), ("canary", 10.0)]));
        let both = one.iter().zip(&other).filter(|pair| *pair == (&1, &1)).count() as f64 / IDS as f64;
        assert!((both - 0.01).abs() < 0.002, "{both}");
    }

    #[test]
    fn an_entity_stays_where_it_is_over_releases() {
        let split = Split::new("merchant_gmv", [("stable", 50.0), ("canary", 50.0)]);
        let found: String = (0..32).map(|id| if split.arm(&format!("m-{id}")) == 0 { 's' } else { 'c' }).collect();
        // Written down once: a change of this line moves every merchant of every split.
        assert_eq!(found, "ssscscsscsssccssccccssccssccsscc");
    }
}
