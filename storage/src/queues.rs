//! Where waiting messages lie: known in memory and in the journal, never in sled.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::change::Place;
use model::name::QueueId;
use model::shard::Shard;

use crate::position::Position;
use crate::spots::{Spot, Spots};

/// How many bytes of each segment are still needed.
#[derive(Debug, Default)]
pub(crate) struct Live(BTreeMap<u32, u64>);

impl Live {
    pub(crate) fn add(&mut self, segment: u32, bytes: u32) {
        *self.0.entry(segment).or_default() += u64::from(bytes);
    }

    pub(crate) fn subtract(&mut self, segment: u32, bytes: u32) {
        if let Some(live) = self.0.get_mut(&segment) {
            *live = live.saturating_sub(bytes.into());
        }
    }

    /// Forgets what was given up.
    pub(crate) fn trim(&mut self, before: u32) {
        self.0 = self.0.split_off(&before);
    }

    pub(crate) fn of(&self, segment: u32) -> u64 {
        self.0.get(&segment).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// One queue's entries.
#[derive(Debug)]
pub(crate) struct Places {
    /// Its home; `None` until its declaration was seen.
    shard: Option<Shard>,
    /// By number.
    pub(crate) spots: Spots,
    /// Above every number ever used.
    pub(crate) next: u64,
    /// The segment that proves it.
    pub(crate) proof: u32,
}

/// All queues' entries.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: HashMap<QueueId, Places>,
    /// Every entry from records before this is known.
    pub(crate) followed: Position,
    /// Whoever follows the journal cannot get any further, unless it is repaired.
    pub(crate) halted: bool,
    /// Nobody follows the journal any more.
    pub(crate) ended: bool,
}

/// The same, for the thread that follows the journal and for those who read bodies back.
#[derive(Debug, Default)]
pub(crate) struct Index {
    queues: Mutex<Queues>,
    changed: Condvar,
}

impl Index {
    /// To be held for moments only, and never over I/O.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything before is known now.
    pub(crate) fn reach(&self, position: Position) {
        self.lock().followed = position;
        self.changed.notify_all();
    }

    /// Whoever follows the journal cannot get any further, or can again.
    pub(crate) fn halt(&self, halted: bool) {
        self.lock().halted = halted;
        self.changed.notify_all();
    }

    /// Nobody follows the journal any more.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for news, for so long at most.
    pub(crate) fn wait<'a>(&self, queues: MutexGuard<'a, Queues>, time: Duration) -> MutexGuard<'a, Queues> {
        self.changed.wait_timeout(queues, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Queues {
    /// The queue exists.
    pub(crate) fn declare(&mut self, queue: QueueId, shard: Shard) {
        self.queue(queue).shard = Some(shard);
    }

    /// The queue exists no more. Returns its home, if it existed.
    pub(crate) fn delete(&mut self, queue: QueueId, live: &mut Live) -> Option<Shard> {
        let places = self.queues.remove(&queue)?;
        for (_, spot) in places.spots.iter() {
            live.subtract(spot.position.segment, spot.bytes);
        }
        places.shard
    }

    /// Whether the queue exists.
    pub(crate) fn is_declared(&self, queue: QueueId) -> bool {
        self.queues.get(&queue).is_some_and(|places| places.shard.is_some())
    }

    /// An entry lies here now; returns where it lay before, if it lay somewhere else.
    pub(crate) fn put(
        &mut self,
        place: Place,
        position: Position,
        bytes: u32,
        live: &mut Live,
    ) -> Option<Position> {
        let places = self.queue(place.queue);
        let before = places.spots.insert(place.sequence, position, bytes);
        if let Some(before) = before {
            live.subtract(before.position.segment, before.bytes);
        }
        live.add(position.segment, bytes);
        places.raise(place.sequence.saturating_add(1), position.segment);
        before.map(|before| before.position)
    }

    /// The client has it.
    pub(crate) fn receive(&mut self, place: Place, segment: u32) {
        if let Some(places) = self.queues.get_mut(&place.queue) {
            places.spots.receive(place.sequence, segment);
        }
    }

    /// It is gone.
    pub(crate) fn remove(&mut self, place: Place, live: &mut Live) {
        let places = self.queues.get_mut(&place.queue);
        if let Some(spot) = places.and_then(|places| places.spots.remove(place.sequence)) {
            live.subtract(spot.position.segment, spot.bytes);
        }
    }

    /// All numbers below `next` were used.
    pub(crate) fn floor(&mut self, queue: QueueId, next: u64, segment: u32) {
        self.queue(queue).raise(next, segment);
    }

    /// Above every number ever used in that queue.
    pub(crate) fn next(&self, queue: QueueId) -> u64 {
        self.queues.get(&queue).map_or(1, |places| places.next)
    }

    /// Where that entry lies.
    pub(crate) fn spot(&self, place: Place) -> Option<Spot> {
        self.queues.get(&place.queue)?.spots.get(place.sequence)
    }

    /// Where those entries of one queue lie, of numbers in ascending order.
    pub(crate) fn find(&self, queue: QueueId, sequences: &[u64], show: impl FnMut(u64, Position)) {
        if let Some(places) = self.queues.get(&queue) {
            places.spots.find(sequences, show);
        }
    }

    /// Queues that were never declared, or are deleted, go with what seemed to be in them.
    pub(crate) fn purge(&mut self, live: &mut Live) {
        self.queues.retain(|_, places| {
            if places.shard.is_none() {
                for (_, spot) in places.spots.iter() {
                    live.subtract(spot.position.segment, spot.bytes);
                }
            }
            places.shard.is_some()
        });
    }

    /// All queues.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (QueueId, &Places)> {
        self.queues.iter().map(|(queue, places)| (*queue, places))
    }

    fn queue(&mut self, queue: QueueId) -> &mut Places {
        let new = || Places { shard: None, spots: Spots::default(), next: 1, proof: 0 };
        self.queues.entry(queue).or_insert_with(new)
    }
}

impl Places {
    fn raise(&mut self, next: u64, segment: u32) {
        if next >= self.next {
            self.next = next;
            self.proof = segment;
        }
    }
}
