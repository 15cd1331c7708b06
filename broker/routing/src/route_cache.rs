//! Key to queues, per publisher.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;

use model::key::RoutingKey;
use model::name::{ClientId, ExchangeName};

use crate::table::Keeping;
use crate::table::generations::{Generations, Slot};
use crate::table::routes::Routes;

/// What one publisher was answered before, for up to 16,384 keys. Belongs to one link and asks one router only. Empty,
/// it holds no memory; it grows with the keys that are used.
///
/// In a box: most clients never publish.
#[derive(Default)]
pub struct RouteCache(Option<Box<Known>>);

impl RouteCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn known(&mut self) -> &mut Known {
        self.0.get_or_insert_default()
    }
}

/// The answers.
///
/// Each lies in one of two neighbouring places, and a new one takes the place of an old one: with more keys than places,
/// some are always known.
#[derive(Default)]
pub(crate) struct Known {
    /// None, or a power of two.
    places: Vec<Option<Answer>>,
    hasher: RandomState,
    /// How many answers gave way to others since it grew last.
    evicted: usize,
    /// How many routes the answers hold.
    routes: usize,
    grant: Option<PlaceGrant>,
    /// The last answer that was not to be kept.
    passing: Routes,
}

struct Answer {
    hash: u64,
    exchange: ExchangeName,
    slot: Slot,
    generation: u64,
    /// Set where another publisher would be answered differently.
    publisher: Option<Option<ClientId>>,
    /// With the key.
    routes: Routes,
}

/// What was asked, and when.
pub(crate) struct Question<'q> {
    pub(crate) exchange: &'q ExchangeName,
    pub(crate) key: &'q RoutingKey,
    pub(crate) publisher: Option<&'q ClientId>,
    pub(crate) slot: Slot,
    pub(crate) generation: u64,
}

/// Where an answer is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    /// Known and right.
    Fresh(usize),
    /// Known once; something changed.
    Stale(usize),
    /// Not known; the question's hash.
    Nowhere(u64),
}

impl Known {
    pub(crate) fn find(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        publisher: Option<&ClientId>,
        generations: &Generations,
    ) -> Found {
        let hash = self.hasher.hash_one((exchange.as_str(), key.as_str()));
        for at in self.pair(hash) {
            let Some(Some(answer)) = self.places.get(at) else { continue };
            if answer.hash != hash || answer.routes.key() != Some(key) || answer.exchange != *exchange {
                continue;
            }
            let same = answer.publisher.as_ref().is_none_or(|asked| asked.as_ref() == publisher);
            let fresh = same && generations.now(answer.slot) == answer.generation;
            return if fresh { Found::Fresh(at) } else { Found::Stale(at) };
        }
        Found::Nowhere(hash)
    }

    pub(crate) fn get(&self, at: usize) -> &Routes {
        self.places.get(at).and_then(Option::as_ref).map_or(&self.passing, |answer| &answer.routes)
    }

    /// Room for an answer: that of the last one that was not kept, so that asking each time allocates nothing.
    pub(crate) fn borrow_room(&mut self) -> Routes {
        std::mem::take(&mut self.passing)
    }

    /// Keeps an answer, if it can be kept, and hands it out.
    pub(crate) fn keep(
        &mut self,
        question: &Question<'_>,
        found: Found,
        keeping: Keeping,
        routes: Routes,
        budget: &Arc<PlaceBudget>,
    ) -> &Routes {
        let full = self.routes > 0 && self.routes + routes.len() > ROUTES_MAX;
        if full {
            self.places.fill_with(|| None);
            self.routes = 0;
        }
        if full || !keeping.by_key || question.key.as_str().len() > KEY_BYTES_MAX {
            self.passing = routes;
            return &self.passing;
        }
        let publisher = keeping.by_publisher.then(|| question.publisher.cloned());
        let (slot, generation) = (question.slot, question.generation);
        self.routes += routes.len();
        let at = match found {
            Found::Fresh(at) | Found::Stale(at) => {
                if let Some(Some(old)) = self.places.get_mut(at) {
                    self.routes -= old.routes.len();
                    let routes = Routes { key: old.routes.key.take(), ..routes };
                    (old.slot, old.generation, old.publisher, old.routes) =
                        (slot, generation, publisher, routes);
                }
                at
            }
            Found::Nowhere(hash) => {
                let exchange = question.exchange.clone();
                // A copy: what it was read from is as large as a read.
                let routes = Routes { key: Some(question.key.detached()), ..routes };
                self.insert(Answer { hash, exchange, slot, generation, publisher, routes }, budget)
            }
        };
        self.get(at)
    }

    fn insert(&mut self, answer: Answer, budget: &Arc<PlaceBudget>) -> usize {
        if self.evicted >= self.places.len() / 4 && self.may_grow(budget) {
            self.grow();
        }
        let [home, other] = self.pair(answer.hash);
        let is_free = |at: usize| self.places.get(at).is_some_and(Option::is_none);
        let at = match (is_free(home), is_free(other)) {
            (true, _) => home,
            (false, true) => other,
            (false, false) => {
                self.evicted += 1;
                if self.evicted.is_multiple_of(2) { home } else { other }
            }
        };
        if let Some(place) = self.places.get_mut(at)
            && let Some(old) = place.replace(answer)
        {
            self.routes -= old.routes.len();
        }
        at
    }

    fn may_grow(&mut self, budget: &Arc<PlaceBudget>) -> bool {
        let more = self.places.len();
        if more < PLACES_FREE {
            return true;
        }
        more < PLACES_MAX
            && self
                .grant
                .get_or_insert_with(|| PlaceGrant { budget: Arc::clone(budget), places: 0 })
                .extend(more)
    }

    fn grow(&mut self) {
        let places = (2 * self.places.len()).max(PLACES_MIN);
        let old = std::mem::take(&mut self.places);
        self.places.resize_with(places, || None);
        self.evicted = 0;
        for answer in old.into_iter().flatten() {
            let [home, other] = self.pair(answer.hash);
            let at = if self.places.get(home).is_some_and(Option::is_none) { home } else { other };
            if let Some(place) = self.places.get_mut(at)
                && let Some(lost) = place.replace(answer)
            {
                self.routes -= lost.routes.len();
            }
        }
    }

    /// The two places for a hash. Out of range while there are none.
    fn pair(&self, hash: u64) -> [usize; 2] {
        let home = hash as usize & self.places.len().wrapping_sub(1);
        [home, home ^ 1]
    }
}

/// How many places the caches of one router may still take, all together: each publisher alone is bounded, but there
/// may be very many.
pub(crate) struct PlaceBudget(AtomicUsize);

impl PlaceBudget {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(PLACES_TOTAL_MAX)))
    }
}

/// What one cache has taken of it, until it is dropped.
struct PlaceGrant {
    budget: Arc<PlaceBudget>,
    places: usize,
}

impl PlaceGrant {
    fn extend(&mut self, more: usize) -> bool {
        let take = |left: usize| left.checked_sub(more);
        let taken = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        self.places += if taken { more } else { 0 };
        taken
    }
}

impl Drop for PlaceGrant {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.places, Ordering::Relaxed);
    }
}

const PLACES_MIN: usize = 4;
/// So many need nobody's leave.
const PLACES_FREE: usize = 64;
const PLACES_MAX: usize = 16_384;
/// A place takes about 160 bytes.
const PLACES_TOTAL_MAX: usize = 1 << 20;
/// Longer keys are asked for each time.
const KEY_BYTES_MAX: usize = 512;
/// A few messages that go to very many must not make the cache of each publisher large.
const ROUTES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_back_when_a_cache_goes() {
        let budget = Arc::new(PlaceBudget(AtomicUsize::new(200)));
        let mut first = PlaceGrant { budget: Arc::clone(&budget), places: 0 };
        let mut second = PlaceGrant { budget: Arc::clone(&budget), places: 0 };
        assert!(first.extend(64) && first.extend(128));
        assert!(!second.extend(64));
        drop(first);
        assert!(second.extend(64));
        drop(second);
        assert_eq!(budget.0.load(Ordering::Relaxed), 200);
    }

    #[test]
    fn a_cache_is_bounded_in_keys_and_in_routes() {
        let (budget, generations) = (PlaceBudget::new(), Generations::new());
        let mut cache = Known::default();
        let exchange = ExchangeName::TOPIC;
        let route = crate::route::Route {
            queue: crate::testing::queue(1, "q"),
            grant: Default::default(),
            via: None,
        };
        for number in 0..100_000 {
            let key = RoutingKey::from(number.to_string().as_str());
            let mut routes = Routes::default();
            routes.fixed.extend(std::iter::repeat_n(route.clone(), 9));
            let found = cache.find(&exchange, &key, None, &generations);
            let slot = generations.slot(&exchange, &key);
            let question = Question { exchange: &exchange, key: &key, publisher: None, slot, generation: 0 };
            let keeping = Keeping { by_key: true, by_publisher: false };
            assert_eq!(cache.keep(&question, found, keeping, routes, &budget).len(), 9);
            assert!(cache.routes <= ROUTES_MAX);
        }
        assert!(cache.places.len() <= PLACES_MAX);
        let held: usize = cache.places.iter().flatten().map(|answer| answer.routes.len()).sum();
        assert_eq!(held, cache.routes);
    }
}
