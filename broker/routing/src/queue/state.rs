//! All of a queue that its lock is for

use std::sync::Arc;

use crate::queue::consumers::Consumers;
use crate::queue::dead::DeadLetters;
use crate::queue::entry::{Entry, Gone, Rules};
use crate::queue::limits::Limits;
use crate::queue::pool::Resident;
use crate::queue::ready::Ready;
use crate::queue::report::QueueStats;
use crate::queue::terms::Terms;
use crate::wake::Wakes;

/// All of a queue that changes.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) ready: Ready,
    pub(crate) consumers: Consumers,
    pub(crate) limits: Limits,
    /// Where what it gives up goes; `None`: nowhere.
    pub(crate) dead_letters: Option<Arc<DeadLetters>>,
    /// All of its terms, where a policy holds. They are few.
    pub(crate) governed: Option<Arc<Terms>>,
    /// The last sequence number in use.
    pub(crate) sequence: u64,
    /// Nothing above this number was ever sent.
    pub(crate) sent_through: u64,
    pub(crate) closed: bool,
}

impl State {
    /// Other terms hold from now on. Returns whether what waits is to get other ends.
    pub(crate) fn amend(&mut self, terms: Terms, priority_max: Option<u8>) -> bool {
        self.limits.set(terms.ready_max, terms.ready_bytes_max);
        self.dead_letters = terms.dead_letters.clone();
        let (rules, goes_on) = (Rules::new(&terms, priority_max), self.dead_letters.is_some());
        let retimes = self.ready.follow(rules, self.sequence, goes_on);
        self.governed = terms.policy.is_some().then(|| Arc::new(terms));
        retimes
    }

    /// Takes what is beyond the limits from the head, so much at most; and whether there is more. What is to go elsewhere and
    /// is not here holds up the rest.
    pub(crate) fn take_excess(&mut self, most: usize) -> (Vec<Gone>, bool) {
        let mut gone = Vec::new();
        let is_over = loop {
            let is_over = self.limits.is_over(self.ready.len(), self.ready.bytes());
            if !is_over || self.dead_letters.is_some() && self.ready.is_held_up() {
                break false;
            }
            if gone.len() >= most {
                break true;
            }
            gone.extend(self.ready.pop_any());
        };
        let waiting = self.ready.available();
        self.consumers.trim(waiting);
        (gone, is_over)
    }

    pub(crate) fn add(&mut self, entry: Entry, resident: Resident, wakes: &mut Wakes) {
        if !self.closed {
            self.ready.admit(entry, resident);
            self.offer(wakes);
        }
    }

    pub(crate) fn offer(&mut self, wakes: &mut Wakes) {
        self.consumers.offer(self.ready.available(), wakes);
        if self.ready.is_starved() {
            // Who takes sees to it that there is something.
            self.consumers.call_all(wakes);
        }
    }

    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            ready: self.ready.len(),
            unacked: self.consumers.iter().map(|consumer| consumer.unacked.len()).sum(),
            ready_bytes: self.ready.bytes(),
            consumers: self.consumers.len(),
        }
    }
}
