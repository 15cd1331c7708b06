//! Waiting, in order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
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
    /// When entries expire, and which, the first on top. Those that were taken meanwhile are still in it.
    ends: BinaryHeap<Reverse<(WallMs, u64)>>,
    /// How many of the entries expire at all.
    expiring: usize,
}

impl Default for Ready {
    fn default() -> Self {
        Self { entries: VecDeque::new(), sorted: true, bytes: 0, ends: BinaryHeap::new(), expiring: 0 }
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
            self.expiring += 1;
            self.ends.push(Reverse((end, entry.sequence)));
        }
    }

    /// Forgets an entry that is taken out.
    fn forget(&mut self, entry: &Entry) {
        self.bytes -= entry.item.message.size_bytes() as u64;
        if entry.item.message.expires_at.is_some() {
            self.expiring -= 1;
            // Whoever takes all before its time must not pile up the ends of what he took.
            if self.ends.len() > 2 * self.expiring + STALE_ENDS_MIN {
                self.rebuild_ends();
            }
        }
    }

    /// How many ends are remembered, those of entries that are gone among them.
    #[cfg(test)]
    pub(crate) fn ends_len(&self) -> usize {
        self.ends.len()
    }

    fn rebuild_ends(&mut self) {
        let ends = self
            .entries
            .iter()
            .filter_map(|entry| entry.item.message.expires_at.map(|end| Reverse((end, entry.sequence))));
        self.ends = ends.collect();
    }

    /// Nothing expires before; `None`: nothing ever does.
    pub(crate) fn expires_first(&self) -> Option<WallMs> {
        self.ends.peek().map(|Reverse((end, _))| *end)
    }

    /// Takes the oldest entry.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.sort();
        let entry = self.entries.pop_front()?;
        self.forget(&entry);
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES_MAX {
            self.entries.shrink_to(KEPT_ENTRIES_MAX);
        }
        Some(entry)
    }

    /// Takes out all that has expired, oldest first. Looks at no more than what can have.
    pub(crate) fn expire(&mut self, now: WallMs) -> Vec<Entry> {
        let mut due = Vec::new();
        while let Some(Reverse((end, sequence))) = self.ends.peek().copied()
            && end <= now
        {
            self.ends.pop();
            due.push(sequence);
        }
        if due.is_empty() {
            return Vec::new();
        }
        self.sort();
        due.sort_unstable();
        let mut gone = Vec::new();
        if due.len() <= ONE_BY_ONE_MAX {
            for sequence in due {
                gone.extend(self.take_out(sequence, now));
            }
        } else {
            self.take_out_all(&due, now, &mut gone);
        }
        for entry in &gone {
            self.forget(entry);
        }
        gone
    }

    fn take_out(&mut self, sequence: u64, now: WallMs) -> Option<Entry> {
        let at = self.entries.partition_point(|entry| entry.sequence < sequence);
        // It may have been taken before; and what a client has begun to receive does not expire.
        self.entries.get(at).filter(|entry| entry.sequence == sequence && entry.item.is_expired(now))?;
        self.entries.remove(at)
    }

    /// The same for many, in one pass.
    fn take_out_all(&mut self, due: &[u64], now: WallMs, gone: &mut Vec<Entry>) {
        let mut due = due.iter().peekable();
        for entry in std::mem::take(&mut self.entries) {
            while due.next_if(|sequence| **sequence < entry.sequence).is_some() {}
            if due.peek() == Some(&&entry.sequence) && entry.item.is_expired(now) {
                gone.push(entry);
            } else {
                self.entries.push_back(entry);
            }
        }
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

/// So many ends of entries that are gone are never worth a clean-up.
const STALE_ENDS_MIN: usize = 64;

/// More than so many are taken out together, in one pass over all.
const ONE_BY_ONE_MAX: usize = 8;
