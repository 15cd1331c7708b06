//! One member of a group per message.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::name::ExchangeName;

use crate::route::Route;

/// The members of one shared subscription (MQTT 5.0, 4.8.2): the same share name, exchange and pattern.
pub(crate) struct Share {
    /// Its place among the bindings of its exchange.
    pub(crate) id: u64,
    /// Counts picks, by all publishers together: were each to count for itself, all first messages went to one member.
    turn: AtomicUsize,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    /// By the id of the binding, which is the order of joining.
    joined: Vec<(u64, Route)>,
    /// What picks choose from, made when it is wanted.
    snapshot: Option<Arc<[Route]>>,
}

impl Share {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, turn: AtomicUsize::new(0), members: Mutex::default() }
    }

    /// Adds a member, or replaces the route of the one with that id.
    pub(crate) fn join(&self, id: u64, route: Route) {
        let mut members = self.lock();
        members.snapshot = None;
        match members.joined.binary_search_by_key(&id, |(other, _)| *other) {
            Ok(at) => members.joined[at].1 = route,
            Err(at) => members.joined.insert(at, (id, route)),
        }
    }

    /// Lets a member go; returns whether that was the last one.
    pub(crate) fn leave(&self, id: u64) -> bool {
        let mut members = self.lock();
        members.snapshot = None;
        if let Ok(at) = members.joined.binary_search_by_key(&id, |(other, _)| *other) {
            members.joined.remove(at);
        }
        members.joined.is_empty()
    }

    /// The ids of all members.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.lock().joined.iter().map(|(id, _)| *id).collect()
    }

    /// The members as they are now, to pick from.
    pub(crate) fn pick(self: &Arc<Self>) -> Pick {
        let mut members = self.lock();
        let Members { joined, snapshot } = &mut *members;
        let snapshot =
            snapshot.get_or_insert_with(|| joined.iter().map(|(_, route)| route.clone()).collect());
        Pick { share: Arc::clone(self), members: Arc::clone(snapshot) }
    }

    /// The same, for a message that came on from another exchange to that one.
    pub(crate) fn pick_via(self: &Arc<Self>, exchange: &ExchangeName) -> Pick {
        let Pick { share, members } = self.pick();
        let via = |route: &Route| Route { via: Some(Box::new(exchange.clone())), ..route.clone() };
        Pick { share, members: members.iter().map(via).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shared subscription that matches: one of its members gets each message.
pub struct Pick {
    share: Arc<Share>,
    members: Arc<[Route]>,
}

impl Pick {
    /// Who gets this message: in turn, those that are consumed first; one that keeps what it gets (durable) while
    /// nobody consumes it comes next, and any other last. `None` without members.
    pub fn next(&self) -> Option<&Route> {
        let count = self.members.len();
        let turn = self.share.turn.fetch_add(1, Ordering::Relaxed);
        let at = turn.checked_rem(count)?;
        let first = self.members.get(at)?;
        if first.queue.has_consumers() {
            return Some(first);
        }
        // An absent member's turns go to the others in turn, not all to its neighbour.
        let spread = at.wrapping_add(turn / count);
        self.nth(spread, |route| route.queue.has_consumers())
            .or_else(|| self.nth(spread, |route| route.queue.options().durable))
            .or(Some(first))
    }

    /// All members, for those who look only.
    pub fn members(&self) -> &[Route] {
        &self.members
    }

    /// The one at `index`, counted around, among those that are `fit`.
    fn nth(&self, index: usize, fit: impl Fn(&Route) -> bool) -> Option<&Route> {
        let fits = self.members.iter().filter(|route| fit(route)).count();
        self.members.iter().filter(|route| fit(route)).nth(index.checked_rem(fits)?)
    }
}

#[cfg(test)]
mod tests;
