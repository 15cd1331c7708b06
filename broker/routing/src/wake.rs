//! Which queues have something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use smallvec::SmallVec;

use model::name::ConsumerId;

/// One per link: which of its consumers have something to take, and how to wake the link's task.
///
/// The task does this whenever it runs: [`Self::register`], then [`Self::drain`], then take from the queue of each
/// consumer it got, and [`Self::mark`] those that said there is more. A queue marks a consumer once and relies on it to
/// come: one that is drained and neither taken from nor marked again is forgotten.
#[derive(Default)]
pub struct Readiness {
    /// Whether `marked` has anything, to be seen without the lock.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    marked: Vec<ConsumerId>,
    /// Somebody has promised to wake the task, or has done so, and it has not come yet.
    called: bool,
    waker: Option<Waker>,
}

impl Readiness {
    /// Nothing marked, nobody to wake.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Who is to be woken from now on. Called before `drain`, so that nothing falls between the two.
    pub fn register(&self, waker: &Waker) {
        let mut state = self.lock();
        match &mut state.waker {
            Some(registered) => registered.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    /// Wakes the task, whether or not a consumer is marked: for news that come by another way.
    pub fn wake(&self) {
        // Woken outside the lock: it wants it at once.
        let waker = self.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Adds the consumers that were marked, first marked first, and marks none of them any more.
    pub fn drain(&self, into: &mut Vec<ConsumerId>) {
        // Whoever marks one after this look wakes the task as well: while nothing is marked, nobody has been promised.
        if !self.has_any() {
            return;
        }
        let mut state = self.lock();
        state.called = false;
        self.any.store(false, Ordering::Release);
        into.append(&mut state.marked);
    }

    /// Whether a consumer is marked.
    pub fn has_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Marks a consumer behind the others, waking nobody: more is there than was taken.
    pub fn mark(&self, consumer: ConsumerId) {
        let mut state = self.lock();
        state.marked.push(consumer);
        self.any.store(true, Ordering::Release);
    }

    /// Marks a consumer and sees to it that the task is woken, unless that is under way.
    pub(crate) fn call(self: &Arc<Self>, consumer: ConsumerId, wakes: &mut Wakes) {
        let called = {
            let mut state = self.lock();
            state.marked.push(consumer);
            self.any.store(true, Ordering::Release);
            std::mem::replace(&mut state.called, true)
        };
        if !called {
            wakes.links.push(Arc::clone(self));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The links to wake when a batch is done: each once, however many of its consumers were marked, and after all locks
/// are gone. What is left in it when it is dropped is woken then.
#[derive(Default)]
pub struct Wakes {
    links: SmallVec<[Arc<Readiness>; 4]>,
}

impl Wakes {
    /// Wakes them all.
    pub fn flush(&mut self) {
        self.flush_some(usize::MAX);
    }

    /// Wakes so many of them, first those that were marked first. Whether some are left.
    pub fn flush_some(&mut self, most: usize) -> bool {
        if self.links.len() <= 1 && most > 0 {
            // A message that came alone: nearly every turn.
            if let Some(link) = self.links.pop() {
                link.wake();
            }
            return false;
        }
        let count = self.links.len().min(most);
        for link in self.links.drain(..count) {
            link.wake();
        }
        !self.links.is_empty()
    }

    /// Whether nobody is to be woken.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Takes over those of another one.
    pub fn append(&mut self, other: &mut Self) {
        self.links.append(&mut other.links);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[test]
    fn a_link_is_woken_once_for_a_batch() {
        let (counter, readiness) = counted();
        let mut wakes = Wakes::default();
        for id in [3, 1, 2] {
            readiness.call(ConsumerId(id), &mut wakes);
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 0, "not before the batch is done");
        wakes.flush();
        wakes.flush();
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        let mut marked = Vec::new();
        readiness.drain(&mut marked);
        assert_eq!(marked, [ConsumerId(3), ConsumerId(1), ConsumerId(2)]);
        assert!(!readiness.has_any());
    }

    #[test]
    fn a_link_that_has_come_is_woken_again() {
        let (counter, readiness) = counted();
        readiness.call(ConsumerId(1), &mut Wakes::default());
        readiness.drain(&mut Vec::new());
        // It could not take all, and sleeps with something marked.
        readiness.mark(ConsumerId(1));
        readiness.call(ConsumerId(2), &mut Wakes::default());
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
        assert!(readiness.has_any());
    }

    #[test]
    fn news_wake_without_a_mark() {
        let (counter, readiness) = counted();
        readiness.wake();
        readiness.wake();
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
        assert!(!readiness.has_any());
        Readiness::new().wake();
    }

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (Arc<Counter>, Arc<Readiness>) {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let readiness = Readiness::new();
        readiness.register(&Waker::from(Arc::clone(&counter)));
        (counter, readiness)
    }
}
