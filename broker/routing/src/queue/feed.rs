//! Feed: what a queue has still to get of retained messages.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;
use model::grant::Grant;
use model::key::{KeyPattern, RoutingKey};
use model::name::ExchangeName;
use model::request::Source;
use model::time::WallMs;

use crate::retained::{Held, Portion, Retained, Walk};

/// What a queue has still to get of retained messages: a walk for each new subscription. It comes in portions, as the queue
/// has room for it, and goes with the queue.
#[derive(Default)]
pub struct Feed {
    /// [`OPEN`] and [`UNDER_WAY`], to be seen without a lock.
    flags: AtomicU8,
    /// Held while a portion is handed over.
    handing_over: Mutex<()>,
    replays: Mutex<Replays>,
}

/// In a box: most subscriptions find nothing retained, or soon have it all.
type Replays = Option<Box<VecDeque<Replay>>>;

/// What one subscription has still to get.
struct Replay {
    source: Source,
    retained: Arc<Retained>,
    walk: Walk,
    /// What came before its turn: the walk passes it by.
    early: BTreeSet<ByteString>,
}

/// What became of a message that a queue was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// It was taken, or will never be.
    Done,
    /// It is to come again, and no other before it.
    Later,
}

impl Feed {
    /// Whether there is something.
    pub fn is_open(&self) -> bool {
        self.flags.load(Ordering::Acquire) & OPEN != 0
    }

    /// Whether a portion is on its way: until it has arrived there is no other.
    pub fn is_under_way(&self) -> bool {
        self.flags.load(Ordering::Acquire) & UNDER_WAY != 0
    }

    /// Whether neither is so: then it need not be thought of.
    pub fn is_idle(&self) -> bool {
        self.flags.load(Ordering::Acquire) == 0
    }

    /// A portion is on its way, or has arrived.
    pub fn set_under_way(&self, is: bool) {
        self.set(UNDER_WAY, is);
    }

    /// To be held from before a portion is asked for until it is handed to the journal, or shown; and by whoever has a
    /// message that must come behind it.
    pub fn handing_over(&self) -> MutexGuard<'_, ()> {
        self.handing_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subscription wants what is retained now, all of it, whatever it was still to get before.
    pub fn begin(&self, source: &Source, retained: Arc<Retained>) {
        let mut replays = self.lock();
        let replays = replays.get_or_insert_default();
        replays.retain(|one| {
            !(one.is_of(&source.exchange, &source.pattern) && Arc::ptr_eq(&one.retained, &retained))
        });
        let walk = retained.walk(&source.pattern);
        replays.push_back(Replay { source: source.clone(), retained, walk, early: BTreeSet::new() });
        self.set(OPEN, true);
    }

    /// The subscription has another grant now: what it has still to get comes with that.
    pub fn regrant(&self, source: &Source) {
        if self.is_open() {
            let mut replays = self.lock();
            let replays = replays.iter_mut().flat_map(|all| all.iter_mut());
            for one in replays.filter(|one| one.is_of(&source.exchange, &source.pattern)) {
                one.source.grant = source.grant.clone();
            }
        }
    }

    /// A subscription ends, and gets nothing more.
    pub fn end(&self, exchange: &ExchangeName, pattern: &KeyPattern) {
        if self.is_open() {
            let mut replays = self.lock();
            if let Some(replays) = replays.as_mut() {
                replays.retain(|one| !one.is_of(exchange, pattern));
            }
            self.note(&mut replays);
        }
    }

    /// They all end.
    pub(crate) fn close(&self) {
        let mut replays = self.lock();
        *replays = None;
        self.note(&mut replays);
    }

    /// Goes past keys that match nothing, so many at most; whether something is there to be given. Nobody is in the way
    /// of those who retain meanwhile.
    pub fn skip(&self, now: WallMs, keys: usize) -> bool {
        let mut guard = self.lock();
        let Some(replays) = guard.as_mut() else { return false };
        let Some(one) = replays.front_mut() else { return false };
        if one.retained.skip(&mut one.walk, now, keys) {
            return true;
        }
        // Another one has its turn.
        if one.walk.is_done() {
            replays.pop_front();
        } else {
            replays.rotate_left(1);
        }
        self.note(&mut guard);
        false
    }

    /// Gives the next portion to whom it may concern, message by message. Of several subscriptions each has its turn, so
    /// that one does not wait for another with very many.
    pub fn next(&self, now: WallMs, mut portion: Portion, mut give: impl FnMut(Held, &Grant) -> Given) {
        let mut guard = self.lock();
        let Some(replays) = guard.as_mut() else { return };
        let mut found = Vec::new();
        while let Some(one) = replays.front_mut() {
            one.retained.go_on(&mut one.walk, now, &mut portion, &mut found);
            for held in found.drain(..) {
                let key = held.message.key.clone();
                if !one.early.is_empty() && one.early.remove(key.as_byte_string()) {
                    continue;
                }
                if give(held, &one.source.grant) == Given::Later {
                    return one.walk.return_to(&key);
                }
            }
            match one.walk.next_key() {
                Some(next) if !one.early.is_empty() => one.early = one.early.split_off(next),
                Some(_) => {}
                None => drop(replays.pop_front()),
            }
            if portion.is_used_up() {
                break;
            }
        }
        if replays.len() > 1 {
            replays.rotate_left(1);
        }
        self.note(&mut guard);
    }

    /// A message is about to go into the queue: gives what is retained for its key and was still to come, before its turn.
    pub fn ahead(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        now: WallMs,
        mut give: impl FnMut(Held, &Grant) -> Given,
    ) {
        let mut replays = self.lock();
        let replays = replays.iter_mut().flat_map(|all| all.iter_mut());
        for one in replays.filter(|one| one.source.exchange == *exchange) {
            if one.early.len() >= EARLY_MAX || one.early.contains(key.as_str()) {
                continue;
            }
            let Some(held) = one.retained.ahead(&one.walk, key, now) else { continue };
            let text = held.message.key.as_byte_string().clone();
            if give(held, &one.source.grant) == Given::Done {
                one.early.insert(text);
            }
        }
    }

    /// Whether there is something, for those who ask without the lock.
    fn note(&self, replays: &mut Replays) {
        replays.take_if(|all| all.is_empty());
        self.set(OPEN, replays.is_some());
    }

    fn set(&self, flag: u8, is: bool) {
        if is {
            self.flags.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.flags.fetch_and(!flag, Ordering::AcqRel);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replay {
    fn is_of(&self, exchange: &ExchangeName, pattern: &KeyPattern) -> bool {
        (&self.source.exchange, &self.source.pattern) == (exchange, pattern)
    }
}

/// There is something.
const OPEN: u8 = 1;
/// A portion is on its way.
const UNDER_WAY: u8 = 2;

/// So many keys that came before their turn are remembered for one subscription.
const EARLY_MAX: usize = 10_000;
