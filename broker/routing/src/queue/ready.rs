//! Waiting, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use model::delivery::Stage;
use model::message::Message;
use model::qos::Qos;
use model::time::WallMs;

/// What a queue holds of a message: the message, and what is particular to this queue.
#[derive(Debug, Clone)]
pub struct Item {
    /// What waits.
    pub message: Arc<Message>,
    /// With which QoS it is to be delivered.
    pub qos: Qos,
    /// With which RETAIN flag.
    pub retain: bool,
    /// For which subscriptions.
    pub subscription_ids: SmallVec<[u32; 1]>,
    /// Whether the journal knows this entry, so that its end must be written too.
    pub durable: bool,
    /// How often it was delivered before, or may have been.
    pub attempts: u32,
    /// Whether it was delivered before in this life of the broker.
    pub was_sent: bool,
    /// How far a client has come with it.
    pub stage: Stage,
}

impl Item {
    /// Whether it must not be delivered any more. Once an exchange at QoS 2 has begun it is brought to its end, expired or
    /// not [MQTT-4.3.3-7].
    pub(crate) fn is_expired(&self, now: WallMs) -> bool {
        match self.stage {
            Stage::Published => {
                let has_begun = self.was_sent && self.qos == Qos::ExactlyOnce;
                !has_begun && self.message.is_expired(now)
            }
            Stage::Received => false,
        }
    }
}

/// An item at its place in the queue.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) item: Item,
}

/// The entries that wait, by sequence number. New ones come at the end and old ones go at the front; what comes back
/// finds its place near the front.
#[derive(Debug)]
pub(crate) struct Ready {
    entries: VecDeque<Entry>,
    /// False after `restore`, until somebody wants the order.
    sorted: bool,
    bytes: u64,
    /// Nothing expires before; `None`: nothing ever does.
    expires_first: Option<WallMs>,
}

impl Default for Ready {
    fn default() -> Self {
        Self { entries: VecDeque::new(), sorted: true, bytes: 0, expires_first: None }
    }
}

impl Ready {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// By [`Message::size_bytes`].
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an entry in its place.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.sort();
        self.note(&entry);
        if self.entries.back().is_none_or(|last| last.sequence < entry.sequence) {
            self.entries.push_back(entry);
        } else if self.entries.front().is_some_and(|first| entry.sequence < first.sequence) {
            self.entries.push_front(entry);
        } else {
            let at = self.entries.partition_point(|other| other.sequence < entry.sequence);
            self.entries.insert(at, entry);
        }
    }

    /// Adds an entry in any order, for many at once: they are sorted when the first is wanted.
    pub(crate) fn restore(&mut self, entry: Entry) {
        self.sorted &= self.entries.back().is_none_or(|last| last.sequence < entry.sequence);
        self.note(&entry);
        self.entries.push_back(entry);
    }

    fn note(&mut self, entry: &Entry) {
        self.bytes += entry.item.message.size_bytes() as u64;
        if let Some(end) = entry.item.message.expires_at {
            self.expires_first = Some(self.expires_first.map_or(end, |first| first.min(end)));
        }
    }

    /// Takes the oldest entry.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.sort();
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.item.message.size_bytes() as u64;
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES_MAX {
            self.entries.shrink_to(KEPT_ENTRIES_MAX);
        }
        Some(entry)
    }

    /// Takes out all that has expired, oldest first. Looks at nothing if nothing can have expired.
    pub(crate) fn expire(&mut self, now: WallMs) -> Vec<Entry> {
        if self.expires_first.is_none_or(|first| first > now) {
            return Vec::new();
        }
        self.sort();
        self.expires_first = None;
        let all = std::mem::take(&mut self.entries);
        let mut gone = Vec::new();
        for entry in all {
            if entry.item.is_expired(now) {
                gone.push(entry);
            } else {
                // What a client has begun to receive does not expire: its time is up already.
                let end = entry.item.message.expires_at.filter(|end| *end > now);
                self.expires_first = self.expires_first.into_iter().chain(end).min();
                self.entries.push_back(entry);
            }
        }
        self.bytes -= gone.iter().map(|entry| entry.item.message.size_bytes() as u64).sum::<u64>();
        gone
    }

    fn sort(&mut self) {
        if !self.sorted {
            self.entries.make_contiguous().sort_unstable_by_key(|entry| entry.sequence);
            self.sorted = true;
        }
    }

    /// Takes everything, oldest first.
    pub(crate) fn take_all(&mut self) -> VecDeque<Entry> {
        self.sort();
        std::mem::take(self).entries
    }
}

/// An empty queue keeps room for this many entries, and gives back what it had beyond.
const KEPT_ENTRIES_MAX: usize = 1024;
