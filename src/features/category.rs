//! Categories: how they become ids.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::names::Names;

/// Longest `name=value` in bytes that is hashed in one go on the stack, which
/// costs as much as the stack is long. Longer ones are streamed.
const SHORT: usize = 64;

/// How a category becomes an id. 0 is for empty and unknown ones.
#[derive(Debug, Clone)]
pub(super) enum CategoryIds {
    /// The position in the manifest's list, from 1.
    Vocabulary(Names<i64>),
    /// By hash.
    Hash(Hash),
}

/// `1 + h % (buckets - 1)`, where `h` is the xxh3-64 of `name=value`.
#[derive(Debug, Clone)]
pub(super) struct Hash {
    /// `name=`
    prefix: Box<[u8]>,
    /// The same, with room for a value behind it.
    short: [u8; SHORT],
    /// From 2.
    buckets: u64,
}

impl CategoryIds {
    pub(super) fn vocabulary(words: &[String]) -> Self {
        Self::Vocabulary(words.iter().zip(1..).map(|(word, id)| (word.as_str().into(), id)).collect())
    }

    /// `name` is the feature's full name, such as `events.item`.
    pub(super) fn hash(name: &str, buckets: u64) -> Self {
        // A checked manifest has 2 buckets or more; fewer would divide by zero.
        Self::Hash(Hash::new(format!("{name}=").into_bytes(), buckets.max(2)))
    }

    pub(super) fn id(&self, category: &str) -> i64 {
        match self {
            _ if category.is_empty() => 0,
            Self::Vocabulary(ids) => ids.get(category).copied().unwrap_or(0),
            Self::Hash(hash) => hash.id(category),
        }
    }

    /// Every id is below this.
    pub(super) fn below(&self) -> i64 {
        match self {
            Self::Vocabulary(ids) => ids.len() as i64 + 1,
            Self::Hash(hash) => hash.buckets as i64,
        }
    }
}

impl Hash {
    fn new(prefix: Vec<u8>, buckets: u64) -> Self {
        let mut short = [0; SHORT];
        short.iter_mut().zip(&prefix).for_each(|(to, from)| *to = *from);
        Self { prefix: prefix.into(), short, buckets }
    }

    fn id(&self, category: &str) -> i64 {
        (1 + self.digest(category.as_bytes()) % (self.buckets - 1)) as i64
    }

    fn digest(&self, category: &[u8]) -> u64 {
        let (mut short, end) = (self.short, self.prefix.len() + category.len());
        match short.get_mut(..end).and_then(|text| text.split_at_mut_checked(self.prefix.len())) {
            Some((_, value)) => value.copy_from_slice(category),
            None => return self.long_digest(category),
        }
        xxh3_64(short.get(..end).unwrap_or_default())
    }

    #[cold]
    fn long_digest(&self, category: &[u8]) -> u64 {
        let mut long = Xxh3::new();
        long.update(&self.prefix);
        long.update(category);
        long.digest()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn xxh3_gives_its_published_answers() {
        // XXH3_64bits with seed 0 of the empty input, from xxHash's own sanity tests.
        assert_eq!(xxh3_64(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(Xxh3::new().digest(), 0x2D06_8005_38D3_94C2);
    }

    #[test]
    fn a_vocabulary_counts_from_one_and_compares_bytes() {
        let ids = CategoryIds::vocabulary(&["Paris".to_owned(), "Lyon".to_owned()]);
        assert_eq!(["Paris", "Lyon", "paris", "Nice", ""].map(|city| ids.id(city)), [1, 2, 0, 0, 0]);
        assert_eq!(ids.below(), 3);
    }

    #[test]
    fn an_empty_category_has_no_hash() {
        assert_eq!(CategoryIds::hash("city", 50).id(""), 0);
    }

    #[test]
    fn two_buckets_leave_one_for_all_categories() {
        let ids = CategoryIds::hash("city", 2);
        assert_eq!([ids.id("Paris"), ids.id("Lyon"), ids.below()], [1, 1, 2]);
    }

    proptest! {
        #[test]
        fn short_and_long_categories_are_hashed_alike(name in "[a-z.]{1,20}", category in ".{0,400}") {
            let CategoryIds::Hash(hash) = CategoryIds::hash(&name, 1000) else { unreachable!() };
            prop_assert_eq!(hash.digest(category.as_bytes()), xxh3_64(format!("{name}={category}").as_bytes()));
        }

        #[test]
        fn ids_of_hashes_are_within_the_bound(buckets in 2..5000_u64, category in ".{1,20}") {
            let ids = CategoryIds::hash("item", buckets);
            prop_assert!((1..ids.below()).contains(&ids.id(&category)));
        }
    }
}
