//! Timers: what is due later, and when to look.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::name::{ClientId, ExchangeName, QueueName};
use tokio::sync::Notify;

use crate::wheel::{Ticket, Wheel};

/// Something to look at when its time has come. What it is about may have changed by then.
#[derive(Debug, Clone)]
pub(crate) enum Due {
    /// A session without a connection ends; `life` tells whether it is still without one.
    Expire { client: ClientId, life: u64 },
    /// A will whose client did not come back is published.
    Will { client: ClientId, life: u64 },
    /// Something of which at most one is asked for.
    Once(Once),
}

/// What is asked for at most once at a time: by the name of what is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Once {
    /// Messages that wait in a queue expire.
    Messages(QueueName),
    /// Retained messages of an exchange expire.
    Retained(ExchangeName),
    /// Ids of publications are forgotten.
    Publications,
    /// A queue goes because nobody uses it.
    Unused(QueueName),
    /// Messages that could not be read are asked for again.
    Absent(QueueName),
    /// A queue has more than may wait in it.
    Excess(QueueName),
    /// What waits in a queue expires at other times than before.
    Retime(QueueName),
}

/// Names what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked(Ticket);

/// All that is due, to the millisecond. Nothing is ever due early; adding and taking back cost the same however much
/// waits.
#[derive(Debug)]
pub(crate) struct Timers {
    started: Instant,
    state: Mutex<State>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct State {
    wheel: Wheel<Due>,
    once: HashMap<Once, (u64, Ticket)>,
    /// Until when whoever looks after it sleeps; `None`: he is awake, and looks before he sleeps.
    sleeps_until: Option<u64>,
}

impl Timers {
    pub(crate) fn new(now: Instant) -> Self {
        Self { started: now, state: Mutex::default(), sooner: Notify::new() }
    }

    /// Asks for something to be looked at then. What it returns takes that back.
    pub(crate) fn at(&self, when: Instant, due: Due) -> Asked {
        let tick = self.tick_at(when);
        let mut state = self.lock();
        let asked = Asked(state.wheel.insert(tick, due));
        self.call(state, tick);
        asked
    }

    /// Asks for something to be looked at then, unless it is to be looked at sooner.
    pub(crate) fn once(&self, when: Instant, once: Once) {
        let tick = self.tick_at(when);
        let mut state = self.lock();
        if let Some((sooner, ticket)) = state.once.get(&once).copied() {
            if sooner <= tick {
                return;
            }
            state.wheel.cancel(ticket);
        }
        let ticket = state.wheel.insert(tick, Due::Once(once.clone()));
        state.once.insert(once, (tick, ticket));
        self.call(state, tick);
    }

    /// It need not be looked at any more: a client that comes and goes all day must not leave a timer each time.
    pub(crate) fn cancel(&self, asked: Asked) {
        self.lock().wheel.cancel(asked.0);
    }

    /// Nothing about that queue need be looked at any more. Clients come and go with their queues, of which hardly any has a
    /// timer.
    pub(crate) fn cancel_queue(&self, name: &QueueName) {
        let mut state = self.lock();
        if !state.once.is_empty() {
            for once in [Once::Messages, Once::Unused, Once::Absent, Once::Excess, Once::Retime] {
                if let Some((_, ticket)) = state.once.remove(&once(name.clone())) {
                    state.wheel.cancel(ticket);
                }
            }
        }
    }

    /// Whoever waits looks again now.
    pub(crate) fn wake(&self) {
        self.sooner.notify_one();
    }

    /// Takes what is due at `now`, the first of it first, no more than `max`.
    pub(crate) fn take(&self, now: Instant, max: usize) -> Vec<Due> {
        let tick = u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        let all: Vec<_> = std::iter::from_fn(|| state.wheel.take(tick)).take(max).collect();
        for due in &all {
            if let Due::Once(once) = due {
                state.once.remove(once);
            }
        }
        all
    }

    /// Waits until something may be due. One task waits at a time.
    pub(crate) async fn wait(&self) {
        let next = {
            let mut state = self.lock();
            let next = state.wheel.next();
            state.sleeps_until = Some(next.unwrap_or(u64::MAX));
            next
        };
        // Sleeping or told of something sooner: either way it is time to look.
        match next.and_then(|tick| self.started.checked_add(Duration::from_millis(tick))) {
            Some(when) => drop(tokio::time::timeout_at(when.into(), self.sooner.notified()).await),
            None => self.sooner.notified().await,
        }
    }

    /// The first tick that does not come before.
    fn tick_at(&self, when: Instant) -> u64 {
        let after = when.saturating_duration_since(self.started);
        u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// Wakes whoever sleeps beyond that tick, once.
    fn call(&self, mut state: MutexGuard<'_, State>, tick: u64) {
        let sleeps_on = state.sleeps_until.take_if(|until| tick < *until).is_some();
        drop(state);
        if sleeps_on {
            self.sooner.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_early() {
        let start = Instant::now();
        let timers = Timers::new(start);
        let when = start + Duration::from_micros(1_500);
        timers.at(when, due(1));
        assert!(timers.take(start + Duration::from_micros(1_499), 9).is_empty());
        assert!(timers.take(start + Duration::from_micros(1_999), 9).is_empty());
        assert_eq!(timers.take(start + Duration::from_millis(2), 9).len(), 1);
    }

    #[test]
    fn no_more_is_taken_than_was_asked_for() {
        let start = Instant::now();
        let timers = Timers::new(start);
        for life in [2, 1, 9] {
            timers.at(start + Duration::from_secs(life), due(life));
        }
        let taken = |seconds, max| {
            let all = timers.take(start + Duration::from_secs(seconds), max);
            all.iter().map(life).collect::<Vec<_>>()
        };
        assert_eq!((taken(0, 9), taken(2, 1), taken(2, 9), taken(2, 9)), (vec![], vec![1], vec![2], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_for_what_is_sooner() {
        let start = tokio::time::Instant::now();
        let timers = Timers::new(start.into());
        let at = |seconds| (start + Duration::from_secs(seconds)).into();
        timers.at(at(3600), due(1));
        tokio::join!(timers.wait(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            timers.at(at(5), due(2));
        });
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        while timers.take(tokio::time::Instant::now().into(), 9).is_empty() {
            timers.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[test]
    fn of_what_is_asked_for_once_the_soonest_stands() {
        let start = Instant::now();
        let timers = Timers::new(start);
        let once = |name| Once::Messages(QueueName::new(name));
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in [5, 3, 9] {
            timers.once(at(seconds), once("a"));
        }
        timers.once(at(4), once("b"));
        timers.cancel_queue(&QueueName::new("b"));
        assert!(timers.take(at(2), 9).is_empty());
        assert_eq!(timers.take(at(3), 9).len(), 1);
        assert!(timers.take(at(99), 9).is_empty());
        timers.once(at(100), once("a"));
        assert_eq!(timers.take(at(100), 9).len(), 1);
    }

    fn due(life: u64) -> Due {
        Due::Expire { client: ClientId::new("c"), life }
    }

    fn life(due: &Due) -> u64 {
        let Due::Expire { life, .. } = due else { panic!("{due:?}") };
        *life
    }
}
