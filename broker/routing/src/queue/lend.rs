//! Lend: consumers come, take and settle

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::change::Place;
use model::delivery::{Delivery, DeliveryTag, Outcome, Stage};
use model::name::ConsumerId;
use model::refusal::Refusal;
use model::stream::Start;
use model::time::WallMs;

use super::Queue;
use crate::queue::consumers::{Consumer, ConsumerKey, ConsumerOptions};
use crate::queue::dead::{Cause, Dead};
use crate::queue::entry::{Entry, Item, Unfit};
use crate::queue::owner::Owner;
use crate::queue::report::{Settled, Taken};
use crate::wake::{Readiness, Wakes};

impl Queue {
    /// Lets a consumer take. It is marked at once if something waits. Of a stream it reads what comes.
    ///
    /// # Errors
    ///
    /// If the queue is exclusive to another link, or was deleted.
    pub fn attach(
        &self,
        consumer: ConsumerOptions,
        readiness: &Arc<Readiness>,
        wakes: &mut Wakes,
    ) -> Result<ConsumerKey, Refusal> {
        if self.is_stream() {
            return self.attach_at(Start::Next, consumer, readiness, wakes);
        }
        if matches!(self.owner, Owner::Link(link) if link != consumer.link) {
            return Err(Refusal::Exclusive(self.options.name.clone()));
        }
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::NoQueue(self.options.name.clone()));
        }
        let key = state.consumers.attach(consumer, Arc::clone(readiness));
        self.attached.store(state.consumers.len(), Ordering::Relaxed);
        state.offer(wakes);
        if self.feed.is_open() {
            // Who takes sees to it that there is something.
            state.consumers.call_all(wakes);
        }
        Ok(key)
    }

    /// Lets a consumer read a stream from there on.
    ///
    /// # Errors
    ///
    /// If it is no stream, or was deleted.
    pub fn attach_at(
        &self,
        start: Start,
        consumer: ConsumerOptions,
        readiness: &Arc<Readiness>,
        wakes: &mut Wakes,
    ) -> Result<ConsumerKey, Refusal> {
        let name = || self.options.name.clone();
        let stream = self.stream.as_ref().ok_or_else(|| Refusal::NoStream(name()))?;
        let attached = stream.attach(start, consumer, readiness, wakes);
        let (key, readers) = attached.ok_or_else(|| Refusal::NoQueue(name()))?;
        self.attached.store(readers, Ordering::Relaxed);
        Ok(key)
    }

    /// The consumer takes no more. What it had not settled waits again, in its old place and counted as one more
    /// attempt. Returns how many consumers are left.
    pub fn detach(&self, key: ConsumerKey, wakes: &mut Wakes) -> usize {
        if let Some(stream) = &self.stream {
            let left = stream.detach(key);
            self.attached.store(left, Ordering::Relaxed);
            return left;
        }
        let mut state = self.lock();
        if let Some(gone) = state.consumers.detach(key) {
            self.attached.store(state.consumers.len(), Ordering::Relaxed);
            // Newest first, so that each finds its place at the front.
            for entry in gone.unacked.into_newest_first() {
                state.ready.insert(entry.again());
            }
            self.note_expiry(&state);
            state.offer(wakes);
        }
        state.consumers.len()
    }

    /// Takes up to `max` entries for that consumer, oldest first, within its prefetch and, where others compete, its
    /// share. Returns whether it could take more now; if not, it is marked again once it can.
    pub fn take(&self, key: ConsumerKey, max: usize, now: WallMs, out: &mut Taken) -> bool {
        if let Some(stream) = &self.stream {
            return stream.take(key, max, now, out);
        }
        // Dropped, and with it used, after the lock.
        let mut wakes = Wakes::default();
        let mut guard = self.lock();
        let state = &mut *guard;
        let wanted = state.consumers.allowance(key).min(max);
        let Some(consumer) = state.consumers.get_mut(key) else { return false };
        let mut taken = 0;
        while taken < wanted {
            let Some(entry) = state.ready.pop() else { break };
            match state.ready.unfit(&entry.item, now) {
                None => {
                    taken += 1;
                    state.sent_through = state.sent_through.max(entry.sequence);
                    self.lend(consumer, entry, now, out);
                }
                Some(unfit) => {
                    let cause = match unfit {
                        Unfit::Expired => Cause::Expired,
                        Unfit::TooOften => Cause::DeliveryLimit,
                    };
                    out.give_up(self.id, entry, cause, state.dead_letters.as_ref());
                }
            }
        }
        let waiting = state.ready.available();
        out.absent |= state.ready.is_hungry();
        state.consumers.took(key, taken, waiting, &mut wakes)
    }

    /// Settles a delivery of that consumer.
    pub fn settle(&self, key: ConsumerKey, tag: DeliveryTag, outcome: Outcome, wakes: &mut Wakes) -> Settled {
        if let Some(stream) = &self.stream {
            return stream.settle(key, tag, outcome, wakes);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(consumer) = state.consumers.get_mut(key) else { return Settled::Unknown };
        let place = Place { queue: self.id, sequence: tag.0 };
        if outcome == Outcome::Received {
            let Some(item) = consumer.unacked.get_mut(tag.0) else { return Settled::Unknown };
            item.stage = Stage::Received;
            return Settled::Received { durable: item.durable.then_some(place) };
        }
        let Some(item) = consumer.unacked.take(tag.0) else { return Settled::Unknown };
        let settled = match outcome {
            Outcome::Requeued => {
                state.ready.insert(Entry { sequence: tag.0, item }.again());
                self.note_expiry(state);
                Settled::Requeued
            }
            Outcome::Rejected if let Some(from) = &state.dead_letters => Settled::Dead(Dead {
                from: Arc::clone(from),
                place: item.durable.then_some(place),
                message: item.message,
                cause: Cause::Rejected,
            }),
            Outcome::Accepted | Outcome::Rejected | Outcome::Received => {
                Settled::Removed { durable: item.durable.then_some(place), message: item.message }
            }
        };
        state.consumers.freed(key);
        state.offer(wakes);
        settled
    }

    /// Makes a delivery of an entry, and a loan of it if it waits to be settled.
    fn lend(&self, consumer: &mut Consumer, entry: Entry, now: WallMs, out: &mut Taken) {
        let waits = consumer.options.settles.waits(entry.item.qos);
        let sequence = entry.sequence;
        let item = if waits {
            let item = entry.item.clone();
            consumer.unacked.lend(entry);
            item
        } else {
            out.removed.extend(entry.durable_place(self.id));
            entry.item
        };
        let tag = DeliveryTag(if waits { sequence } else { 0 });
        out.deliveries.push(item.into_delivery(consumer.options.id, tag, now));
    }
}

impl Item {
    /// What the consumer of that name gets of it.
    pub(crate) fn into_delivery(self, consumer: ConsumerId, tag: DeliveryTag, now: WallMs) -> Delivery {
        let left = |end: WallMs| u64::try_from(end.since(now).as_millis()).unwrap_or(u64::MAX);
        Delivery {
            consumer,
            tag,
            qos: self.qos,
            retain: self.retain,
            subscription_ids: self.subscription_ids,
            attempts: self.attempts,
            stage: self.stage,
            expires_in_ms: self.message.expires_at.map(left),
            message: self.message,
            offset: None,
        }
    }
}
