//! Which features a row left out.

/// The features that a default stood in for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaulted {
    /// One bit for each of the first 64, which is all that most versions have.
    first: u64,
    /// The positions of others, ascending.
    others: Vec<usize>,
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
