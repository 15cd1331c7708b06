//! Who takes next.
//!
//! A single consumer may take whatever is there. Where several compete, each waiting entry is promised to one of them in
//! turn: a *claim* is the right to one entry, whichever is the oldest when its owner comes. So the shares are even
//! however the tasks are scheduled, the order is kept, and one that does not come holds up a bounded number only.
//!
//! In a queue with a single active consumer nobody competes: the one that has been there longest takes as if it were alone,
//! and the others wait until it has gone.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use model::name::ConsumerId;
use model::qos::Qos;

use crate::queue::unacked::Unacked;
use crate::wake::{Readiness, Wakes};

/// Who wants to take from a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// What its link calls it.
    pub id: ConsumerId,
    /// What has to be settled.
    pub settles: Settles,
    /// The most deliveries it may have unsettled; `None`: no limit. With `Some(0)` it gets nothing.
    pub prefetch: Option<u32>,
    /// The link it belongs to, for queues that are exclusive to one.
    pub link: u64,
}

/// How deliveries of a consumer are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settles {
    /// By being sent: STOMP's `ack:auto`.
    BySending,
    /// QoS 0 by being sent, QoS 1 and 2 by the client: MQTT.
    ByQos,
    /// By the client: STOMP's `client` and `client-individual`.
    Always,
}

impl Settles {
    /// Whether a delivery with that QoS waits to be settled.
    pub(crate) const fn waits(self, qos: Qos) -> bool {
        match (self, qos) {
            (Self::BySending, _) | (Self::ByQos, Qos::AtMostOnce) => false,
            (Self::Always, _) | (Self::ByQos, Qos::AtLeastOnce | Qos::ExactlyOnce) => true,
        }
    }
}

/// Names a consumer within its queue. Never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConsumerKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// One that takes.
pub(crate) struct Consumer {
    pub(crate) options: ConsumerOptions,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) unacked: Unacked,
    /// How many entries are promised to it. Not counted while it is alone.
    claims: usize,
    /// It was told that there is something, and has not found the queue empty since.
    marked: bool,
    /// It stands in the rotation.
    rotates: bool,
}

impl Consumer {
    /// How many more deliveries it may have unsettled.
    fn credit(&self) -> usize {
        match self.options.prefetch {
            None => usize::MAX,
            Some(prefetch) => (prefetch as usize).saturating_sub(self.unacked.len()),
        }
    }

    /// How many more claims it may get while it competes.
    fn room(&self) -> usize {
        self.credit().min(CLAIMS_MAX).saturating_sub(self.claims)
    }

    fn call(&mut self, wakes: &mut Wakes) {
        if !self.marked {
            self.marked = true;
            self.readiness.call(self.options.id, wakes);
        }
    }
}

/// All consumers of a queue.
#[derive(Default)]
pub(crate) struct Consumers {
    slots: Vec<Slot>,
    /// A slot that is free, counted from 1; it knows the next.
    free: Option<NonZeroU32>,
    count: usize,
    /// Whether one takes all.
    single: bool,
    /// The slot of the only one, while `count` is 1; of the active one, where one takes all.
    alone: u32,
    /// Only there while there are several: nearly every queue is a session's, which is alone.
    competition: Option<Box<Competition>>,
}

/// What is to be known where there are several.
#[derive(Default)]
struct Competition {
    /// Those that may get another claim, next one first; where one takes all, everybody, in the order they came.
    rotation: VecDeque<u32>,
    /// The sum of all claims.
    claimed: usize,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    /// While it is free: the next one that is.
    next_free: Option<NonZeroU32>,
    consumer: Option<Consumer>,
}

impl Consumers {
    /// Nobody yet; `single`: one of those who come takes all.
    pub(crate) fn new(single: bool) -> Self {
        Self { single, ..Self::default() }
    }

    /// Whether what waits is shared among several.
    const fn compete(&self) -> bool {
        self.count > 1 && !self.single
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.slots.iter().filter_map(|slot| slot.consumer.as_ref())
    }

    pub(crate) fn get_mut(&mut self, key: ConsumerKey) -> Option<&mut Consumer> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        slot.consumer.as_mut().filter(|_| slot.generation == key.generation)
    }

    pub(crate) fn attach(&mut self, options: ConsumerOptions, readiness: Arc<Readiness>) -> ConsumerKey {
        let free = self.free.map(|free| free.get() - 1);
        let at = free.unwrap_or_else(|| {
            if self.slots.is_empty() {
                // Nearly every queue has one consumer for all its life: a session.
                self.slots.reserve_exact(1);
            }
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("no queue has four billion consumers")
        });
        let slot = &mut self.slots[at as usize];
        self.free = slot.next_free.take();
        slot.generation = slot.generation.wrapping_add(1);
        let unacked = Unacked::default();
        slot.consumer =
            Some(Consumer { options, readiness, unacked, claims: 0, marked: false, rotates: true });
        let generation = slot.generation;
        self.count += 1;
        if self.count == 1 {
            self.alone = at;
        } else {
            let first = || Box::new(Competition { rotation: [self.alone].into(), claimed: 0 });
            self.competition.get_or_insert_with(first).rotation.push_back(at);
        }
        ConsumerKey { slot: at, generation }
    }

    /// Its claims go to the others with the next [`Self::offer`].
    pub(crate) fn detach(&mut self, key: ConsumerKey) -> Option<Consumer> {
        self.get_mut(key)?;
        let slot = self.slots.get_mut(key.slot as usize)?;
        let gone = slot.consumer.take()?;
        slot.next_free = self.free.replace(NonZeroU32::MIN.saturating_add(key.slot));
        self.count -= 1;
        if let Some(competition) = &mut self.competition {
            competition.claimed -= gone.claims;
            competition.rotation.retain(|slot| *slot != key.slot);
            if self.single
                && let Some(longest) = competition.rotation.front()
            {
                self.alone = *longest;
            }
        }
        if self.count == 1 {
            self.leave_alone();
        }
        Some(gone)
    }

    /// How many entries the consumer may take, were there enough.
    pub(crate) fn allowance(&mut self, key: ConsumerKey) -> usize {
        let (compete, is_active) = (self.compete(), self.alone == key.slot);
        self.get_mut(key).map_or(0, |consumer| match (compete, is_active) {
            (true, _) => consumer.claims,
            (false, true) => consumer.credit(),
            (false, false) => 0,
        })
    }

    /// A consumer took `taken`, and `waiting` are left. Returns whether it may take more of them now; if not, it is
    /// marked again when it may.
    pub(crate) fn took(&mut self, key: ConsumerKey, taken: usize, waiting: usize, wakes: &mut Wakes) -> bool {
        let compete = self.compete();
        if compete {
            if let Some(consumer) = self.get_mut(key) {
                // It is here: nobody needs to call it.
                consumer.marked = true;
                let used = consumer.claims.min(taken);
                consumer.claims -= used;
                self.compete_by().claimed -= used;
            }
            self.trim(waiting);
            self.freed(key);
            self.offer(waiting, wakes);
        }
        let is_active = self.alone == key.slot;
        let Some(consumer) = self.get_mut(key) else { return false };
        let may = if compete { consumer.claims > 0 } else { is_active && consumer.credit() > 0 };
        let more = waiting > 0 && may;
        consumer.marked = more;
        more
    }

    /// The consumer may have room again.
    pub(crate) fn freed(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.get_mut(key) else { return };
        if !consumer.rotates && consumer.room() > 0 {
            consumer.rotates = true;
            self.compete_by().rotation.push_back(key.slot);
        }
    }

    fn compete_by(&mut self) -> &mut Competition {
        self.competition.get_or_insert_default()
    }

    /// Promises what waits and is not promised yet, and marks whoever has not been told.
    pub(crate) fn offer(&mut self, waiting: usize, wakes: &mut Wakes) {
        if !self.compete() {
            if waiting > 0
                && let Some(Slot { consumer: Some(consumer), .. }) = self.slots.get_mut(self.alone as usize)
                && !consumer.marked
                && consumer.credit() > 0
            {
                consumer.call(wakes);
            }
            return;
        }
        let Some(competition) = &mut self.competition else { return };
        while competition.claimed < waiting {
            let Some(at) = competition.rotation.pop_front() else { return };
            let Some(Slot { consumer: Some(consumer), .. }) = self.slots.get_mut(at as usize) else {
                continue;
            };
            if consumer.room() == 0 {
                consumer.rotates = false;
                continue;
            }
            consumer.claims += 1;
            competition.claimed += 1;
            competition.rotation.push_back(at);
            consumer.call(wakes);
        }
    }

    /// Marks all that are not marked yet, whether or not there is something.
    pub(crate) fn call_all(&mut self, wakes: &mut Wakes) {
        for consumer in self.slots.iter_mut().filter_map(|slot| slot.consumer.as_mut()) {
            consumer.call(wakes);
        }
    }

    /// Takes back claims to entries that are there no more: they expired, or were purged.
    pub(crate) fn trim(&mut self, waiting: usize) {
        let claimed = self.competition.as_ref().map_or(0, |competition| competition.claimed);
        if claimed <= waiting {
            return;
        }
        let mut excess = claimed - waiting;
        for at in 0..self.slots.len() {
            let Some(Slot { consumer: Some(consumer), generation, .. }) = self.slots.get_mut(at) else {
                continue;
            };
            let cut = consumer.claims.min(excess);
            let key = ConsumerKey { slot: at as u32, generation: *generation };
            consumer.claims -= cut;
            excess -= cut;
            self.compete_by().claimed -= cut;
            self.freed(key);
        }
    }

    /// One is left: it needs no claims.
    fn leave_alone(&mut self) {
        self.competition = None;
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if let Some(consumer) = &mut slot.consumer {
                consumer.claims = 0;
                consumer.rotates = true;
                self.alone = at as u32;
            }
        }
    }
}

/// The most entries that wait for a competing consumer that does not come.
const CLAIMS_MAX: usize = 256;
