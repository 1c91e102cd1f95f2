//! Values that are made once for each key, and found again without a lock.

use std::{borrow::Borrow, collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;

/// Grows with its keys and forgets none: for keys of a bounded set only.
pub(super) struct Kept<K, V>(ArcSwap<BTreeMap<K, Arc<V>>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(BTreeMap::new()))
    }
}

impl<K: Ord + Clone, V> Kept<K, V> {
    /// Has `read` look at the value of `key`. Where several threads make it at the
    /// same time, each looks at its own and one is kept.
    pub(super) fn with<Q>(&self, key: &Q, make: impl FnOnce() -> V, read: impl FnOnce(&V))
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        match self.0.load().get(key) {
            Some(value) => read(value),
            None => read(&self.keep(&key.to_owned(), make())),
        }
    }

    /// All values that there are by now.
    pub(super) fn values(&self) -> Vec<Arc<V>> {
        self.0.load().values().map(Arc::clone).collect()
    }

    /// The value of `key`, where it was made already.
    pub(super) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.load().get(key).cloned()
    }

    fn keep(&self, key: &K, value: V) -> Arc<V> {
        let value = Arc::new(value);
        self.0.rcu(|kept| {
            let mut kept = BTreeMap::clone(kept);
            kept.entry(key.clone()).or_insert_with(|| Arc::clone(&value));
            kept
        });
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once() {
        let kept = Kept::<String, u8>::default();
        let mut seen = Vec::new();
        kept.with("a", || 1, |value| seen.push(*value));
        kept.with("a", || unreachable!("it was made"), |value| seen.push(*value));
        kept.with("b", || 2, |value| seen.push(*value));
        assert_eq!(seen, [1, 1, 2]);
    }
}
