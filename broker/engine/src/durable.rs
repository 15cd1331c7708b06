//! Persist, then show, then acknowledge.

use std::sync::Arc;

use model::change::{Change, Changeset};
use model::delivery::Stage;
use model::durability::Durability;
use model::name::QueueId;
use routing::Item;
use storage::{Completion, Disk, Found, RecoveredEntry, Statistics, Store, StoreError, Urgency};

/// The way to the journal; without a store (`--memory`) everything counts as done at once.
pub(crate) struct Durable {
    store: Option<Arc<Store>>,
}

impl Durable {
    pub(crate) const fn new(store: Option<Arc<Store>>) -> Self {
        Self { store }
    }

    /// Whether anything outlives the process.
    pub(crate) const fn is_persistent(&self) -> bool {
        self.store.is_some()
    }

    /// What the store has done, if there is one.
    pub(crate) fn statistics(&self) -> Option<&Statistics> {
        self.store.as_ref().map(|store| store.statistics())
    }

    /// The disk that it is on.
    pub(crate) fn disk(&self) -> Option<Disk> {
        self.store.as_ref()?.disk().ok()
    }

    /// Whether the journal waits for room on the disk.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.space().is_blocked())
    }

    /// Writes and syncs all that was committed, and gives the directory back. May take its time; what is committed later is
    /// dropped.
    pub(crate) fn close(&self) {
        if let Some(store) = &self.store {
            store.close();
        }
    }

    /// Whether so much waits for the disk to be well again that publishers should, too.
    pub(crate) fn is_behind(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.is_behind())
    }

    /// Hands over what must last; `then` runs once it does as `level` says, in the order of the calls.
    pub(crate) fn commit_then(
        &self,
        changeset: Changeset,
        level: Durability,
        then: impl FnOnce() + Send + 'static,
    ) {
        let urgency = match level {
            Durability::Disk => Urgency::Now,
            // Where nothing is to be written, it waits its turn alone.
            Durability::Os | Durability::Memory => Urgency::Written,
        };
        match &self.store {
            Some(store) => store.commit(changeset, urgency, Some(Box::new(Then(then)))),
            None => then(),
        }
    }

    /// Reads messages of durable entries back; `then` gets them, on a thread of the store, and does not keep it long.
    pub(crate) fn read(
        &self,
        queue: QueueId,
        sequences: Vec<u64>,
        then: impl FnOnce(Result<Found, StoreError>) + Send + 'static,
    ) {
        // Without a store nothing is durable.
        if let Some(store) = &self.store {
            store.read(queue, sequences, Box::new(then));
        }
    }

    /// Hands over what nobody waits for.
    pub(crate) fn commit_soon(&self, changeset: Changeset) {
        if let (Some(store), false) = (&self.store, changeset.is_empty()) {
            store.commit(changeset, Urgency::Soon, None);
        }
    }

    /// Hands over one change that nobody waits for, or that a later commit waits for.
    pub(crate) fn record(&self, change: Change) {
        let mut changeset = Changeset::default();
        changeset.changes.push(change);
        self.commit_soon(changeset);
    }
}

struct Then<F>(F);

impl<F: FnOnce() + Send> Completion for Then<F> {
    fn committed(self: Box<Self>) {
        (self.0)();
    }
}

/// What the journal has of a message in a queue, as the queue holds it, with its number.
pub(crate) fn journalled(entry: RecoveredEntry) -> (u64, Item) {
    let item = Item {
        message: entry.message,
        qos: entry.qos,
        retain: entry.retain,
        subscription_ids: entry.subscription_ids,
        durable: true,
        attempts: 0,
        was_sent: false,
        stage: if entry.received { Stage::Received } else { Stage::Published },
    };
    (entry.sequence, item)
}
