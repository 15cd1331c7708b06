//! Push, take, settle: one short lock.

pub(crate) mod consumers;
pub(crate) mod dead;
pub(crate) mod feed;
pub(crate) mod limits;
pub(crate) mod ready;
pub(crate) mod unacked;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::change::Place;
use model::delivery::{Delivery, DeliveryTag, Outcome, Stage};
use model::message::Message;
use model::name::{ClientId, ConsumerId, QueueId};
use model::queue::{Overflow, QueueArguments, QueueOptions};
use model::refusal::Refusal;
use model::time::WallMs;

use crate::queue::consumers::{Consumer, ConsumerKey, ConsumerOptions, Consumers};
use crate::queue::dead::{Cause, Dead, DeadLetters};
use crate::queue::feed::Feed;
use crate::queue::limits::{Full, Limits, Waiting};
use crate::queue::ready::{Entry, Item, Ready, Rules, Unfit};
use crate::wake::{Readiness, Wakes};

/// Messages that wait for consumers, in the order of their sequence numbers, and those on loan to them.
///
/// A consumer is marked in its link's [`Readiness`] when it becomes able to take something; it stays marked, and is not
/// marked again, until [`Self::take`] tells it that there is no more.
pub struct Queue {
    id: QueueId,
    options: QueueOptions,
    owner: Owner,
    overflow: Overflow,
    /// Where what it gives up goes; `None`: nowhere.
    dead_letters: Option<Arc<DeadLetters>>,
    /// How many consumers there are, to be seen without the lock.
    attached: AtomicUsize,
    /// When somebody last declared it, or stopped consuming it, in wall-clock milliseconds.
    used_at: AtomicU64,
    /// When the first of what waits expires, in wall-clock milliseconds, and for when somebody was asked to look;
    /// `u64::MAX`: never.
    expires_first: AtomicU64,
    expiry_asked: AtomicU64,
    /// What has still to come into it of retained messages.
    feed: Feed,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: Ready,
    consumers: Consumers,
    limits: Limits,
    /// The last sequence number in use.
    sequence: u64,
    /// Nothing above this number was ever sent.
    sent_through: u64,
    closed: bool,
}

/// Whose a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Anybody's.
    Nobody,
    /// An MQTT session's own.
    Session(ClientId),
    /// Exclusive to one link.
    Link(u64),
}

/// What [`Queue::take`], [`Queue::expire`] and [`Queue::trim`] found. Belongs to the caller and is used again: they only
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

impl Queue {
    /// An empty queue. Limits that are `None` in `options` do not exist.
    pub fn new(id: QueueId, options: QueueOptions, owner: Owner) -> Arc<Self> {
        Self::with_delivery_limit(id, options, owner, None)
    }

    /// The same, with a limit to how often a message may come back where `options` have none. It holds only for a queue that
    /// says where what it gives up goes: no other one is to lose a message that nobody said it may lose.
    pub fn with_delivery_limit(
        id: QueueId,
        options: QueueOptions,
        owner: Owner,
        usual_limit: Option<u32>,
    ) -> Arc<Self> {
        let arguments = options.arguments.as_deref();
        // One that belongs to a client loses what is too much, or one slow client could hold up all publishers.
        let usual = if owner == Owner::Nobody { Overflow::RejectPublish } else { Overflow::DropNew };
        let overflow = arguments.and_then(|arguments| arguments.overflow).unwrap_or(usual);
        let to = arguments.and_then(|arguments| arguments.dead_letter.clone());
        let dead_letters = to.map(|to| Arc::new(DeadLetters { queue: options.name.clone(), to }));
        let ready = Ready::new(Rules::of(arguments, usual_limit));
        let consumers = Consumers::new(arguments.is_some_and(|arguments| arguments.single_active));
        let state = Mutex::new(State { ready, consumers, ..State::default() });
        Arc::new(Self {
            id,
            options,
            owner,
            overflow,
            dead_letters,
            attached: AtomicUsize::new(0),
            used_at: AtomicU64::new(0),
            expires_first: AtomicU64::new(u64::MAX),
            expiry_asked: AtomicU64::new(u64::MAX),
            feed: Feed::default(),
            state,
        })
    }

    /// What happens to a message that is one too many.
    pub const fn overflow(&self) -> Overflow {
        self.overflow
    }

    /// Where what it gives up goes.
    pub const fn dead_letters(&self) -> Option<&Arc<DeadLetters>> {
        self.dead_letters.as_ref()
    }

    /// What it was declared with beside limits and flags.
    pub fn arguments(&self) -> Option<&QueueArguments> {
        self.options.arguments.as_deref()
    }

    /// The number that the journal knows it by.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// As it was declared.
    pub fn options(&self) -> &QueueOptions {
        &self.options
    }

    /// Whose it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether somebody consumes it, as far as can be seen without the lock.
    pub fn has_consumers(&self) -> bool {
        self.attached.load(Ordering::Relaxed) > 0
    }

    /// What has still to come into it of retained messages.
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Somebody declared it, or stopped consuming it.
    pub fn use_at(&self, now: WallMs) {
        self.used_at.store(now.0, Ordering::Relaxed);
    }

    /// From when on it counts as unused for too long; `None`: never, or not while it has consumers.
    pub fn unused_from(&self) -> Option<WallMs> {
        let expires_ms = self.arguments()?.expires_ms?;
        let used_at = self.used_at.load(Ordering::Relaxed);
        (!self.has_consumers()).then(|| WallMs(used_at.saturating_add(expires_ms)))
    }

    /// Takes the next sequence number for an entry that is about to become durable. From now on it counts as waiting;
    /// it becomes visible by [`Self::show`], or its room is given back by [`Self::unreserve`].
    ///
    /// # Errors
    ///
    /// If a limit is reached; no number is used up.
    pub fn reserve(&self, bytes: usize) -> Result<u64, Full> {
        let mut state = self.lock();
        self.check(&state, bytes)?;
        state.limits.reserve(bytes);
        state.sequence += 1;
        Ok(state.sequence)
    }

    /// The reserved entry of that size will not come. Its number stays unused.
    pub fn unreserve(&self, bytes: usize) {
        self.lock().limits.unreserve(bytes);
    }

    /// A reserved entry is durable and may be taken. `reserve` must have been asked for the message's
    /// [`Message::size_bytes`].
    pub fn show(&self, sequence: u64, item: Item, wakes: &mut Wakes) {
        let mut state = self.lock();
        state.limits.unreserve(item.message.size_bytes());
        state.add(Entry { sequence, item }, wakes);
        self.note_expiry(&state);
    }

    /// Adds an entry that may be taken at once.
    ///
    /// # Errors
    ///
    /// If a limit is reached: the message is not in the queue.
    pub fn push(&self, item: Item, wakes: &mut Wakes) -> Result<(), Full> {
        let mut state = self.lock();
        self.check(&state, item.message.size_bytes())?;
        state.sequence += 1;
        let sequence = state.sequence;
        state.add(Entry { sequence, item }, wakes);
        self.note_expiry(&state);
        Ok(())
    }

    /// Puts back what was there before the broker stopped, in any order and beyond any limit. Comes before the first
    /// consumer.
    pub fn restore(&self, sequence: u64, item: Item) {
        let mut state = self.lock();
        state.sequence = state.sequence.max(sequence);
        state.ready.restore(Entry { sequence, item });
        self.note_expiry(&state);
    }

    /// The next entry gets at least this number: those below were used in an earlier life.
    pub fn set_next_sequence(&self, next: u64) {
        let mut state = self.lock();
        state.sequence = state.sequence.max(next.saturating_sub(1));
    }

    /// Nothing above this number was ever sent to anybody: not in this life, and not in an earlier one as far as
    /// [`Self::set_sent_through`] was told.
    pub fn sent_through(&self) -> u64 {
        self.lock().sent_through
    }

    /// Everything up to this number may have been sent in an earlier life.
    pub fn set_sent_through(&self, sequence: u64) {
        let mut state = self.lock();
        state.sent_through = state.sent_through.max(sequence);
    }

    /// Lets a consumer take. It is marked at once if something waits.
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

    /// The consumer takes no more. What it had not settled waits again, in its old place and counted as one more
    /// attempt. Returns how many consumers are left.
    pub fn detach(&self, key: ConsumerKey, wakes: &mut Wakes) -> usize {
        let mut state = self.lock();
        if let Some(gone) = state.consumers.detach(key) {
            self.attached.store(state.consumers.len(), Ordering::Relaxed);
            // Newest first, so that each finds its place at the front.
            for entry in gone.unacked.into_newest_first() {
                state.ready.insert(again(entry));
            }
            self.note_expiry(&state);
            state.offer(wakes);
        }
        state.consumers.len()
    }

    /// Takes up to `max` entries for that consumer, oldest first, within its prefetch and, where others compete, its
    /// share. Returns whether it could take more now; if not, it is marked again once it can.
    pub fn take(&self, key: ConsumerKey, max: usize, now: WallMs, out: &mut Taken) -> bool {
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
                Some(Unfit::Expired) => self.give_up(entry, Cause::Expired, out),
                Some(Unfit::TooOften) => self.give_up(entry, Cause::DeliveryLimit, out),
            }
        }
        let waiting = state.ready.len();
        state.consumers.took(key, taken, waiting, &mut wakes)
    }

    /// Settles a delivery of that consumer.
    pub fn settle(&self, key: ConsumerKey, tag: DeliveryTag, outcome: Outcome, wakes: &mut Wakes) -> Settled {
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
                state.ready.insert(again(Entry { sequence: tag.0, item }));
                self.note_expiry(state);
                Settled::Requeued
            }
            Outcome::Rejected if let Some(from) = &self.dead_letters => Settled::Dead(Dead {
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

    /// The queue is deleted: returns whose consumers to tell. From now on it drops whatever comes and holds nothing.
    pub fn close(&self) -> Vec<(Arc<Readiness>, ConsumerId)> {
        self.close_if(|_| true).unwrap_or_default()
    }

    /// The same, if it `may` be as it is now; what is on its way to the disk counts as waiting.
    pub fn close_if(
        &self,
        may: impl FnOnce(QueueStats) -> bool,
    ) -> Option<Vec<(Arc<Readiness>, ConsumerId)>> {
        let state = {
            let mut state = self.lock();
            let (on_the_way, _) = state.limits.reserved();
            let stats = state.stats();
            if !may(QueueStats { ready: stats.ready + on_the_way as usize, ..stats }) {
                return None;
            }
            let sequence = state.sequence;
            self.attached.store(0, Ordering::Relaxed);
            std::mem::replace(&mut *state, State { closed: true, sequence, ..State::default() })
        };
        self.feed.close();
        // The messages go here, outside the lock.
        Some(state.consumers.iter().map(|gone| (Arc::clone(&gone.readiness), gone.options.id)).collect())
    }

    /// Drops all that waits, but nothing that is on loan, that its client has begun to receive, or that is on its way to the
    /// disk. Returns how many messages that were, and the places whose removal is to be journalled.
    pub fn purge(&self) -> (usize, Vec<Place>) {
        let gone = {
            let mut state = self.lock();
            let gone = state.ready.take_all();
            self.note_expiry(&state);
            let waiting = state.ready.len();
            state.consumers.trim(waiting);
            gone
        };
        (gone.len(), gone.iter().filter_map(|entry| self.durable_place(entry)).collect())
    }

    /// Drops from the head what is beyond the limits of a queue that drops its head; of any other queue, nothing. To be
    /// called after [`Self::push`] or [`Self::show`].
    pub fn trim(&self, out: &mut Taken) {
        if self.overflow != Overflow::DropHead {
            return;
        }
        let mut gone = Vec::new();
        {
            let mut state = self.lock();
            while Limits::is_over(&self.options, state.ready.len(), state.ready.bytes()) {
                gone.extend(state.ready.pop());
            }
            let waiting = state.ready.len();
            state.consumers.trim(waiting);
        }
        for entry in gone {
            self.give_up(entry, Cause::TooMany, out);
        }
    }

    /// When to call [`Self::expire`], if that is sooner than what was said before; or `None`. To be asked whenever an entry
    /// came in or came back.
    pub fn ask_expiry(&self) -> Option<WallMs> {
        let first = self.expires_first.load(Ordering::Acquire);
        if first >= self.expiry_asked.load(Ordering::Acquire) {
            return None;
        }
        (self.expiry_asked.fetch_min(first, Ordering::AcqRel) > first).then_some(WallMs(first))
    }

    /// Drops what has expired without waiting for somebody to take it. Costs nothing while nothing can have. Whoever was to
    /// call it has done so: [`Self::ask_expiry`] says when to come again.
    pub fn expire(&self, now: WallMs, out: &mut Taken) {
        let gone = {
            let mut state = self.lock();
            let gone = state.ready.expire(now);
            self.expiry_asked.store(u64::MAX, Ordering::Release);
            self.note_expiry(&state);
            let waiting = state.ready.len();
            state.consumers.trim(waiting);
            gone
        };
        for entry in gone {
            self.give_up(entry, Cause::Expired, out);
        }
    }

    /// Has all its consumers come, though there may be nothing to take: they are to see to its [`Self::feed`].
    pub fn call_consumers(&self, wakes: &mut Wakes) {
        self.lock().consumers.call_all(wakes);
    }

    /// What waits in it, and what is on its way into it.
    pub fn waiting(&self) -> Waiting {
        let state = self.lock();
        let (ready, bytes) = (state.ready.len() as u64, state.ready.bytes());
        let (reserved, reserved_bytes) = state.limits.reserved();
        Waiting { ready, messages: ready + reserved, bytes: bytes + reserved_bytes }
    }

    /// How much is in it now.
    pub fn stats(&self) -> QueueStats {
        self.lock().stats()
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
            out.removed.extend(self.durable_place(&entry));
            entry.item
        };
        let left = |end: WallMs| u64::try_from(end.since(now).as_millis()).unwrap_or(u64::MAX);
        out.deliveries.push(Delivery {
            consumer: consumer.options.id,
            tag: DeliveryTag(if waits { sequence } else { 0 }),
            qos: item.qos,
            retain: item.retain,
            subscription_ids: item.subscription_ids,
            attempts: item.attempts,
            stage: item.stage,
            expires_in_ms: item.message.expires_at.map(left),
            message: item.message,
        });
    }

    /// To be called under the lock when an entry joined those that wait.
    fn note_expiry(&self, state: &State) {
        let first = state.ready.expires_first().map_or(u64::MAX, |end| end.0);
        self.expires_first.store(first, Ordering::Release);
    }

    /// An entry that is not to be delivered goes where the queue says, or nowhere.
    fn give_up(&self, entry: Entry, cause: Cause, out: &mut Taken) {
        match cause {
            Cause::Expired => out.expired += 1,
            Cause::TooMany | Cause::Rejected | Cause::DeliveryLimit => {
                out.dropped += usize::from(self.dead_letters.is_none());
            }
        }
        let place = self.durable_place(&entry);
        match &self.dead_letters {
            Some(from) => {
                let from = Arc::clone(from);
                out.dead.push(Dead { from, place, message: entry.item.message, cause });
            }
            None => out.removed.extend(place),
        }
    }

    /// Whether a message of that size has room. One that drops its head always has.
    fn check(&self, state: &State, bytes: usize) -> Result<(), Full> {
        if self.overflow == Overflow::DropHead {
            return Ok(());
        }
        state.limits.check(&self.options, state.ready.len(), state.ready.bytes(), bytes)
    }

    fn durable_place(&self, entry: &Entry) -> Option<Place> {
        entry.item.durable.then_some(Place { queue: self.id, sequence: entry.sequence })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, entry: Entry, wakes: &mut Wakes) {
        if !self.closed {
            self.ready.insert(entry);
            self.offer(wakes);
        }
    }

    fn offer(&mut self, wakes: &mut Wakes) {
        self.consumers.offer(self.ready.len(), wakes);
    }

    fn stats(&self) -> QueueStats {
        QueueStats {
            ready: self.ready.len(),
            unacked: self.consumers.iter().map(|consumer| consumer.unacked.len()).sum(),
            ready_bytes: self.ready.bytes(),
            consumers: self.consumers.len(),
        }
    }
}

/// An entry that comes back.
fn again(mut entry: Entry) -> Entry {
    entry.item.attempts = entry.item.attempts.saturating_add(1);
    entry.item.was_sent = true;
    entry
}

#[cfg(test)]
mod tests;
