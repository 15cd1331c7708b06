//! Delayed: messages that wait for their time, in the order in which it comes
//!
//! In the journal they are the entries of a queue that nobody can name, each with the message as it will be when it is due:
//! published then, and worth delivering from then on. So what is known of an entry without its message tells its time, and a
//! message that goes on is one changeset: its places in queues, and its place here gone.
//!
//! A message that is due in a while is let go of once it lasts, and read back shortly before its time: of a million that wait,
//! memory holds the times.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::author::Author;
use model::change::{Change, Entry, Place, QueueRecord};
use model::message::Message;
use model::name::{QueueId, QueueName};
use model::queue::QueueOptions;
use model::refusal::Refusal;
use model::time::WallMs;
use smallvec::SmallVec;
use storage::{Found, RecoveredQueue};
use tokio::sync::Notify;

use crate::clock;
use crate::durable::Durable;
use crate::numbers::Numbers;

/// All that wait.
pub(crate) struct Delayed {
    count_max: u64,
    bytes_max: u64,
    /// Whether what is due may be published.
    is_open: AtomicBool,
    state: Mutex<State>,
    /// There is something to do for whoever looks after them.
    called: Notify,
}

#[derive(Default)]
struct State {
    /// Those whose messages are in memory.
    here: BTreeMap<Turn, Waiting>,
    /// Those whose messages are in the journal, with their sizes in bytes.
    away: BTreeMap<Turn, u32>,
    /// How many there are, with those that are on their way in or out.
    count: u64,
    /// The same, in bytes of keys and payloads.
    bytes: u64,
    /// The bytes of those that are in memory and need not be.
    resident_bytes: u64,
    /// The number that the journal knows them by; `None`: nothing of them was ever written.
    queue: Option<QueueId>,
    /// The last number in use.
    number: u64,
    /// Somebody reads messages back.
    is_reading: bool,
    /// The journal could not be read: it is tried again then.
    read_again_at: WallMs,
    /// Until when whoever looks after them sleeps; `None`: he is awake, and looks before he sleeps.
    sleeps_until: Option<WallMs>,
}

/// When something is due, and what it is: of two at the same time the one that came first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) due: WallMs,
    /// Counts up from 1, and is never used again.
    pub(crate) number: u64,
}

impl Turn {
    /// Reads what it is written as; `None`: it is nothing of the kind.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (due, number) = text.split_once('-')?;
        Some(Self { due: WallMs(due.parse().ok()?), number: number.parse().ok()? })
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.due.0, self.number)
    }
}

/// A message that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) message: Arc<Message>,
    /// Whose it is; `None`: nobody's whose rights are asked.
    pub(crate) author: Option<Arc<Author>>,
    /// Its place in the journal; `None`: nothing of it is written.
    pub(crate) place: Option<Place>,
}

/// A place among those that wait, which nobody sees yet.
pub(crate) struct Reserved {
    all: Arc<Delayed>,
    turn: Turn,
    waiting: Waiting,
}

/// What is to be done next.
pub(crate) enum Step {
    /// These are due, in this order.
    Publish(Vec<(Turn, Waiting)>),
    /// These are wanted in memory, for their time comes near: [`Delayed::fill`] or [`Delayed::could_not_read`] takes them.
    Read(QueueId, Vec<Turn>),
    /// Nothing, until then or until somebody calls.
    Wait(Option<WallMs>),
}

impl Delayed {
    pub(crate) fn new(count_max: u64, bytes_max: u64) -> Arc<Self> {
        let (is_open, state) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { count_max, bytes_max, is_open, state, called: Notify::new() })
    }

    /// What is due may be published from now on: all that a configuration declares is there, or somebody has come.
    pub(crate) fn open(&self) {
        if !self.is_open.load(Ordering::Acquire) && !self.is_open.swap(true, Ordering::AcqRel) {
            self.called.notify_one();
        }
    }

    /// How many wait, and their bytes, of keys and payloads.
    pub(crate) fn size(&self) -> (u64, u64) {
        let state = self.lock();
        (state.count, state.bytes)
    }

    /// Takes a place for a message, which is to be published when it says that it was.
    ///
    /// # Errors
    ///
    /// There is no room for another one.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        (durable, numbers): (&Durable, &Numbers),
        message: Arc<Message>,
        author: Option<Arc<Author>>,
        lasts: bool,
    ) -> Result<Reserved, Refusal> {
        let bytes = message.size_bytes() as u64;
        let mut state = self.lock();
        if state.count >= self.count_max {
            return Err(Refusal::LimitReached("delayed messages ([limits] delayed_messages)"));
        }
        if state.bytes.saturating_add(bytes) > self.bytes_max {
            return Err(Refusal::LimitReached("bytes of delayed messages ([limits] delayed_bytes)"));
        }
        state.count += 1;
        state.bytes += bytes;
        state.number += 1;
        let turn = Turn { due: message.published_at, number: state.number };
        let queue = lasts.then(|| {
            *state.queue.get_or_insert_with(|| {
                // Under the lock: no entry stands in the journal before it.
                let id = numbers.queue();
                durable.record(Change::DeclareQueue(Box::new(record(id))));
                id
            })
        });
        let place = queue.map(|queue| Place { queue, sequence: turn.number });
        let (all, waiting) = (Arc::clone(self), Waiting { message, author, place });
        Ok(Reserved { all, turn, waiting })
    }

    /// Brings back what the store remembers.
    pub(crate) fn restore(&self, recovered: RecoveredQueue) {
        let mut state = self.lock();
        let queue = recovered.record.id;
        state.queue = Some(queue);
        state.number = state.number.max(recovered.next_sequence.saturating_sub(1));
        for entry in recovered.unread {
            let turn = Turn { due: entry.published_at, number: entry.sequence };
            state.add(1, entry.size_bytes.into());
            state.away.insert(turn, entry.size_bytes);
        }
        for entry in recovered.entries {
            let turn = Turn { due: entry.message.published_at, number: entry.sequence };
            let place = Some(Place { queue, sequence: entry.sequence });
            state.add(1, entry.message.size_bytes() as u64);
            state.put(turn, Waiting { message: entry.message, author: entry.author, place }, clock::now());
        }
        drop(state);
        self.called.notify_one();
    }

    /// What is to be done next. What it says is due counts until [`Self::gone`] is told of it.
    pub(crate) fn step(&self, now: WallMs) -> Step {
        if !self.is_open.load(Ordering::Acquire) {
            return Step::Wait(None);
        }
        let mut state = self.lock();
        if let Some(wanted) = state.wanted(now) {
            return wanted;
        }
        let due = state.take_due(now);
        if !due.is_empty() {
            return Step::Publish(due);
        }
        let next = state.next();
        state.sleeps_until = Some(next.unwrap_or(WallMs(u64::MAX)));
        Step::Wait(next)
    }

    /// Waits until then, or until somebody calls. One task waits at a time.
    pub(crate) async fn wait(&self, until: Option<WallMs>) {
        match until.map(clock::instant_at) {
            Some(when) => drop(tokio::time::timeout_at(when.into(), self.called.notified()).await),
            None => self.called.notified().await,
        }
    }

    /// Whoever waits looks again now.
    pub(crate) fn wake(&self) {
        self.called.notify_one();
    }

    /// Messages have come that [`Step::Read`] wanted. Returns of how many the journal no longer has what was written: those do
    /// not wait any more.
    pub(crate) fn fill(&self, asked: &[Turn], found: Found) -> u64 {
        let mut state = self.lock();
        state.is_reading = false;
        for entry in found.entries {
            let turn = Turn { due: entry.message.published_at, number: entry.sequence };
            // Or somebody has deleted it meanwhile.
            if state.away.remove(&turn).is_some()
                && let Some(queue) = state.queue
            {
                let place = Some(Place { queue, sequence: entry.sequence });
                state.keep(turn, Waiting { message: entry.message, author: entry.author, place });
            }
        }
        let lost: Vec<u32> = asked.iter().filter_map(|turn| state.away.remove(turn)).collect();
        let count = lost.len() as u64;
        drop(state);
        self.gone(count, lost.into_iter().map(u64::from).sum());
        self.called.notify_one();
        count
    }

    /// They could not be read: it is tried again.
    pub(crate) fn could_not_read(&self) {
        let mut state = self.lock();
        state.is_reading = false;
        state.read_again_at = clock::now().plus(READ_PAUSE);
        drop(state);
        self.called.notify_one();
    }

    /// There is no room for it just now where it is to go: it waits a little longer.
    pub(crate) fn put_back(&self, turn: Turn, waiting: Waiting, now: WallMs) {
        let due = now.plus(FULL_PAUSE);
        self.lock().keep(Turn { due, ..turn }, waiting);
    }

    /// So many, of so many bytes together, do not wait any more.
    pub(crate) fn gone(&self, count: u64, bytes: u64) {
        let mut state = self.lock();
        state.count = state.count.saturating_sub(count);
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Takes one away before its time; the change is to be made durable. `None`: it does not wait. One that is under way to
    /// its queues does not wait any more.
    pub(crate) fn delete(&self, turn: Turn) -> Option<Option<Change>> {
        let mut state = self.lock();
        let (bytes, place) = if let Some(waiting) = state.here.remove(&turn) {
            let bytes = waiting.message.size_bytes() as u64;
            if waiting.place.is_some() {
                state.resident_bytes -= bytes;
            }
            (bytes, waiting.place)
        } else {
            let bytes = state.away.remove(&turn)?;
            (bytes.into(), state.queue.map(|queue| Place { queue, sequence: turn.number }))
        };
        drop(state);
        self.gone(1, bytes);
        Some(place.map(Change::Remove))
    }

    /// At most `limit` of them, the first that are due first, behind that one: with their messages, where those are in memory;
    /// else with their sizes in bytes.
    pub(crate) fn list(&self, after: Option<Turn>, limit: usize) -> Vec<(Turn, Result<Waiting, u32>)> {
        let state = self.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let here = state.here.range((from, Bound::Unbounded)).take(limit);
        let away = state.away.range((from, Bound::Unbounded)).take(limit);
        let mut all: Vec<(Turn, Result<Waiting, u32>)> =
            here.map(|(turn, waiting)| (*turn, Ok(waiting.clone()))).collect();
        all.extend(away.map(|(turn, bytes)| (*turn, Err(*bytes))));
        drop(state);
        all.sort_unstable_by_key(|(turn, _)| *turn);
        all.truncate(limit);
        all
    }

    /// The number that the journal knows them by, if it does.
    pub(crate) fn queue(&self) -> Option<QueueId> {
        self.lock().queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// What must last of it, if anything.
    pub(crate) fn change(&self) -> Option<Change> {
        let Waiting { message, author, place } = &self.waiting;
        let entry = Entry {
            place: (*place)?,
            qos: message.qos,
            retain: message.retain,
            subscription_ids: SmallVec::new(),
            author: author.clone(),
        };
        Some(Change::Enqueue { message: Arc::clone(message), entries: SmallVec::from_buf([entry]) })
    }

    /// From now on it waits.
    pub(crate) fn show(self) {
        let Self { all, turn, waiting } = self;
        let mut state = all.lock();
        let looked_at = state.put(turn, waiting, clock::now());
        let sleeps_on = state.sleeps_until.take_if(|until| looked_at < *until).is_some();
        drop(state);
        if sleeps_on {
            all.called.notify_one();
        }
    }

    /// It is not to wait after all.
    pub(crate) fn give_up(self) {
        self.all.gone(1, self.waiting.message.size_bytes() as u64);
    }
}

impl State {
    const fn add(&mut self, count: u64, bytes: u64) {
        self.count += count;
        self.bytes += bytes;
    }

    /// Adds one, in memory or not; returns when it is to be looked at.
    fn put(&mut self, turn: Turn, waiting: Waiting, now: WallMs) -> WallMs {
        let bytes = waiting.message.size_bytes() as u64;
        let stays = waiting.place.is_none()
            || (turn.due <= now.plus(FAR) && self.resident_bytes + bytes <= RESIDENT_BYTES_MAX);
        match u32::try_from(bytes) {
            Ok(bytes) if !stays => {
                self.away.insert(turn, bytes);
                before(turn.due)
            }
            Ok(_) | Err(_) => {
                self.keep(turn, waiting);
                turn.due
            }
        }
    }

    fn keep(&mut self, turn: Turn, waiting: Waiting) {
        if waiting.place.is_some() {
            self.resident_bytes += waiting.message.size_bytes() as u64;
        }
        self.here.insert(turn, waiting);
    }

    /// Those that are to be read back now: when one of them is due soon, all that are due in a while, as far as there is room.
    fn wanted(&mut self, now: WallMs) -> Option<Step> {
        let (first, _) = self.away.first_key_value()?;
        if self.is_reading || before(first.due) > now || self.read_again_at > now {
            return None;
        }
        let queue = self.queue?;
        let last = Turn { due: now.plus(FAR), number: u64::MAX };
        let mut room = RESIDENT_BYTES_MAX.saturating_sub(self.resident_bytes).min(READ_BYTES_MAX);
        let mut turns = Vec::new();
        for (turn, bytes) in self.away.range(..=last).take(READ_MAX) {
            // One at least, or nothing would ever go on.
            if !turns.is_empty() && u64::from(*bytes) > room {
                break;
            }
            room = room.saturating_sub((*bytes).into());
            turns.push(*turn);
        }
        self.is_reading = true;
        Some(Step::Read(queue, turns))
    }

    /// Takes what is due, in its order: nothing overtakes what is still to be read.
    fn take_due(&mut self, now: WallMs) -> Vec<(Turn, Waiting)> {
        let mut due = Vec::new();
        let mut bytes = 0;
        while due.len() < TOGETHER_MAX
            && bytes < TOGETHER_BYTES_MAX
            && let Some(first) = self.here.first_entry().filter(|first| first.key().due <= now)
        {
            if self.away.first_key_value().is_some_and(|(away, _)| away < first.key()) {
                break;
            }
            let (turn, waiting) = first.remove_entry();
            let size = waiting.message.size_bytes() as u64;
            if waiting.place.is_some() {
                self.resident_bytes -= size;
            }
            bytes += size;
            due.push((turn, waiting));
        }
        due
    }

    /// When there is something to do next; `None`: not before somebody calls.
    fn next(&self) -> Option<WallMs> {
        let here = self.here.first_key_value().map(|(turn, _)| *turn);
        let away = self.away.first_key_value().map(|(turn, _)| *turn);
        let waits_for_it = away.is_some_and(|away| here.is_none_or(|here| away < here));
        let to_publish = here.filter(|_| !waits_for_it).map(|turn| turn.due);
        let to_read = away.filter(|_| !self.is_reading);
        let to_read = to_read.map(|turn| before(turn.due).max(self.read_again_at));
        to_publish.into_iter().chain(to_read).min()
    }
}

fn record(id: QueueId) -> QueueRecord {
    let options = QueueOptions {
        name: QueueName::DELAYED,
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    QueueRecord { id, options, rested: None }
}

/// When what is due then is read back.
fn before(due: WallMs) -> WallMs {
    WallMs(due.0.saturating_sub(NEAR.as_millis() as u64))
}

/// So long before its time a message is read back at the latest, and with it what is due [`FAR`] from now.
const NEAR: Duration = Duration::from_secs(1);

/// What is due later is not kept in memory.
const FAR: Duration = Duration::from_secs(3);

/// So many bytes of messages that could be read back are in memory at most.
const RESIDENT_BYTES_MAX: u64 = 16 << 20;

/// So many are read back at once.
const READ_MAX: usize = 2048;
/// The same, in bytes.
const READ_BYTES_MAX: u64 = 2 << 20;

/// So many go on together.
const TOGETHER_MAX: usize = 256;
/// The same, in bytes.
const TOGETHER_BYTES_MAX: u64 = 1 << 20;

/// How long a journal that cannot be read is left alone.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// How long a full queue is left alone.
const FULL_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
