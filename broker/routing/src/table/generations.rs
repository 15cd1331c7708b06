//! When bindings changed, by exchange and first key level.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use model::key::RoutingKey;
use model::name::ExchangeName;

use crate::exchange::Spoils;

/// Counters that publishers compare with what they saw when they asked last. An exchange and a first level share a
/// counter with others by chance: that costs an answer that need not have been asked for again, never a wrong one.
pub(crate) struct Generations {
    counters: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// Which counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

impl Generations {
    pub(crate) fn new() -> Self {
        Self { counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::default() }
    }

    /// The counter for a key.
    pub(crate) fn slot(&self, exchange: &ExchangeName, key: &RoutingKey) -> Slot {
        self.slot_of(exchange, key.levels().next().unwrap_or_default())
    }

    /// Read before the table, so that a change while it is read makes the answer an old one.
    pub(crate) fn now(&self, slot: Slot) -> u64 {
        self.counters[slot.0].load(Ordering::Acquire)
    }

    /// Counts a change, after it was made.
    pub(crate) fn spoil(&self, exchange: &ExchangeName, what: &Spoils) {
        match what {
            Spoils::Nothing => {}
            Spoils::FirstLevel(level) => self.count(self.slot_of(exchange, level)),
            Spoils::Everything => (0..COUNTERS).for_each(|slot| self.count(Slot(slot))),
        }
    }

    /// Counts that a queue came or went, which the default exchange knows by its name.
    pub(crate) fn spoil_queue(&self, name: &str) {
        self.count(self.slot(&ExchangeName::DEFAULT, &RoutingKey::from(name)));
    }

    fn count(&self, slot: Slot) {
        self.counters[slot.0].fetch_add(1, Ordering::Release);
    }

    fn slot_of(&self, exchange: &ExchangeName, level: &str) -> Slot {
        Slot(self.hasher.hash_one((exchange.as_str(), level)) as usize % COUNTERS)
    }
}

const COUNTERS: usize = 1024;
