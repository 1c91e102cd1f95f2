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
        let first = self.first;
        (0..64).filter(move |index| first >> index & 1 == 1).chain(self.others.iter().copied())
    }
}
