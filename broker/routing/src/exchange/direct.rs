//! Exact keys.

use foldhash::HashMap;

use model::key::{KeyPattern, RoutingKey};

use crate::binding::Bound;

/// Compares keys as text: a pattern's wildcards are characters like others.
#[derive(Debug)]
pub(crate) struct Direct<V> {
    by_key: HashMap<RoutingKey, Bound<V>>,
}

impl<V: Ord> Direct<V> {
    pub(crate) fn insert(&mut self, pattern: &KeyPattern, value: V) -> Option<V> {
        self.by_key.entry(pattern.to_key()).or_default().insert(value)
    }

    pub(crate) fn remove(&mut self, pattern: &KeyPattern, value: &V) -> Option<V> {
        let key = pattern.to_key();
        let bound = self.by_key.get_mut(&key)?;
        let gone = bound.remove(value);
        if bound.is_empty() {
            self.by_key.remove(&key);
        }
        gone
    }

    pub(crate) fn for_each_match<'e>(&'e self, key: &RoutingKey, visit: impl FnMut(&'e V)) {
        self.by_key.get(key).into_iter().flat_map(Bound::as_slice).for_each(visit);
    }

    pub(crate) fn for_each<'e>(&'e self, visit: impl FnMut(&'e V)) {
        self.by_key.values().flat_map(Bound::as_slice).for_each(visit);
    }
}

impl<V> Default for Direct<V> {
    fn default() -> Self {
        Self { by_key: HashMap::default() }
    }
}
