//! Stream: read by many, each from where he likes, and nothing is taken from it

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::change::Place;
use model::delivery::{DeliveryTag, Outcome};
use model::name::{ConsumerId, QueueId};
use model::stream::Start;
use model::time::WallMs;

use crate::queue::book::{Book, Opened, Retention};
use crate::queue::consumers::{ConsumerKey, ConsumerOptions};
use crate::queue::entry::Item;
use crate::queue::pool::{Pool, Resident};
use crate::queue::readers::{Reader, Readers, Waits};
use crate::queue::report::{Looked, QueueStats, Settled, StreamEnds, Taken};
use crate::queue::terms::Terms;
use crate::wake::{Readiness, Wakes};

/// What a queue holds that is a stream: entries in the order of their numbers, which are their offsets. Each reader has a
/// place of his own, and what he settles only says how much more he may get. What is oldest goes when there is too much, or
/// when its time is up.
///
/// Entries are seen in their order: one that is on its way to the disk holds up those behind it, or whoever reads would have
/// passed it by when it arrives.
pub(crate) struct Stream {
    queue: QueueId,
    /// Enough is gone that the journal has to be told of.
    has_gone: AtomicBool,
    /// When the time of the oldest is up, in wall-clock milliseconds; `u64::MAX`: never.
    expires_first: AtomicU64,
    state: Mutex<State>,
}

struct State {
    book: Book,
    retention: Retention,
    readers: Readers,
    /// The last number in use.
    sequence: u64,
    /// Those behind the end of the book, of which the first is on its way to the disk.
    coming: VecDeque<Coming>,
    /// The pages that are to be brought, in turn.
    wanted: VecDeque<u64>,
    /// The page that is being brought.
    brought: Option<u64>,
    /// The page that is brought so that those of its entries can go that have been there for too long.
    cut: Option<u64>,
    /// What is gone, and in the journal.
    gone: Vec<u64>,
    closed: bool,
}

/// An entry of which not all before it have arrived.
enum Coming {
    /// It is on its way to the disk.
    Reserved {
        bytes: usize,
    },
    Arrived(Item),
    /// It never comes.
    Nothing,
}

impl Stream {
    /// Nothing goes from it before [`Self::amend`] says what is to.
    pub(crate) fn new(queue: QueueId) -> Self {
        let state = State {
            book: Book::new(),
            retention: Retention::default(),
            readers: Readers::default(),
            sequence: 0,
            coming: VecDeque::new(),
            wanted: VecDeque::new(),
            brought: None,
            cut: None,
            gone: Vec::new(),
            closed: false,
        };
        let (has_gone, expires_first) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
        Self { queue, has_gone, expires_first, state: Mutex::new(state) }
    }

    pub(crate) fn join(&self, pool: &Arc<Pool>) {
        self.lock().book.join(pool);
    }

    pub(crate) fn keep(&self, resident: Resident) {
        self.lock().book.keep(resident);
    }

    /// The next number, for an entry that is on its way to the disk.
    pub(crate) fn reserve(&self, bytes: usize) -> u64 {
        let mut state = self.lock();
        state.sequence += 1;
        state.coming.push_back(Coming::Reserved { bytes });
        state.sequence
    }

    /// The entry of that number will not come.
    pub(crate) fn unreserve(&self, sequence: u64, wakes: &mut Wakes) {
        self.arrive(sequence, Coming::Nothing, wakes);
    }

    /// The entry of that number is durable.
    pub(crate) fn show(&self, sequence: u64, item: Item, wakes: &mut Wakes) {
        self.arrive(sequence, Coming::Arrived(item), wakes);
    }

    /// An entry that need not be.
    pub(crate) fn push(&self, item: Item, wakes: &mut Wakes) {
        let mut state = self.lock();
        state.sequence += 1;
        state.coming.push_back(Coming::Arrived(item));
        self.see(&mut state, wakes);
    }

    fn arrive(&self, sequence: u64, what: Coming, wakes: &mut Wakes) {
        let mut state = self.lock();
        let first = state.sequence + 1 - state.coming.len() as u64;
        let place = sequence.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(coming) = place.and_then(|at| state.coming.get_mut(at)) {
            *coming = what;
        }
        self.see(&mut state, wakes);
    }

    /// Whatever has arrived in its order is there for all.
    fn see(&self, state: &mut State, wakes: &mut Wakes) {
        let mut any = false;
        while let Some(coming) = state.coming.pop_front() {
            let sequence = state.sequence - state.coming.len() as u64;
            match coming {
                Coming::Reserved { .. } => {
                    state.coming.push_front(coming);
                    break;
                }
                Coming::Arrived(item) if !state.closed => {
                    any = true;
                    let size = u32::try_from(item.message.size_bytes()).unwrap_or(u32::MAX);
                    let at = item.message.published_at;
                    state.book.append(sequence, size, at, Some(item));
                }
                Coming::Arrived(_) | Coming::Nothing => {}
            }
        }
        if any {
            self.trim_to_size(state);
            state.readers.call_those_at_the_end(wakes);
        }
    }

    fn trim_to_size(&self, state: &mut State) {
        let State { book, retention, gone, .. } = state;
        let is_over =
            book.trim(*retention, TRIMMED_AT_ONCE, |number, lasts| gone.extend(lasts.then_some(number)));
        // Of very much that is too much the rest goes by `trim`.
        if is_over || gone.len() >= GONE_TOGETHER {
            self.has_gone.store(true, Ordering::Release);
        }
        self.note_age(state);
    }

    fn note_age(&self, state: &State) {
        if let Some(age_ms) = state.retention.age_max_ms {
            // Where a page is on its way for that, it is time when it has come.
            let waits = state.cut.is_some() && state.cut == state.book.first_away();
            let first = state.book.first_end(age_ms).filter(|_| !waits).map_or(u64::MAX, |end| end.0);
            self.expires_first.store(first, Ordering::Release);
        }
    }

    /// Puts back what was there, in ascending order, before anybody reads or writes: with its message or without.
    pub(crate) fn restore(&self, sequence: u64, size_bytes: u32, at: WallMs, item: Option<Item>) {
        let mut state = self.lock();
        state.sequence = state.sequence.max(sequence);
        state.book.append(sequence, size_bytes, at, item);
        // What was gone when the broker stopped may be there again.
        self.trim_to_size(&mut state);
    }

    pub(crate) fn set_next_sequence(&self, next: u64) {
        let mut state = self.lock();
        state.sequence = state.sequence.max(next.saturating_sub(1));
    }

    /// The numbers of the entries whose messages are to be brought now, if any are.
    pub(crate) fn begin_fetch(&self) -> Option<Vec<u64>> {
        let mut state = self.lock();
        if state.brought.is_some() {
            return None;
        }
        while let Some(page) = state.wanted.pop_front() {
            if let Some(numbers) = state.book.away(page) {
                state.brought = Some(page);
                return Some(numbers);
            }
        }
        None
    }

    /// They have come, as far as they were found. Returns which were not, and are gone.
    pub(crate) fn fill(&self, found: Vec<(u64, Item)>, wakes: &mut Wakes) -> Vec<u64> {
        let mut state = self.lock();
        let Some(page) = state.brought.take() else { return Vec::new() };
        let called = state.readers.call_if(|waits| waits == Waits::Page(page), wakes);
        let lost = state.book.fill(page, found, called);
        if state.cut.take_if(|cut| *cut == page).is_some() {
            self.note_age(&state);
        }
        lost
    }

    /// They did not come. Whoever waits asks again.
    pub(crate) fn fetch_failed(&self, wakes: &mut Wakes) {
        let mut state = self.lock();
        state.brought = None;
        state.cut = None;
        self.note_age(&state);
        state.readers.call_if(|waits| matches!(waits, Waits::Page(_)), wakes);
    }

    /// Somebody reads from there on; `None`: it is deleted.
    pub(crate) fn attach(
        &self,
        start: Start,
        options: ConsumerOptions,
        readiness: &Arc<Readiness>,
        wakes: &mut Wakes,
    ) -> Option<(ConsumerKey, usize)> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let next = state.sequence + 1 - state.coming.len() as u64;
        let from = state.book.start(start, next);
        let key = state.readers.attach(options, Arc::clone(readiness), from, wakes);
        Some((key, state.readers.len()))
    }

    /// He reads no more. How many are left.
    pub(crate) fn detach(&self, key: ConsumerKey) -> usize {
        let mut state = self.lock();
        if state.readers.detach(key).is_some() {
            // It may have been he who was waited for.
            state.book.await_nobody();
        }
        state.readers.len()
    }

    /// Reads up to so many entries for that reader; whether he could read more now.
    pub(crate) fn take(&self, key: ConsumerKey, max: usize, now: WallMs, out: &mut Taken) -> bool {
        let mut guard = self.lock();
        let State { book, readers, wanted, brought, .. } = &mut *guard;
        let others = readers.len();
        let Some(reader) = readers.get_mut(key) else { return false };
        let waits = read(book, reader, max, now, out);
        reader.waits = waits;
        let mut want = |page: u64| {
            if *brought != Some(page) && !wanted.contains(&page) {
                wanted.push_back(page);
            }
        };
        match waits {
            Waits::Page(page) => want(page),
            // Before he is there, so that he need not wait.
            Waits::Nothing | Waits::Room => {
                if let Some(page) = book.away_behind(reader.next)
                    && book.has_room_for(others * 2)
                {
                    want(page);
                }
            }
            Waits::Entry => readers.wait_for_more(key),
        }
        out.absent |= brought.is_none() && !wanted.is_empty();
        waits == Waits::Nothing
    }

    /// Settles what he has; how does not matter: it stays, and he has read it.
    pub(crate) fn settle(
        &self,
        key: ConsumerKey,
        tag: DeliveryTag,
        outcome: Outcome,
        wakes: &mut Wakes,
    ) -> Settled {
        let mut state = self.lock();
        let Some(reader) = state.readers.get_mut(key) else { return Settled::Unknown };
        match outcome {
            Outcome::Received if reader.has(tag.0) => return Settled::Received { durable: None },
            Outcome::Received => return Settled::Unknown,
            Outcome::Accepted | Outcome::Requeued | Outcome::Rejected => {}
        }
        if !reader.settle(tag.0) {
            return Settled::Unknown;
        }
        if reader.waits == Waits::Room {
            reader.call(wakes);
        }
        Settled::Read
    }

    /// It is deleted, if it `may` be as it is: who reads it.
    pub(crate) fn close_if(
        &self,
        may: impl FnOnce(QueueStats) -> bool,
    ) -> Option<Vec<(Arc<Readiness>, ConsumerId)>> {
        let (readers, _book) = {
            let mut state = self.lock();
            let stats = state.stats();
            if !may(QueueStats { ready: stats.ready + state.coming.len(), ..stats }) {
                return None;
            }
            state.closed = true;
            state.gone = Vec::new();
            state.wanted = VecDeque::new();
            let book = std::mem::replace(&mut state.book, Book::new());
            (std::mem::take(&mut state.readers), book)
        };
        // The messages go here, outside the lock.
        Some(readers.iter().map(|gone| (Arc::clone(&gone.readiness), gone.options.id)).collect())
    }

    /// Lets go of so many, the oldest first. How many those were, and which of them the journal has.
    pub(crate) fn purge(&self, most: usize) -> (usize, Vec<Place>) {
        let mut state = self.lock();
        let known = state.book.len();
        let State { book, gone, .. } = &mut *state;
        book.purge(most as u64, |number, lasts| gone.extend(lasts.then_some(number)));
        let count = usize::try_from(known - state.book.len()).unwrap_or(usize::MAX);
        (count, self.take_gone(&mut state))
    }

    /// What went because there was too much, if it is enough to tell the journal; and of what is still too much so many.
    /// Returns whether there is more.
    pub(crate) fn trim(&self, most: usize, out: &mut Taken) -> bool {
        if !self.has_gone.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.lock();
        let State { book, gone, retention, .. } = &mut *state;
        let is_over =
            book.trim(*retention, most as u64, |number, lasts| gone.extend(lasts.then_some(number)));
        out.removed.extend(self.take_gone(&mut state));
        self.has_gone.store(is_over, Ordering::Release);
        self.note_age(&state);
        is_over
    }

    /// So much of it stays from now on, and so long. What is too much by that goes by [`Self::trim`], and what is too old by
    /// [`Self::expire`].
    pub(crate) fn amend(&self, terms: &Terms) {
        let mut state = self.lock();
        let Terms { ready_max, ready_bytes_max, age_max_ms, .. } = *terms;
        state.retention = Retention { entries_max: ready_max, bytes_max: ready_bytes_max, age_max_ms };
        state.book.set_age(age_max_ms);
        state.cut = None;
        self.expires_first.store(u64::MAX, Ordering::Release);
        self.note_age(&state);
        self.has_gone.store(true, Ordering::Release);
    }

    /// Lets go of what has been there for too long. Of a page whose messages are to be brought for that, it does when they have come.
    pub(crate) fn expire(&self, now: WallMs, out: &mut Taken) {
        let mut state = self.lock();
        let State { book, gone, retention, cut, wanted, brought, .. } = &mut *state;
        if let Some(age_ms) = retention.age_max_ms {
            let before = WallMs(now.0.saturating_sub(age_ms));
            *cut = book.trim_before(before, |number, lasts| gone.extend(lasts.then_some(number)));
        }
        if let Some(page) = *cut {
            if *brought != Some(page) && !wanted.contains(&page) {
                wanted.push_back(page);
            }
            out.absent |= brought.is_none();
        }
        out.removed.extend(self.take_gone(&mut state));
        self.note_age(&state);
    }

    /// When to call [`Self::expire`], in wall-clock milliseconds.
    pub(crate) fn expires_first(&self) -> u64 {
        self.expires_first.load(Ordering::Acquire)
    }

    pub(crate) fn call_readers(&self, wakes: &mut Wakes) {
        self.lock().readers.call_if(|_| true, wakes);
    }

    /// Entries that may be read, with those on their way to the disk, and the bytes of all of these.
    pub(crate) fn waiting(&self) -> (u64, u64, u64) {
        let state = self.lock();
        let on_the_way = |coming: &Coming| match coming {
            Coming::Reserved { bytes } => *bytes as u64,
            Coming::Arrived(item) => item.message.size_bytes() as u64,
            Coming::Nothing => 0,
        };
        let (ready, bytes) = (state.book.len(), state.book.bytes());
        let coming_bytes: u64 = state.coming.iter().map(on_the_way).sum();
        (ready, ready + state.coming.len() as u64, bytes + coming_bytes)
    }

    pub(crate) fn stats(&self) -> QueueStats {
        self.lock().stats()
    }

    /// Its oldest and its newest entry.
    pub(crate) fn ends(&self) -> StreamEnds {
        let state = self.lock();
        let next = state.sequence + 1 - state.coming.len() as u64;
        StreamEnds { ends: state.book.ends(), next }
    }

    /// What is in it from there on: see [`crate::Queue::look`].
    pub(crate) fn look(&self, start: Start, max: usize, bytes_max: u64) -> Looked {
        let state = self.lock();
        let next = state.sequence + 1 - state.coming.len() as u64;
        let (from, since) = state.book.start(start, next);
        let all = state.book.all_from(from).take(max.saturating_add(1));
        let all = all.map(|(number, size, item)| (number, size, item.cloned())).collect();
        Looked::some(all, since, max, bytes_max)
    }

    fn take_gone(&self, state: &mut State) -> Vec<Place> {
        self.has_gone.store(false, Ordering::Release);
        let gone = std::mem::take(&mut state.gone);
        gone.into_iter().map(|sequence| Place { queue: self.queue, sequence }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stats(&self) -> QueueStats {
        QueueStats {
            ready: usize::try_from(self.book.len()).unwrap_or(usize::MAX),
            unacked: self.readers.iter().map(Reader::loans).sum(),
            ready_bytes: self.book.bytes(),
            consumers: self.readers.len(),
        }
    }
}

/// Gives a reader what is next for him, and says what he waits for then.
fn read(book: &mut Book, reader: &mut Reader, max: usize, now: WallMs, out: &mut Taken) -> Waits {
    let mut left = reader.credit().min(max);
    loop {
        if reader.credit() == 0 {
            return Waits::Room;
        }
        let page = match book.open(reader.next) {
            Opened::End => return Waits::Entry,
            Opened::Away(page) => return Waits::Page(page),
            Opened::Here(_) if left == 0 => return Waits::Nothing,
            Opened::Here(page) => page,
        };
        for (number, item) in page.from(reader.next) {
            if left == 0 {
                break;
            }
            reader.next = number + 1;
            let is_before = reader.since.is_some_and(|since| item.message.published_at < since);
            if is_before || item.message.is_expired(now) {
                continue;
            }
            reader.since = None;
            left -= 1;
            let tag = if reader.options.settles.waits(item.qos) {
                reader.lend(number);
                DeliveryTag(number)
            } else {
                DeliveryTag(0)
            };
            let mut delivery = item.clone().into_delivery(reader.options.id, tag, now);
            delivery.offset = Some(number);
            out.deliveries.push(delivery);
        }
    }
}

/// So many go for one that comes: one of many bytes takes the place of many.
const TRIMMED_AT_ONCE: u64 = 1024;

/// So many that are gone share a changeset.
const GONE_TOGETHER: usize = 64;

#[cfg(test)]
mod tests;
