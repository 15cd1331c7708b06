//! What changed while live records are being moved: those are not moved.
//!
//! A record is moved by writing it again, behind all others. Had its object changed meanwhile, the old state would come
//! after the new one. Only the thread that decides the order can know that, so it takes notes from the moment on when the
//! mover starts to look.

use std::collections::HashSet;

use model::change::{Change, Changeset, Place};
use model::name::{ClientId, ExchangeName, QueueId};

use crate::keyspace::Key;
use crate::record::Note;
use crate::subject::{self, Subject};

/// A record to be written again.
#[derive(Debug)]
pub(crate) enum Moved {
    /// What is alive of a changeset.
    Changes(Vec<Change>),
    /// A note.
    Note(Note),
}

/// Whether all of what was to be moved was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it.
    Whole,
    /// Some of it had changed.
    Part,
}

/// All that changed since it was made.
#[derive(Debug)]
pub(crate) struct Watch {
    salt: u64,
    /// Of what it was asked about so far.
    pub(crate) kept: Kept,
    places: HashSet<Place>,
    queues: HashSet<QueueId>,
    objects: HashSet<Key>,
    clients: HashSet<ClientId>,
    exchanges: HashSet<ExchangeName>,
}

impl Watch {
    pub(crate) fn new(salt: u64) -> Self {
        Self {
            salt,
            kept: Kept::Whole,
            places: HashSet::new(),
            queues: HashSet::new(),
            objects: HashSet::new(),
            clients: HashSet::new(),
            exchanges: HashSet::new(),
        }
    }

    /// These are about to be written.
    pub(crate) fn note(&mut self, changeset: &Changeset) {
        for change in &changeset.changes {
            match change {
                Change::Enqueue { entries, .. } => {
                    self.places.extend(entries.iter().map(|entry| entry.place))
                }
                Change::Receive(place) | Change::Remove(place) => {
                    self.places.insert(*place);
                }
                Change::DeleteQueue(queue) => {
                    self.queues.insert(*queue);
                }
                Change::DropSession(client) => {
                    self.clients.insert(client.clone());
                }
                Change::DeleteExchange(exchange) => {
                    self.exchanges.insert(exchange.clone());
                }
                Change::Remember { .. }
                | Change::Forget { .. }
                | Change::RememberPublication { .. }
                | Change::ForgetPublication { .. }
                | Change::Retain { .. }
                | Change::Unretain { .. }
                | Change::PutSession(_)
                | Change::DeclareExchange(_)
                | Change::DeclareQueue(_)
                | Change::Bind { .. }
                | Change::Unbind(_)
                | Change::BindExchange(_)
                | Change::UnbindExchange(_)
                | Change::PutBan(_)
                | Change::DropBan(_)
                | Change::PutPolicy(_)
                | Change::DropPolicy(_) => {}
            }
            match subject::of(self.salt, change) {
                Subject::Put(key) | Subject::Delete(key) => {
                    self.objects.insert(key);
                }
                Subject::None => {}
            }
        }
    }

    /// What may be written again of a record; `None`: nothing.
    pub(crate) fn keep(&mut self, moved: Moved) -> Option<Moved> {
        match moved {
            Moved::Changes(changes) => {
                let count = changes.len();
                let kept: Vec<_> =
                    changes.into_iter().filter_map(|change| self.keep_change(change)).collect();
                if kept.len() < count {
                    self.kept = Kept::Part;
                }
                (!kept.is_empty()).then_some(Moved::Changes(kept))
            }
            Moved::Note(Note::Floor { queue, .. }) if self.queues.contains(&queue) => {
                self.kept = Kept::Part;
                None
            }
            Moved::Note(note) => Some(Moved::Note(note)),
        }
    }

    fn keep_change(&mut self, change: Change) -> Option<Change> {
        let cascades = match &change {
            Change::Enqueue { .. } => return self.keep_entries(change),
            Change::Receive(place) | Change::Remove(place) => {
                self.places.contains(place) || self.queues.contains(&place.queue)
            }
            Change::Remember { client, .. } => self.clients.contains(client),
            Change::Bind { queue, binding } => {
                self.queues.contains(queue) || self.exchanges.contains(&binding.exchange)
            }
            Change::BindExchange(binding) => {
                self.exchanges.contains(&binding.exchange) || self.exchanges.contains(&binding.to)
            }
            Change::DeclareQueue(queue) => self.queues.contains(&queue.id),
            Change::Forget { .. }
            | Change::RememberPublication { .. }
            | Change::ForgetPublication { .. }
            | Change::Retain { .. }
            | Change::Unretain { .. }
            | Change::PutSession(_)
            | Change::DropSession(_)
            | Change::DeclareExchange(_)
            | Change::DeleteExchange(_)
            | Change::DeleteQueue(_)
            | Change::Unbind(_)
            | Change::UnbindExchange(_)
            | Change::PutBan(_)
            | Change::DropBan(_)
            | Change::PutPolicy(_)
            | Change::DropPolicy(_) => false,
        };
        let itself = match subject::of(self.salt, &change) {
            Subject::Put(key) | Subject::Delete(key) => self.objects.contains(&key),
            Subject::None => false,
        };
        (!cascades && !itself).then_some(change)
    }

    fn keep_entries(&mut self, change: Change) -> Option<Change> {
        let Change::Enqueue { message, mut entries } = change else {
            return Some(change);
        };
        let count = entries.len();
        entries
            .retain(|entry| !self.places.contains(&entry.place) && !self.queues.contains(&entry.place.queue));
        if entries.len() < count {
            self.kept = Kept::Part;
        }
        (!entries.is_empty()).then_some(Change::Enqueue { message, entries })
    }
}
