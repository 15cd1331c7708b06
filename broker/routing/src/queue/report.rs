//! What a queue says of what it did, and of what is in it.

use std::sync::Arc;

use model::change::Place;
use model::delivery::Delivery;
use model::message::Message;
use model::name::QueueId;
use model::time::WallMs;

use crate::queue::dead::{Cause, Dead, DeadLetters};
use crate::queue::entry::{Entry, Gone, Item};

/// What `take`, `expire` and `trim` found. Belongs to the caller and is used again: they only
/// add to it.
#[derive(Debug, Default)]
pub struct Taken {
    /// To be sent.
    pub deliveries: Vec<Delivery>,
    /// Durable entries that are gone for good: their removal is to be journalled.
    pub removed: Vec<Place>,
    /// What is gone from here and is to go elsewhere.
    pub dead: Vec<Dead>,
    /// How many had expired.
    pub expired: usize,
    /// How many went for another reason, and nowhere.
    pub dropped: usize,
    /// Messages are wanted that the queue does not hold: see `begin_fetch`.
    pub absent: bool,
}

impl Taken {
    /// An entry that is not to be delivered goes where the queue says, or nowhere.
    pub(crate) fn give_up(
        &mut self,
        queue: QueueId,
        entry: Entry,
        cause: Cause,
        letters: Option<&Arc<DeadLetters>>,
    ) {
        self.count(cause, letters.is_some());
        let place = entry.durable_place(queue);
        match letters {
            Some(from) => {
                let from = Arc::clone(from);
                self.dead.push(Dead { from, place, message: entry.item.message, cause });
            }
            None => self.removed.extend(place),
        }
    }

    /// The same for one whose message may not be here. Then it goes nowhere.
    pub(crate) fn give_up_any(
        &mut self,
        queue: QueueId,
        gone: Gone,
        cause: Cause,
        letters: Option<&Arc<DeadLetters>>,
    ) {
        self.removed.extend(match gone {
            Gone::Here(entry) => return self.give_up(queue, entry, cause, letters),
            Gone::Absent(_) => gone.durable_place(queue),
        });
        self.count(cause, false);
    }

    fn count(&mut self, cause: Cause, goes_on: bool) {
        match cause {
            Cause::Expired => self.expired += 1,
            Cause::TooMany | Cause::Rejected | Cause::DeliveryLimit => self.dropped += usize::from(!goes_on),
        }
    }
}

/// What became of a settlement.
#[derive(Debug, Clone)]
pub enum Settled {
    /// That consumer has no such delivery.
    Unknown,
    /// Accepted, or rejected by the consumer of a queue that drops what it gives up: the entry is gone.
    Removed {
        /// Its place, if its removal is to be journalled.
        durable: Option<Place>,
        /// What it was.
        message: Arc<Message>,
    },
    /// Rejected: the entry is gone, and the message is to go elsewhere.
    Dead(Dead),
    /// The client has the message; the entry stays until it is accepted.
    Received {
        /// Its place, if that is to be journalled.
        durable: Option<Place>,
    },
    /// The entry waits again.
    Requeued,
    /// It was read from a stream, where it stays.
    Read,
}

/// How far a stream reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnds {
    /// Offset of its oldest entry and of its newest, and when they came in; `None`: it is empty.
    pub ends: Option<[(u64, WallMs); 2]>,
    /// What comes next gets this offset, or a higher one.
    pub next: u64,
}

/// How much is in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Entries that wait.
    pub ready: usize,
    /// Entries on loan.
    pub unacked: usize,
    /// What waits, in bytes by [`Message::size_bytes`].
    pub ready_bytes: u64,
    /// Consumers.
    pub consumers: usize,
}

/// Some of what is in a queue, in the order of the numbers.
#[derive(Debug, Default)]
pub struct Looked {
    /// Number and message; `None`: it is not here, and in the journal.
    pub entries: Vec<(u64, Option<Item>)>,
    /// What came in before that was not asked for: nobody knows of what is not here when it came.
    pub since: Option<WallMs>,
    /// The number of the first that is left; `None`: none is.
    pub next: Option<u64>,
}

impl Looked {
    /// Of those, number, size and message, the first: so many at most, and but for one no more bytes.
    pub(crate) fn some(
        all: Vec<(u64, u32, Option<Item>)>,
        since: Option<WallMs>,
        max: usize,
        bytes_max: u64,
    ) -> Self {
        let mut looked = Self { since, ..Self::default() };
        let mut bytes = 0;
        for (number, size, item) in all {
            bytes += u64::from(size);
            if looked.entries.len() >= max || (bytes > bytes_max && !looked.entries.is_empty()) {
                looked.next = Some(number);
                break;
            }
            looked.entries.push((number, item));
        }
        looked
    }
}
