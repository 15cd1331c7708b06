//! Waiting, in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use model::delivery::Stage;
use model::message::Message;
use model::qos::Qos;
use model::queue::QueueArguments;
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
    fn is_expired(&self, rules: Rules, now: WallMs) -> bool {
        match self.stage {
            Stage::Published => {
                let has_begun = self.was_sent && self.qos == Qos::ExactlyOnce;
                !has_begun && rules.end_of(self).is_some_and(|end| end <= now)
            }
            Stage::Received => false,
        }
    }
}

/// What the arguments of a queue mean for what waits in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// How long a message may wait, in milliseconds.
    message_ttl_ms: Option<u64>,
    /// Priorities above count as this one.
    priority_max: u8,
    /// How often a message may come back.
    delivery_limit: Option<u32>,
}

impl Rules {
    /// `usual_limit`: of deliveries, where a queue with dead letters does not say.
    pub(crate) fn of(arguments: Option<&QueueArguments>, usual_limit: Option<u32>) -> Self {
        arguments.map_or_else(Self::default, |arguments| Self {
            message_ttl_ms: arguments.message_ttl_ms,
            priority_max: arguments.priority_max.unwrap_or(0),
            delivery_limit: arguments
                .delivery_limit
                .or(usual_limit.filter(|_| arguments.dead_letter.is_some())),
        })
    }

    /// When its time is up: its own, or the queue's for it. The latter counts from when the broker took the message in, so
    /// that coming back to the queue, or a restart, gives it no more. What was retained is as old as it is, and new to
    /// this queue.
    fn end_of(self, item: &Item) -> Option<WallMs> {
        let own = item.message.expires_at;
        let Some(ttl_ms) = self.message_ttl_ms.filter(|_| !item.retain) else { return own };
        let end = WallMs(item.message.published_at.0.saturating_add(ttl_ms));
        Some(own.map_or(end, |own| own.min(end)))
    }

    fn priority_of(self, item: &Item) -> u8 {
        if self.priority_max == 0 {
            return 0;
        }
        let priority = item.message.properties.as_ref().and_then(|properties| properties.priority);
        priority.unwrap_or(0).min(self.priority_max)
    }
}

/// An item at its place in the queue.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) item: Item,
}

/// Why an entry is not to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    Expired,
    TooOften,
}

/// The entries that wait: the more urgent ones first, and those of one priority by sequence number. Most queues know no
/// priorities.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    rules: Rules,
    /// What is not urgent, or all.
    plain: Lane,
    /// The rest, by priority. None of these is empty.
    urgent: BTreeMap<u8, Lane>,
    urgent_len: usize,
    bytes: u64,
    /// When entries expire, and which, the first on top. Those that were taken meanwhile are still in it.
    ends: BinaryHeap<Reverse<(WallMs, u64)>>,
    /// How many of the entries expire at all.
    expiring: usize,
}

impl Ready {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.plain.entries.len() + self.urgent_len
    }

    /// By [`Message::size_bytes`].
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an entry in its place.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.lane_for(&entry).insert(entry);
    }

    /// Adds an entry in any order, for many at once: they are sorted when the first is wanted.
    pub(crate) fn restore(&mut self, entry: Entry) {
        self.lane_for(&entry).append(entry);
    }

    /// The lane that the entry is about to join; it is counted already.
    fn lane_for(&mut self, entry: &Entry) -> &mut Lane {
        self.bytes += entry.item.message.size_bytes() as u64;
        if let Some(end) = self.rules.end_of(&entry.item) {
            self.expiring += 1;
            self.ends.push(Reverse((end, entry.sequence)));
        }
        match self.rules.priority_of(&entry.item) {
            0 => &mut self.plain,
            priority => {
                self.urgent_len += 1;
                self.urgent.entry(priority).or_default()
            }
        }
    }

    /// Forgets an entry that is taken out.
    fn forget(&mut self, entry: &Entry) {
        self.bytes -= entry.item.message.size_bytes() as u64;
        if self.rules.end_of(&entry.item).is_some() {
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
        let rules = self.rules;
        let entries = self.urgent.values().chain([&self.plain]).flat_map(|lane| &lane.entries);
        let ends = entries.filter_map(|entry| Some(Reverse((rules.end_of(&entry.item)?, entry.sequence))));
        self.ends = ends.collect();
    }

    /// Nothing expires before; `None`: nothing ever does.
    pub(crate) fn expires_first(&self) -> Option<WallMs> {
        self.ends.peek().map(|Reverse((end, _))| *end)
    }

    /// Takes the entry that comes first.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = match self.urgent.last_entry() {
            None => self.plain.pop()?,
            Some(mut lane) => {
                let entry = lane.get_mut().pop()?;
                self.urgent_len -= 1;
                if lane.get().entries.is_empty() {
                    lane.remove();
                }
                entry
            }
        };
        self.forget(&entry);
        Some(entry)
    }

    /// Why that entry must not be delivered, if it must not.
    pub(crate) fn unfit(&self, item: &Item, now: WallMs) -> Option<Unfit> {
        if item.is_expired(self.rules, now) {
            return Some(Unfit::Expired);
        }
        let limit = self.rules.delivery_limit?;
        (item.attempts > limit && item.stage == Stage::Published).then_some(Unfit::TooOften)
    }

    /// Takes out all that has expired, first come first. Looks at no more than what can have.
    pub(crate) fn expire(&mut self, now: WallMs) -> Vec<Entry> {
        let mut due = Vec::new();
        while let Some(Reverse((end, sequence))) = self.ends.peek().copied()
            && end <= now
        {
            self.ends.pop();
            due.push(sequence);
        }
        let mut gone = Vec::new();
        if due.is_empty() {
            return gone;
        }
        due.sort_unstable();
        let rules = self.rules;
        for lane in self.urgent.values_mut().rev().chain([&mut self.plain]) {
            lane.expire(&due, rules, now, &mut gone);
        }
        if self.urgent_len > 0 {
            self.urgent.retain(|_, lane| !lane.entries.is_empty());
            self.urgent_len = self.urgent.values().map(|lane| lane.entries.len()).sum();
        }
        for entry in &gone {
            self.forget(entry);
        }
        gone
    }

    /// Takes everything, first come first, but what a client has begun to receive: that is to be released.
    pub(crate) fn take_all(&mut self) -> Vec<Entry> {
        let mut all = std::mem::replace(self, Self::new(self.rules));
        let mut gone = Vec::with_capacity(all.len());
        while let Some(entry) = all.pop() {
            match entry.item.stage {
                Stage::Published => gone.push(entry),
                Stage::Received => self.insert(entry),
            }
        }
        gone
    }
}

/// Entries by sequence number. New ones come at the end and old ones go at the front; what comes back finds its place near
/// the front.
#[derive(Debug)]
struct Lane {
    entries: VecDeque<Entry>,
    /// False after `append`, until somebody wants the order.
    sorted: bool,
}

impl Default for Lane {
    fn default() -> Self {
        Self { entries: VecDeque::new(), sorted: true }
    }
}

impl Lane {
    fn insert(&mut self, entry: Entry) {
        self.sort();
        if self.entries.back().is_none_or(|last| last.sequence < entry.sequence) {
            self.entries.push_back(entry);
        } else if self.entries.front().is_some_and(|first| entry.sequence < first.sequence) {
            self.entries.push_front(entry);
        } else {
            let at = self.entries.partition_point(|other| other.sequence < entry.sequence);
            self.entries.insert(at, entry);
        }
    }

    fn append(&mut self, entry: Entry) {
        self.sorted &= self.entries.back().is_none_or(|last| last.sequence < entry.sequence);
        self.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<Entry> {
        self.sort();
        let entry = self.entries.pop_front()?;
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES_MAX {
            self.entries.shrink_to(KEPT_ENTRIES_MAX);
        }
        Some(entry)
    }

    /// Moves those that have expired, of the ones that are `due` by number, to `gone`.
    fn expire(&mut self, due: &[u64], rules: Rules, now: WallMs, gone: &mut Vec<Entry>) {
        self.sort();
        if due.len() > ONE_BY_ONE_MAX {
            let mut due = due.iter().peekable();
            let mut stay = Vec::new();
            // No further than the last of them: where all wait equally long, that is right at the front.
            while due.peek().is_some()
                && let Some(entry) = self.entries.pop_front()
            {
                while due.next_if(|sequence| **sequence < entry.sequence).is_some() {}
                let is_due = due.next_if(|sequence| **sequence == entry.sequence).is_some();
                let list = if is_due && entry.item.is_expired(rules, now) { &mut *gone } else { &mut stay };
                list.push(entry);
            }
            for entry in stay.into_iter().rev() {
                self.entries.push_front(entry);
            }
            return;
        }
        for sequence in due {
            let at = self.entries.partition_point(|entry| entry.sequence < *sequence);
            // It may have been taken before; and what a client has begun to receive does not expire.
            let is_due = |entry: &Entry| entry.sequence == *sequence && entry.item.is_expired(rules, now);
            if self.entries.get(at).is_some_and(is_due) {
                gone.extend(self.entries.remove(at));
            }
        }
    }

    fn sort(&mut self) {
        if !self.sorted {
            self.entries.make_contiguous().sort_unstable_by_key(|entry| entry.sequence);
            self.sorted = true;
        }
    }
}

/// An empty queue keeps room for this many entries, and gives back what it had beyond.
const KEPT_ENTRIES_MAX: usize = 1024;

/// So many ends of entries that are gone are never worth a clean-up.
const STALE_ENDS_MIN: usize = 64;

/// More than so many are taken out together, in one pass over all.
const ONE_BY_ONE_MAX: usize = 8;
