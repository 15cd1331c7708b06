//! Who looks at what, and when: queues whose messages expire, retained messages that do, queues that nobody uses.
//!
//! A queue, and the retained messages of an exchange, each ask for one timer of a kind: that of what comes first. The
//! ids of publications are looked at now and then, while there are any.

use std::time::{Duration, Instant};

use model::name::ExchangeName;
use model::time::WallMs;
use routing::Queue;

use crate::clock;
use crate::parts::Parts;
use crate::timers::Once;

/// To be called when something came into a queue, or back to it: costs next to nothing while nothing in it expires
/// before what was asked for.
pub(crate) fn watch(parts: &Parts, queue: &Queue) {
    if let Some(first) = queue.ask_expiry() {
        let once = Once::Messages(queue.options().name.clone());
        parts.vhost.timers.once(instant_of(first), once);
    }
}

/// To be called when a message that expires was retained.
pub(crate) fn watch_retained(parts: &Parts, exchange: &ExchangeName, end: WallMs) {
    parts.vhost.timers.once(instant_of(end), Once::Retained(exchange.clone()));
}

/// To be called when a queue was declared, or lost its last consumer.
pub(crate) fn watch_unused(parts: &Parts, queue: &Queue) {
    if !queue.expires() {
        return;
    }
    queue.use_at(clock::now());
    if let Some(end) = queue.unused_from() {
        parts.vhost.timers.once(instant_of(end), Once::Unused(queue.options().name.clone()));
    }
}

/// To be called when an id of a publication is remembered.
pub(crate) fn watch_publications(parts: &Parts) {
    if parts.vhost.publications.asks_for_sweep() {
        parts.vhost.timers.once(clock::instant() + SWEEP_EVERY, Once::Publications);
    }
}

/// The moment of this life that a wall-clock time will be, if nobody sets the clock. Never earlier: it is looked at the
/// clock again then.
pub(crate) fn instant_of(end: WallMs) -> Instant {
    let now = clock::instant();
    now.checked_add(end.since(clock::now())).unwrap_or(now + FAR)
}

/// How often ids of publications are looked at.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Later than any clock reaches is looked at again after that long: thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
