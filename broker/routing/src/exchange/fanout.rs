//! Every bound queue.

use crate::binding::Bound;

/// Asks nothing: whatever is bound gets every message.
#[derive(Debug)]
pub(crate) struct Fanout<V> {
    bound: Bound<V>,
}

impl<V: Ord> Fanout<V> {
    pub(crate) fn insert(&mut self, value: V) -> Option<V> {
        self.bound.insert(value)
    }

    pub(crate) fn remove(&mut self, value: &V) -> Option<V> {
        self.bound.remove(value)
    }

    pub(crate) fn for_each<'e>(&'e self, visit: impl FnMut(&'e V)) {
        self.bound.as_slice().iter().for_each(visit);
    }
}

impl<V> Default for Fanout<V> {
    fn default() -> Self {
        Self { bound: Bound::Nobody }
    }
}
