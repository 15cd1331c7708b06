//! Unreleased: QoS 2 ids of a session that came in and were not released yet

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The ids, and what became of their messages. Most clients never publish at QoS 2, and of those nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct Unreleased(
    #[expect(
        clippy::box_collection,
        reason = "nearly always there is none, and a map is three times as large"
    )]
    Option<Box<BTreeMap<u16, Fate>>>,
);

/// What became of the message of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// A queue took it, as far as this process knows: a repetition is answered like the first.
    pub(crate) is_routed: bool,
    /// The journal knows the id; where not, its message outlives nothing.
    pub(crate) is_written: bool,
}

impl Default for Fate {
    fn default() -> Self {
        Self { is_routed: true, is_written: true }
    }
}

impl Unreleased {
    /// One that came in; `false`: it did before, and stays what it is.
    pub(crate) fn insert(&mut self, id: u16) -> bool {
        match self.0.get_or_insert_default().entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(Fate::default());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// What becomes of its message, if it is there.
    pub(crate) fn note(&mut self, id: u16, fate: Fate) {
        if let Some(known) = self.0.as_mut().and_then(|ids| ids.get_mut(&id)) {
            *known = fate;
        }
    }

    /// Whether a queue took its message.
    pub(crate) fn is_routed(&self, id: u16) -> bool {
        self.0.as_ref().and_then(|ids| ids.get(&id)).is_none_or(|fate| fate.is_routed)
    }

    /// It is released, or its message was refused; `None`: it was not there.
    pub(crate) fn remove(&mut self, id: u16) -> Option<Fate> {
        self.0.as_mut()?.remove(&id)
    }

    /// All of them, in ascending order.
    pub(crate) fn all(&self) -> Vec<u16> {
        self.0.iter().flat_map(|ids| ids.keys().copied()).collect()
    }
}

impl FromIterator<u16> for Unreleased {
    /// As the store remembers them: it has written them.
    fn from_iter<T: IntoIterator<Item = u16>>(ids: T) -> Self {
        let ids: BTreeMap<u16, Fate> = ids.into_iter().map(|id| (id, Fate::default())).collect();
        Self((!ids.is_empty()).then(|| Box::new(ids)))
    }
}
