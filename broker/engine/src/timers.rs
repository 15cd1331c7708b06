//! What is due later: sessions that expire, wills that wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use model::name::ClientId;
use tokio::sync::Notify;

/// Something to look at when its time has come. What it is about may have changed by then: `life` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// A session without a connection.
    Expire { client: ClientId, life: u64 },
    /// A will whose client did not come back.
    Will { client: ClientId, life: u64 },
}

/// Names what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked((Instant, u64));

/// All that is due, by time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    wheel: Mutex<Wheel>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Wheel {
    /// By time, and by the order of asking where that is the same.
    due: BTreeMap<(Instant, u64), Due>,
    asked: u64,
}

impl Timers {
    /// Asks for something to be looked at then. What it returns takes that back.
    pub(crate) fn at(&self, when: Instant, due: Due) -> Asked {
        let (key, first) = {
            let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
            wheel.asked += 1;
            let key = (when, wheel.asked);
            wheel.due.insert(key, due);
            (key, wheel.due.first_key_value().is_some_and(|(first, _)| *first == key))
        };
        if first {
            self.sooner.notify_one();
        }
        Asked(key)
    }

    /// It need not be looked at any more: a client that comes and goes all day must not leave a timer each time.
    pub(crate) fn cancel(&self, asked: Asked) {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner).due.remove(&asked.0);
    }

    /// Whoever waits looks again now.
    pub(crate) fn wake(&self) {
        self.sooner.notify_one();
    }

    /// Takes what is due at `now`, the first of it first, no more than `max`.
    pub(crate) fn take(&self, now: Instant, max: usize) -> Vec<Due> {
        let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(first) = wheel.due.first_entry()
            && first.key().0 <= now
        {
            taken.push(first.remove());
        }
        taken
    }

    /// Waits until something may be due.
    pub(crate) async fn wait(&self) {
        let next = {
            let wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
            wheel.due.keys().next().map(|key| key.0)
        };
        match next {
            Some(when) => {
                // Sleeping or told of something sooner: either way it is time to look.
                let _ = tokio::time::timeout_at(when.into(), self.sooner.notified()).await;
            }
            None => self.sooner.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_in_its_order_and_only_once() {
        let (timers, start) = (Timers::default(), Instant::now());
        let due = |life| Due::Expire { client: ClientId::known("c"), life };
        timers.at(start + Duration::from_secs(2), due(2));
        timers.at(start + Duration::from_secs(1), due(1));
        timers.at(start + Duration::from_secs(9), due(9));
        assert_eq!(timers.take(start, 9), []);
        assert_eq!(timers.take(start + Duration::from_secs(2), 1), [due(1)]);
        assert_eq!(timers.take(start + Duration::from_secs(2), 9), [due(2)]);
        assert_eq!(timers.take(start + Duration::from_secs(2), 9), []);
    }

    #[test]
    fn what_was_taken_back_holds_no_memory() {
        let (timers, start) = (Timers::default(), Instant::now());
        for life in 0..1000 {
            let asked = timers.at(start, Due::Will { client: ClientId::known("c"), life });
            timers.cancel(asked);
        }
        assert!(timers.wheel.lock().unwrap_or_else(PoisonError::into_inner).due.is_empty());
        assert_eq!(timers.take(start, 9), []);
    }
}
