//! What publishers called their messages: what came in under an id is not routed again.
//!
//! A publisher that got no acknowledgement cannot know whether its message was lost or only the answer. If it gave the
//! message an id, it may send it again under that: the id became durable together with the message, so the second one is
//! acknowledged like the first, behind it, and nobody sees it twice. Ids are forgotten after a while, the oldest first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::change::{Change, Changeset};
use model::durability::Durability;
use model::name::{PublicationId, PublisherName};
use model::refusal::Refusal;
use model::time::WallMs;

use crate::policy::Options;

/// The ids of all publishers.
#[derive(Debug)]
pub(crate) struct Publications {
    /// By a hash of the publisher: those of one rarely wait for another.
    shelves: [Mutex<Shelf>; SHELVES],
    hasher: RandomState,
    /// How many ids there are.
    count: AtomicUsize,
    /// Whether somebody is going to sweep.
    is_swept: AtomicBool,
    window: Duration,
    per_publisher_max: usize,
    max: usize,
}

type Shelf = HashMap<PublisherName, Ids>;

/// The ids of one publisher.
#[derive(Debug, Default)]
struct Ids {
    known: HashSet<PublicationId>,
    /// In the order they came in.
    order: VecDeque<(WallMs, PublicationId)>,
}

/// The ids of one publisher, held: until it is dropped, nobody else publishes under one of them.
pub(crate) struct Held<'a> {
    all: &'a Publications,
    shelf: MutexGuard<'a, Shelf>,
    publisher: &'a PublisherName,
}

impl Publications {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            shelves: Default::default(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            is_swept: AtomicBool::new(false),
            window: options.publications_window,
            per_publisher_max: options.publications_per_publisher_max,
            max: options.publications_max,
        }
    }

    /// Taken by whoever publishes under an id, from asking whether it is known until both are handed to the journal. So a
    /// second one of that id waits behind the first on its way to the disk. Taken behind the lock of a session, and before
    /// that of the topology.
    pub(crate) fn hold<'a>(&'a self, publisher: &'a PublisherName) -> Held<'a> {
        let shelf = self.hasher.hash_one(publisher.as_str()) as usize % SHELVES;
        Held { all: self, shelf: lock(&self.shelves[shelf]), publisher }
    }

    /// Brings back what the store remembers, in the order it came in. What is too old or too much goes at the next sweep.
    pub(crate) fn restore(&self, publisher: &PublisherName, id: PublicationId, at: WallMs) {
        self.hold(publisher).insert(id, at);
    }

    /// Whether it is the caller who has to see to it that there is a sweep: nobody else does.
    pub(crate) fn asks_for_sweep(&self) -> bool {
        !self.is_swept.load(Ordering::SeqCst) && !self.is_swept.swap(true, Ordering::SeqCst)
    }

    /// Whether the caller, who has swept, has to do it again: there is something left.
    pub(crate) fn goes_on_sweeping(&self) -> bool {
        if self.count.load(Ordering::Relaxed) > 0 {
            return true;
        }
        self.is_swept.store(false, Ordering::SeqCst);
        // Something may have come in between, and relied on us.
        self.count.load(Ordering::SeqCst) > 0 && self.asks_for_sweep()
    }

    /// Forgets some of what is too old or too much. Whether there may be more; `with` is told under the lock, so that nobody
    /// gives such an id anew before it is forgotten in the journal.
    pub(crate) fn sweep(&self, now: WallMs, with: impl Fn(Changeset)) -> bool {
        let mut more = false;
        for shelf in &self.shelves {
            let mut changeset = Changeset::default();
            let mut shelf = lock(shelf);
            for (publisher, ids) in shelf.iter_mut() {
                while changeset.changes.len() < SWEPT_AT_ONCE
                    && let Some(id) = ids.oldest_if(now, self.window, self.per_publisher_max)
                {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    let publisher = publisher.clone();
                    changeset.changes.push(Change::ForgetPublication { publisher, id });
                }
                ids.shrink();
            }
            shelf.retain(|_, ids| !ids.order.is_empty());
            more |= changeset.changes.len() >= SWEPT_AT_ONCE;
            with(changeset);
        }
        more
    }
}

impl Held<'_> {
    /// Whether a message came in under that id.
    pub(crate) fn knows(&self, id: &PublicationId) -> bool {
        self.shelf.get(self.publisher).is_some_and(|ids| ids.known.contains(id))
    }

    /// Whether so many more ids can be remembered.
    ///
    /// # Errors
    ///
    /// The broker has no room for them: it does not forget what others were promised.
    pub(crate) fn check_room(&self, count: usize) -> Result<(), Refusal> {
        if self.all.count.load(Ordering::Relaxed).saturating_add(count) > self.all.max {
            return Err(Refusal::LimitReached("remembered x-dedup-id ([durability] dedup_total_max)"));
        }
        Ok(())
    }

    /// A message comes in under that id, which lasts as the message does: or it would be known, and its message lost. Adds
    /// what must last of that.
    pub(crate) fn remember(
        &mut self,
        id: PublicationId,
        now: WallMs,
        level: Durability,
        changeset: &mut Changeset,
    ) {
        let publisher = self.publisher;
        let (window, max) = (self.all.window, self.all.per_publisher_max);
        if let Some(ids) = self.shelf.get_mut(publisher) {
            // Room for this one. A few more each time: no publish does the work of a whole sweep.
            for _ in 0..FORGOTTEN_AT_ONCE {
                let Some(id) = ids.oldest_if(now, window, max.saturating_sub(1)) else { break };
                self.all.count.fetch_sub(1, Ordering::Relaxed);
                changeset.changes.push(Change::ForgetPublication { publisher: publisher.clone(), id });
            }
        }
        self.insert(id.clone(), now);
        if level > Durability::Memory {
            changeset.changes.push(Change::RememberPublication { publisher: publisher.clone(), id, at: now });
        }
    }

    fn insert(&mut self, id: PublicationId, at: WallMs) {
        if !self.shelf.contains_key(self.publisher) {
            self.shelf.insert(self.publisher.clone(), Ids::default());
        }
        if let Some(ids) = self.shelf.get_mut(self.publisher)
            && ids.known.insert(id.clone())
        {
            ids.order.push_back((at, id));
            self.all.count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Ids {
    /// Takes the oldest one away, if it is out of the window or there are more than `max`.
    fn oldest_if(&mut self, now: WallMs, window: Duration, max: usize) -> Option<PublicationId> {
        let len = self.order.len();
        let (_, id) = self.order.pop_front_if(|(at, _)| len > max || now.since(*at) >= window)?;
        self.known.remove(&id);
        Some(id)
    }

    /// Gives back what a burst has left.
    fn shrink(&mut self) {
        if self.order.capacity() / 4 > self.order.len() {
            self.order.shrink_to_fit();
            self.known.shrink_to_fit();
        }
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHELVES: usize = 16;

/// With one publish, no more than so many ids are forgotten.
const FORGOTTEN_AT_ONCE: usize = 4;

/// Of one shelf, no more than so many are forgotten at once: others wait for its lock.
const SWEPT_AT_ONCE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_to_its_publisher_alone() {
        let all = all(60, 9, 9);
        assert!(!all.hold(&ann()).knows(&id(1)));
        all.hold(&ann()).remember(id(1), WallMs(0), Durability::Disk, &mut Changeset::default());
        assert!(all.hold(&ann()).knows(&id(1)));
        assert!(!all.hold(&bob()).knows(&id(1)));
    }

    #[test]
    fn ids_are_forgotten_when_they_are_too_old() {
        let all = all(60, 9, 9);
        all.hold(&ann()).remember(id(1), WallMs(0), Durability::Disk, &mut Changeset::default());
        assert_eq!(swept(&all, 59_999), 0);
        assert!(all.hold(&ann()).knows(&id(1)));
        assert_eq!(swept(&all, 60_000), 1);
        assert!(!all.hold(&ann()).knows(&id(1)));
        assert!(all.shelves.iter().all(|shelf| lock(shelf).is_empty()), "nothing is left of who has none");
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten_and_only_of_that_publisher() {
        let all = all(60, 2, 9);
        all.hold(&bob()).remember(id(1), WallMs(0), Durability::Disk, &mut Changeset::default());
        let mut changeset = Changeset::default();
        for number in 1..=3 {
            all.hold(&ann()).remember(id(number), WallMs(number), Durability::Disk, &mut changeset);
        }
        let known: Vec<bool> = (1..=3).map(|number| all.hold(&ann()).knows(&id(number))).collect();
        assert_eq!(known, [false, true, true]);
        assert!(all.hold(&bob()).knows(&id(1)));
        let forgotten = |change: &&Change| matches!(change, Change::ForgetPublication { .. });
        assert_eq!(changeset.changes.iter().filter(forgotten).count(), 1, "in the journal too");
    }

    #[test]
    fn where_there_is_no_room_at_all_nothing_is_taken_from_others() {
        let all = all(60, 9, 2);
        for number in 1..=2 {
            assert_eq!(all.hold(&ann()).check_room(1), Ok(()));
            all.hold(&ann()).remember(id(number), WallMs(0), Durability::Disk, &mut Changeset::default());
        }
        assert!(matches!(all.hold(&bob()).check_room(1), Err(Refusal::LimitReached(_))));
        assert_eq!(swept(&all, 60_000), 2);
        assert_eq!(all.hold(&bob()).check_room(2), Ok(()));
    }

    #[test]
    fn one_sweeps_while_there_is_something_and_then_nobody_does() {
        let all = all(60, 9, 9);
        all.hold(&ann()).remember(id(1), WallMs(0), Durability::Disk, &mut Changeset::default());
        assert!(all.asks_for_sweep());
        assert!(!all.asks_for_sweep());
        assert!(all.goes_on_sweeping());
        assert_eq!(swept(&all, 60_000), 1);
        assert!(!all.goes_on_sweeping());
        assert!(all.asks_for_sweep());
    }

    #[test]
    fn what_was_restored_twice_counts_once() {
        let all = all(60, 9, 9);
        all.restore(&ann(), id(1), WallMs(5));
        all.restore(&ann(), id(1), WallMs(7));
        assert_eq!(all.count.load(Ordering::Relaxed), 1);
        assert_eq!(swept(&all, 60_005), 1);
    }

    fn all(window_s: u64, per_publisher_max: usize, max: usize) -> Publications {
        Publications::new(&Options {
            publications_window: Duration::from_secs(window_s),
            publications_per_publisher_max: per_publisher_max,
            publications_max: max,
            ..Options::default()
        })
    }

    fn swept(all: &Publications, now_ms: u64) -> usize {
        let count = std::cell::Cell::new(0);
        all.sweep(WallMs(now_ms), |changeset| count.set(count.get() + changeset.changes.len()));
        count.get()
    }

    fn id(number: u64) -> PublicationId {
        PublicationId::new(&number.to_string())
    }

    fn ann() -> PublisherName {
        PublisherName::new("ann")
    }

    fn bob() -> PublisherName {
        PublisherName::new("bob")
    }
}
