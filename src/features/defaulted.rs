//! Which features a row left out.

/// The features that a default stood in for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaulted {
    /// One bit for each of the first 64, which is all that most versions have.
    first: u64,
    /// The positions of others, ascending.
    others: Vec<usize>,
}

/// How many rows left out each feature, by the features' positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut(Vec<u64>);

impl LeftOut {
    pub(super) fn none_of(features: usize) -> Self {
        Self(vec![0; features])
    }

    /// One more row, which left these out.
    pub fn add(&mut self, row: &Defaulted) {
        for index in row.iter() {
            if let Some(rows) = self.0.get_mut(index) {
                *rows += 1;
            }
        }
    }

    /// The rows of each feature.
    pub fn rows(&self) -> &[u64] {
        &self.0
    }
}

impl Defaulted {
    /// Whether every feature was sent.
    pub fn is_empty(&self) -> bool {
        self.first == 0 && self.others.is_empty()
    }

    pub(super) fn add(&mut self, index: usize) {
        match index {
            ..64 => self.first |= 1 << index,
            _ => self.others.push(index),
        }
    }

    /// The positions of the features, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + Clone {
        let mut bits = self.first;
        let first = std::iter::from_fn(move || {
            let index = (bits != 0).then(|| bits.trailing_zeros() as usize);
            // The lowest bit off.
            bits &= bits.wrapping_sub(1);
            index
        });
        first.chain(self.others.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(features: &[usize]) -> Defaulted {
        let mut row = Defaulted::default();
        features.iter().for_each(|index| row.add(*index));
        row
    }

    #[test]
    fn rows_are_counted_by_what_they_left_out() {
        let mut left_out = LeftOut::none_of(66);
        for row in [&[][..], &[0, 63, 65], &[63, 64, 65]] {
            left_out.add(&without(row));
        }
        let counted = |index: usize| left_out.rows()[index];
        assert_eq!([0, 1, 63, 64, 65].map(counted), [1, 0, 2, 1, 2]);
        assert_eq!(left_out.rows().iter().sum::<u64>(), 6);
    }
}
