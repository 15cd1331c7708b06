//! Push, take, settle: one short lock.

pub(crate) mod absent;
pub(crate) mod book;
mod bring;
pub(crate) mod consumers;
pub(crate) mod dead;
pub(crate) mod entry;
pub(crate) mod feed;
mod lend;
pub(crate) mod limits;
mod look;
pub(crate) mod owner;
pub(crate) mod page;
pub(crate) mod pool;
pub(crate) mod readers;
pub(crate) mod ready;
pub(crate) mod report;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod terms;
pub(crate) mod unacked;

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::change::Place;
use model::durability::Durability;
use model::name::{ConsumerId, QueueId};
use model::queue::{Overflow, QueueArguments, QueueOptions};
use model::time::WallMs;

use crate::queue::absent::Dates;
use crate::queue::consumers::Consumers;
use crate::queue::dead::{Cause, DeadLetters};
use crate::queue::entry::{Entry, Item};
use crate::queue::feed::Feed;
use crate::queue::limits::{Full, Waiting};
use crate::queue::owner::Owner;
use crate::queue::pool::{Pool, Resident};
use crate::queue::report::{QueueStats, StreamEnds, Taken};
use crate::queue::state::State;
use crate::queue::stream::Stream;
use crate::queue::terms::{Terms, Usual};
use crate::wake::{Readiness, Wakes};

/// Messages that wait for consumers, in the order of their sequence numbers, and those on loan to them.
///
/// A consumer is marked in its link's [`Readiness`] when it becomes able to take something; it stays marked, and is not
/// marked again, until [`Self::take`] tells it that there is no more.
pub struct Queue {
    id: QueueId,
    options: QueueOptions,
    owner: Owner,
    /// What its terms say of what is asked for each message: to be seen without the lock.
    gist: AtomicU8,
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
    /// What is in it, if it is a stream; then nothing is in `state`.
    stream: Option<Box<Stream>>,
    state: Mutex<State>,
}

impl Queue {
    /// An empty queue for which holds what it was declared with.
    pub fn new(id: QueueId, options: QueueOptions, owner: Owner) -> Arc<Self> {
        let terms = Terms::new(&options, &owner, None, Usual::default());
        Self::with_terms(id, options, owner, terms)
    }

    /// An empty queue for which that holds.
    pub fn with_terms(id: QueueId, options: QueueOptions, owner: Owner, terms: Terms) -> Arc<Self> {
        let single_active = options.arguments.as_deref().is_some_and(|arguments| arguments.single_active);
        let state = State { consumers: Consumers::new(single_active), ..State::default() };
        let stream = options.is_stream().then(|| Box::new(Stream::new(id)));
        let queue = Self {
            id,
            options,
            owner,
            gist: AtomicU8::new(0),
            attached: AtomicUsize::new(0),
            used_at: AtomicU64::new(0),
            expires_first: AtomicU64::new(u64::MAX),
            expiry_asked: AtomicU64::new(u64::MAX),
            feed: Feed::default(),
            stream,
            state: Mutex::new(state),
        };
        queue.amend(terms);
        Arc::new(queue)
    }

    /// Other terms hold from now on, for what waits, too. Returns whether [`Self::retime`] is to be called. What is too much by
    /// them stays until [`Self::trim`] takes it.
    pub fn amend(&self, terms: Terms) -> bool {
        if let Some(stream) = &self.stream {
            stream.amend(&terms);
        }
        let mut state = self.lock();
        self.gist.store(terms.gist(), Ordering::Relaxed);
        state.amend(terms, self.arguments().and_then(|arguments| arguments.priority_max))
    }

    /// All that holds for it, where a policy does; `None`: what it was declared with.
    pub fn governed(&self) -> Option<Arc<Terms>> {
        self.lock().governed.clone()
    }

    /// Has the next of what waits expire by other terms than those it came under: so many messages, and of those that are not
    /// here, so many bytes. Returns which of these [`Self::time`] is to say more of; `None`: there is nothing left to do.
    pub fn retime(&self, messages_max: usize, bytes_max: u64) -> Option<Vec<u64>> {
        let mut state = self.lock();
        let unknown = state.ready.retime(messages_max, bytes_max);
        self.note_expiry(&state);
        unknown
    }

    /// What is known of entries that [`Self::retime`] returned; `None`: nothing can be said of them now.
    pub fn time(&self, asked: &[u64], found: Option<&[Dates]>) {
        let mut state = self.lock();
        match found {
            Some(found) => found.iter().for_each(|dates| state.ready.time(*dates)),
            None => state.ready.retime_again(asked),
        }
        self.note_expiry(&state);
    }

    /// What it holds in memory counts as part of that from now on.
    pub fn join(&self, pool: &Arc<Pool>) {
        match &self.stream {
            Some(stream) => stream.join(pool),
            None => self.lock().ready.join(pool),
        }
    }

    /// So much of it is held in memory, if it is a stream; of another queue, [`Self::show`] is told.
    pub fn keep(&self, resident: Resident) {
        if let Some(stream) = &self.stream {
            stream.keep(resident);
        }
    }

    /// How far it reaches, if it is a stream.
    pub fn stream_ends(&self) -> Option<StreamEnds> {
        self.stream.as_ref().map(|stream| stream.ends())
    }

    /// Whether it is a stream.
    pub const fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// What happens to a message that is one too many.
    pub fn overflow(&self) -> Overflow {
        terms::overflow(self.gist.load(Ordering::Relaxed))
    }

    /// What messages outlive in it, at most; `None`: that is not said.
    pub fn durability(&self) -> Option<Durability> {
        terms::durability(self.gist.load(Ordering::Relaxed))
    }

    /// Whether it goes when nobody uses it for some time.
    pub fn expires(&self) -> bool {
        terms::expires(self.gist.load(Ordering::Relaxed))
    }

    /// Where what it gives up goes.
    pub fn dead_letters(&self) -> Option<Arc<DeadLetters>> {
        self.lock().dead_letters.clone()
    }

    /// How many messages may wait, and how many bytes; `u64::MAX`: any number.
    pub fn most(&self) -> (u64, u64) {
        self.lock().limits.most()
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
        let declared = || self.arguments()?.expires_ms;
        let expires_ms = self.governed().map_or_else(declared, |terms| terms.expires_ms)?;
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
        if let Some(stream) = &self.stream {
            return Ok(stream.reserve(bytes));
        }
        let mut state = self.lock();
        self.check(&state, bytes)?;
        state.limits.reserve(bytes);
        state.sequence += 1;
        Ok(state.sequence)
    }

    /// The reserved entry of that number and size will not come. Its number stays unused.
    pub fn unreserve(&self, sequence: u64, bytes: usize) {
        match &self.stream {
            Some(stream) => stream.unreserve(sequence, &mut Wakes::default()),
            None => self.lock().limits.unreserve(bytes),
        }
    }

    /// A reserved entry is durable and may be taken. `reserve` must have been asked for its [`model::message::Message::size_bytes`].
    /// If it is in the journal and more waits than may be `resident`, or the pool is full, the message is let go.
    pub fn show(&self, sequence: u64, item: Item, resident: Resident, wakes: &mut Wakes) {
        if let Some(stream) = &self.stream {
            return stream.show(sequence, item, wakes);
        }
        let mut state = self.lock();
        state.limits.unreserve(item.message.size_bytes());
        state.add(Entry { sequence, item }, resident, wakes);
        self.note_expiry(&state);
    }

    /// Adds an entry that may be taken at once.
    ///
    /// # Errors
    ///
    /// If a limit is reached: the message is not in the queue.
    pub fn push(&self, item: Item, wakes: &mut Wakes) -> Result<(), Full> {
        if let Some(stream) = &self.stream {
            stream.push(item, wakes);
            return Ok(());
        }
        let mut state = self.lock();
        self.check(&state, item.message.size_bytes())?;
        state.sequence += 1;
        let sequence = state.sequence;
        state.add(Entry { sequence, item }, Resident::ALL, wakes);
        self.note_expiry(&state);
        Ok(())
    }

    /// The next entry gets at least this number: those below were used in an earlier life.
    pub fn set_next_sequence(&self, next: u64) {
        if let Some(stream) = &self.stream {
            return stream.set_next_sequence(next);
        }
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

    /// The queue is deleted: returns whose consumers to tell. From now on it drops whatever comes and holds nothing.
    pub fn close(&self) -> Vec<(Arc<Readiness>, ConsumerId)> {
        self.close_if(|_| true).unwrap_or_default()
    }

    /// The same, if it `may` be as it is now; what is on its way to the disk counts as waiting.
    pub fn close_if(
        &self,
        may: impl FnOnce(QueueStats) -> bool,
    ) -> Option<Vec<(Arc<Readiness>, ConsumerId)>> {
        if let Some(stream) = &self.stream {
            let readers = stream.close_if(may)?;
            self.attached.store(0, Ordering::Relaxed);
            self.feed.close();
            return Some(readers);
        }
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

    /// Drops so much of what waits, first come first, but nothing that is on loan, that its client has begun to receive, or that
    /// is on its way to the disk. Returns how many messages that were, and the places whose removal is to be journalled.
    pub fn purge(&self, most: usize) -> (usize, Vec<Place>) {
        if let Some(stream) = &self.stream {
            return stream.purge(most);
        }
        let gone = {
            let mut state = self.lock();
            let gone = state.ready.take_first(most);
            self.note_expiry(&state);
            let waiting = state.ready.len();
            state.consumers.trim(waiting);
            gone
        };
        (gone.len(), gone.iter().filter_map(|one| one.durable_place(self.id)).collect())
    }

    /// Drops from the head what is beyond the limits of a queue that drops it, so many messages at most. To be called after
    /// [`Self::push`] or [`Self::show`], and when other terms hold. Returns whether there is more to drop.
    pub fn trim(&self, most: usize, out: &mut Taken) -> bool {
        if self.overflow() != Overflow::DropHead {
            return false;
        }
        if let Some(stream) = &self.stream {
            return stream.trim(most, out);
        }
        let (gone, is_over, dead_letters) = {
            let mut state = self.lock();
            let (gone, is_over) = state.take_excess(most);
            out.absent |= state.ready.is_hungry();
            (gone, is_over, state.dead_letters.clone())
        };
        for one in gone {
            out.give_up_any(self.id, one, Cause::TooMany, dead_letters.as_ref());
        }
        is_over
    }

    /// When to call [`Self::expire`], if that is sooner than what was said before; or `None`. To be asked whenever an entry
    /// came in or came back.
    pub fn ask_expiry(&self) -> Option<WallMs> {
        let first = match &self.stream {
            Some(stream) => stream.expires_first(),
            None => self.expires_first.load(Ordering::Acquire),
        };
        if first >= self.expiry_asked.load(Ordering::Acquire) {
            return None;
        }
        (self.expiry_asked.fetch_min(first, Ordering::AcqRel) > first).then_some(WallMs(first))
    }

    /// Drops what has expired without waiting for somebody to take it. Costs nothing while nothing can have. Whoever was to
    /// call it has done so: [`Self::ask_expiry`] says when to come again.
    pub fn expire(&self, now: WallMs, out: &mut Taken) {
        if let Some(stream) = &self.stream {
            self.expiry_asked.store(u64::MAX, Ordering::Release);
            return stream.expire(now, out);
        }
        let (gone, dead_letters) = {
            let mut state = self.lock();
            let dead_letters = state.dead_letters.clone();
            let gone = state.ready.expire(now, dead_letters.is_some());
            out.absent |= state.ready.is_hungry();
            self.expiry_asked.store(u64::MAX, Ordering::Release);
            self.note_expiry(&state);
            let waiting = state.ready.available();
            state.consumers.trim(waiting);
            (gone, dead_letters)
        };
        for one in gone {
            out.give_up_any(self.id, one, Cause::Expired, dead_letters.as_ref());
        }
    }

    /// Has all its consumers come, though there may be nothing to take: they are to see to its [`Self::feed`].
    pub fn call_consumers(&self, wakes: &mut Wakes) {
        match &self.stream {
            Some(stream) => stream.call_readers(wakes),
            None => self.lock().consumers.call_all(wakes),
        }
    }

    /// What waits in it, and what is on its way into it.
    pub fn waiting(&self) -> Waiting {
        if let Some(stream) = &self.stream {
            let (ready, messages, bytes) = stream.waiting();
            return Waiting { ready, messages, bytes };
        }
        let state = self.lock();
        let (ready, bytes) = (state.ready.len() as u64, state.ready.bytes());
        let (reserved, reserved_bytes) = state.limits.reserved();
        Waiting { ready, messages: ready + reserved, bytes: bytes + reserved_bytes }
    }

    /// How much is in it now.
    pub fn stats(&self) -> QueueStats {
        match &self.stream {
            Some(stream) => stream.stats(),
            None => self.lock().stats(),
        }
    }

    /// To be called under the lock when an entry joined those that wait.
    fn note_expiry(&self, state: &State) {
        let first = state.ready.expires_first().map_or(u64::MAX, |end| end.0);
        self.expires_first.store(first, Ordering::Release);
    }

    /// Whether a message of that size has room. One that drops its head always has.
    fn check(&self, state: &State, bytes: usize) -> Result<(), Full> {
        if self.overflow() == Overflow::DropHead {
            return Ok(());
        }
        state.limits.check(state.ready.len(), state.ready.bytes(), bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
