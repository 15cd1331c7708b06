//! Pressure: watermarks of memory and disk that hold publishers back, and let them go on.
//!
//! A publish asks one relaxed atomic. What it costs to know the answer is paid by a task, four times a second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::mailbox::Mailbox;

/// What holds just now.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    alarms: AtomicU8,
    /// Links that wait for the end of it, by number.
    waiting: Mutex<HashMap<u64, Weak<Mailbox>>>,
}

impl Pressure {
    /// What holds now.
    pub(crate) fn now(&self) -> Alarms {
        Alarms(self.alarms.load(Ordering::Relaxed))
    }

    /// From now on this holds.
    pub(crate) fn set(&self, alarms: Alarms) {
        self.alarms.store(alarms.0, Ordering::Relaxed);
    }

    /// That link is woken now and then, until it leaves.
    pub(crate) fn wait(&self, link: u64, mailbox: &Arc<Mailbox>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(link, Arc::downgrade(mailbox));
    }

    /// It waits for nothing any more.
    pub(crate) fn leave(&self, link: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&link);
    }

    /// Has those who wait look again.
    pub(crate) fn wake(&self) {
        let waiting: Vec<_> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|_, mailbox| mailbox.strong_count() > 0);
            waiting.values().filter_map(Weak::upgrade).collect()
        };
        for mailbox in waiting {
            mailbox.readiness.wake();
        }
    }
}

/// Which alarms are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Alarms(u8);

impl Alarms {
    /// What is to last must wait.
    pub(crate) const fn hold_lasting(self) -> bool {
        self.0 & (DISK | STORE | MEMORY) != 0
    }

    /// Everything that is published must wait.
    pub(crate) const fn hold_all(self) -> bool {
        self.0 & MEMORY != 0
    }

    /// Nobody is let in.
    pub(crate) const fn refuse(self) -> bool {
        self.0 & REFUSE != 0
    }

    /// These alarms, each if it is on.
    pub(crate) fn new(alarms: impl IntoIterator<Item = (u8, bool)>) -> Self {
        Self(alarms.into_iter().filter(|(_, is_on)| *is_on).fold(0, |all, (which, _)| all | which))
    }

    /// Whether anybody is held.
    pub(crate) const fn any(self) -> bool {
        self.0 & (DISK | STORE | MEMORY) != 0
    }

    /// Whether that one is on.
    pub(crate) const fn has(self, which: u8) -> bool {
        self.0 & which != 0
    }
}

/// Too little room on the disk.
pub(crate) const DISK: u8 = 1;
/// Too little memory.
pub(crate) const MEMORY: u8 = 2;
/// Far too little memory.
pub(crate) const REFUSE: u8 = 4;
/// The store gives up no journal files: soon it could write no more.
pub(crate) const STORE: u8 = 8;
