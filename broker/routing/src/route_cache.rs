//! Key to queues, per publisher.

use bytestring::ByteString;
use foldhash::HashMap;

use model::key::RoutingKey;
use model::name::{ClientId, ExchangeName};

use crate::table::Keeping;
use crate::table::generations::{Generations, Slot};
use crate::table::routes::Routes;

/// What one publisher was answered before, for up to 4,096 keys. Belongs to one link and asks one router only. Empty, it
/// holds no memory.
#[derive(Default)]
pub struct RouteCache {
    /// Few: a publisher seldom uses more than one.
    exchanges: Vec<(ExchangeName, HashMap<ByteString, usize>)>,
    answers: Vec<Answer>,
    /// How many routes the answers hold.
    routes: usize,
    /// The last answer that was not to be kept.
    passing: Routes,
}

struct Answer {
    slot: Slot,
    generation: u64,
    /// Set where another publisher would be answered differently.
    publisher: Option<Option<ClientId>>,
    routes: Routes,
}

/// Where an answer is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    /// Known and right.
    Fresh(usize),
    /// Known once; something changed.
    Stale(usize),
    Nowhere,
}

impl RouteCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn find(
        &self,
        exchange: &ExchangeName,
        key: &RoutingKey,
        publisher: Option<&ClientId>,
        generations: &Generations,
    ) -> Found {
        let known = self.exchanges.iter().find(|(name, _)| name == exchange);
        let Some(at) = known.and_then(|(_, keys)| keys.get(key.as_str())).copied() else {
            return Found::Nowhere;
        };
        let Some(answer) = self.answers.get(at) else { return Found::Nowhere };
        let same = answer.publisher.as_ref().is_none_or(|asked| asked.as_ref() == publisher);
        if same && generations.now(answer.slot) == answer.generation {
            Found::Fresh(at)
        } else {
            Found::Stale(at)
        }
    }

    pub(crate) fn get(&self, at: usize) -> &Routes {
        self.answers.get(at).map_or(&self.passing, |answer| &answer.routes)
    }

    /// Room for an answer: that of the last one that was not kept, so that asking each time allocates nothing.
    pub(crate) fn borrow_room(&mut self) -> Routes {
        std::mem::take(&mut self.passing)
    }

    /// Hands out an answer without keeping it.
    pub(crate) fn pass(&mut self, routes: Routes) -> &Routes {
        self.passing = routes;
        &self.passing
    }

    /// Keeps an answer, if it can be kept, and hands it out.
    pub(crate) fn keep(
        &mut self,
        question: Question<'_>,
        found: Found,
        keeping: Keeping,
        routes: Routes,
    ) -> &Routes {
        if !keeping.by_key || question.key.as_str().len() > KEY_BYTES_MAX {
            return self.pass(routes);
        }
        let added = routes.len();
        let answer = Answer {
            slot: question.slot,
            generation: question.generation,
            publisher: keeping.by_publisher.then(|| question.publisher.cloned()),
            routes,
        };
        if let Found::Stale(at) = found
            && let Some(old) = self.answers.get_mut(at)
        {
            self.routes = self.routes - old.routes.len() + added;
            *old = answer;
            return self.get(at);
        }
        if self.answers.len() >= KEYS_MAX || (self.routes + added > ROUTES_MAX && self.routes > 0) {
            *self = Self::default();
        }
        let at = self.answers.len();
        self.routes += added;
        self.answers.push(answer);
        // A copy of the key: what it was read from is as large as a read.
        let key = ByteString::from(question.key.as_str());
        match self.exchanges.iter_mut().find(|(name, _)| name == question.exchange) {
            Some((_, keys)) => {
                keys.insert(key, at);
            }
            None => self.exchanges.push((question.exchange.clone(), HashMap::from_iter([(key, at)]))),
        }
        self.get(at)
    }
}

/// What was asked, and when.
pub(crate) struct Question<'q> {
    pub(crate) exchange: &'q ExchangeName,
    pub(crate) key: &'q RoutingKey,
    pub(crate) publisher: Option<&'q ClientId>,
    pub(crate) slot: Slot,
    pub(crate) generation: u64,
}

const KEYS_MAX: usize = 4096;
/// Longer keys are asked for each time.
const KEY_BYTES_MAX: usize = 512;
/// A few messages that go to very many must not make the cache of each publisher large.
const ROUTES_MAX: usize = 4 * KEYS_MAX;
