//! QoS 2 ids in, not yet released: a second PUBLISH under one of them is not a second message (4.3.3).

use std::collections::HashMap;

use model::request::Ticket;

use crate::packet::PacketId;

/// The ids between PUBLISH and PUBREL.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    /// In a box: most clients never publish at QoS 2. They choose the ids, but there are only 65,535 of them: the default, keyed
    /// hasher is enough.
    #[expect(
        clippy::box_collection,
        reason = "nearly always there is none, and a table is six times as large"
    )]
    ids: Option<Box<HashMap<PacketId, Entry>>>,
}

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The submit that carried the message; `None` if it was in an earlier connection.
    pub(crate) submit: Option<Ticket>,
    /// Whether it counts against our Receive Maximum: the count starts anew with each connection (4.9).
    pub(crate) is_counted: bool,
}

impl Dedup {
    /// What a session brought along from earlier connections.
    pub(crate) fn resume(unreleased: &[u16]) -> Self {
        let entry = Entry { submit: None, is_counted: false };
        let ids = || unreleased.iter().filter_map(|id| Some((PacketId::new(*id)?, entry))).collect();
        Self { ids: (!unreleased.is_empty()).then(|| Box::new(ids())) }
    }

    pub(crate) fn get_mut(&mut self, id: PacketId) -> Option<&mut Entry> {
        self.ids.as_mut()?.get_mut(&id)
    }

    pub(crate) fn insert(&mut self, id: PacketId, entry: Entry) {
        self.ids.get_or_insert_default().insert(id, entry);
    }

    /// Takes the id out; what was known of it.
    pub(crate) fn remove(&mut self, id: PacketId) -> Option<Entry> {
        self.ids.as_mut()?.remove(&id)
    }

    /// Takes the id out if it still stands for the message of that submit.
    pub(crate) fn remove_submit(&mut self, id: PacketId, submit: Ticket) -> Option<Entry> {
        self.ids.as_ref()?.get(&id).filter(|entry| entry.submit == Some(submit))?;
        self.remove(id)
    }

    /// Whether the id still stands for that very entry.
    pub(crate) fn stands(&self, id: PacketId, submit: Option<Ticket>) -> bool {
        self.ids.as_ref().and_then(|ids| ids.get(&id)).is_some_and(|entry| entry.submit == submit)
    }
}
