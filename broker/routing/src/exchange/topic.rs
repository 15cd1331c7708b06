//! Patterns, through the trie.

use model::key::{KeyPattern, RoutingKey};

use crate::trie::Trie;

/// Matches keys level by level.
#[derive(Debug)]
pub(crate) struct Topic<V> {
    patterns: Trie<V>,
}

impl<V: Ord> Topic<V> {
    pub(crate) fn insert(&mut self, pattern: &KeyPattern, value: V) -> Option<V> {
        self.patterns.insert(pattern, value)
    }

    pub(crate) fn remove(&mut self, pattern: &KeyPattern, value: &V) -> Option<V> {
        self.patterns.remove(pattern, value)
    }

    pub(crate) fn for_each_match<'e>(&'e self, key: &RoutingKey, visit: impl FnMut(&'e V)) {
        self.patterns.for_each_match(key, visit);
    }

    pub(crate) fn for_each<'e>(&'e self, visit: impl FnMut(&'e V)) {
        self.patterns.for_each(visit);
    }
}

impl<V> Default for Topic<V> {
    fn default() -> Self {
        Self { patterns: Trie::default() }
    }
}
