//! What a queue holds of a message, and what its terms mean for that

use std::sync::Arc;

use model::change::Place;
use model::delivery::Stage;
use model::message::Message;
use model::name::QueueId;
use model::qos::Qos;
use model::time::WallMs;
use smallvec::SmallVec;

use crate::queue::absent::Left;
use crate::queue::terms::Terms;

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
    pub(crate) fn is_expired(&self, rules: Rules, now: WallMs) -> bool {
        match self.stage {
            Stage::Published => {
                let has_begun = self.was_sent && self.qos == Qos::ExactlyOnce;
                !has_begun && rules.end_of(self).is_some_and(|end| end <= now)
            }
            Stage::Received => false,
        }
    }
}

/// What the terms of a queue mean for what waits in it.
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
    pub(crate) fn new(terms: &Terms, priority_max: Option<u8>) -> Self {
        Self {
            message_ttl_ms: terms.message_ttl_ms,
            priority_max: priority_max.unwrap_or(0),
            delivery_limit: terms.delivery_limit,
        }
    }

    /// The highest priority that counts.
    pub(crate) const fn priority_max(self) -> u8 {
        self.priority_max
    }

    pub(crate) const fn delivery_limit(self) -> Option<u32> {
        self.delivery_limit
    }

    /// Whether the same entries have the same ends by those.
    pub(crate) fn times_alike(self, other: Self) -> bool {
        self.message_ttl_ms == other.message_ttl_ms
    }

    /// When its time is up: its own, or the queue's for it. The latter counts from when the broker took the message in, so
    /// that coming back to the queue, or a restart, gives it no more. What was retained is as old as it is, and new to
    /// this queue.
    pub(crate) fn end(self, own: Option<WallMs>, published_at: WallMs, retain: bool) -> Option<WallMs> {
        let Some(ttl_ms) = self.message_ttl_ms.filter(|_| !retain) else { return own };
        let end = WallMs(published_at.0.saturating_add(ttl_ms));
        Some(own.map_or(end, |own| own.min(end)))
    }

    pub(crate) fn end_of(self, item: &Item) -> Option<WallMs> {
        self.end(item.message.expires_at, item.message.published_at, item.retain)
    }

    pub(crate) fn priority_of(self, item: &Item) -> u8 {
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

impl Entry {
    /// Its place in that queue, if its removal is to be journalled.
    pub(crate) fn durable_place(&self, queue: QueueId) -> Option<Place> {
        self.item.durable.then_some(Place { queue, sequence: self.sequence })
    }

    /// An entry that comes back.
    pub(crate) fn again(mut self) -> Self {
        self.item.attempts = self.item.attempts.saturating_add(1);
        self.item.was_sent = true;
        self
    }
}

/// An entry that is taken out, with its message or without.
#[derive(Debug)]
pub(crate) enum Gone {
    Here(Entry),
    Absent(Left),
}

impl Gone {
    /// Its place in that queue, if its removal is to be journalled.
    pub(crate) fn durable_place(&self, queue: QueueId) -> Option<Place> {
        match self {
            Self::Here(entry) => entry.durable_place(queue),
            Self::Absent(left) => Some(Place { queue, sequence: left.sequence }),
        }
    }
}

/// Why an entry is not to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    Expired,
    TooOften,
}
