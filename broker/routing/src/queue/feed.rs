//! Feed: what a queue has still to get of retained messages.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::grant::Grant;
use model::key::KeyPattern;
use model::message::Message;
use model::name::ExchangeName;
use model::request::Source;
use model::time::WallMs;

use crate::retained::{Portion, Retained, Walk};

/// What a queue has still to get of retained messages: a walk for each new subscription. It comes in portions, as the queue
/// has room for it, and goes with the queue.
#[derive(Default)]
pub struct Feed {
    /// Whether there are any, to be seen without the lock.
    open: AtomicBool,
    /// A portion is on its way.
    under_way: AtomicBool,
    replays: Mutex<VecDeque<Replay>>,
}

/// What one subscription has still to get.
struct Replay {
    source: Source,
    retained: Arc<Retained>,
    walk: Walk,
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
        self.open.load(Ordering::Acquire)
    }

    /// Whether a portion is on its way: until it has arrived there is no other.
    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }

    /// A portion is on its way, or has arrived.
    pub fn set_under_way(&self, is: bool) {
        self.under_way.store(is, Ordering::Release);
    }

    /// A subscription wants what is retained now, all of it, whatever it was still to get before.
    pub fn begin(&self, source: &Source, retained: Arc<Retained>) {
        let mut replays = self.lock();
        replays.retain(|one| {
            !(one.is_of(&source.exchange, &source.pattern) && Arc::ptr_eq(&one.retained, &retained))
        });
        let walk = retained.walk(&source.pattern);
        replays.push_back(Replay { source: source.clone(), retained, walk });
        self.open.store(true, Ordering::Release);
    }

    /// The subscription has another grant now: what it has still to get comes with that.
    pub fn regrant(&self, source: &Source) {
        if self.is_open() {
            let mut replays = self.lock();
            for one in replays.iter_mut().filter(|one| one.is_of(&source.exchange, &source.pattern)) {
                one.source.grant = source.grant.clone();
            }
        }
    }

    /// A subscription ends, and gets nothing more.
    pub fn end(&self, exchange: &ExchangeName, pattern: &KeyPattern) {
        if self.is_open() {
            let mut replays = self.lock();
            replays.retain(|one| !one.is_of(exchange, pattern));
            self.open.store(!replays.is_empty(), Ordering::Release);
        }
    }

    /// They all end.
    pub(crate) fn close(&self) {
        self.lock().clear();
        self.open.store(false, Ordering::Release);
    }

    /// Gives the next portion to whom it may concern, message by message. Of several subscriptions each has its turn, so
    /// that one does not wait for another with very many.
    pub fn next(
        &self,
        now: WallMs,
        mut portion: Portion,
        mut give: impl FnMut(Arc<Message>, &Grant) -> Given,
    ) {
        let mut replays = self.lock();
        let mut found = Vec::new();
        while let Some(one) = replays.front_mut() {
            one.retained.go_on(&mut one.walk, now, &mut portion, &mut found);
            for message in found.drain(..) {
                let key = message.key.clone();
                if give(message, &one.source.grant) == Given::Later {
                    return one.walk.return_to(&key);
                }
            }
            if one.walk.is_done() {
                replays.pop_front();
            }
            if portion.is_used_up() {
                break;
            }
        }
        if replays.len() > 1 {
            replays.rotate_left(1);
        }
        self.open.store(!replays.is_empty(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Replay>> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replay {
    fn is_of(&self, exchange: &ExchangeName, pattern: &KeyPattern) -> bool {
        (&self.source.exchange, &self.source.pattern) == (exchange, pattern)
    }
}
