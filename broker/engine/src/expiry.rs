//! What nobody took before its time was up is taken away: it must not fill a queue, or count as retained, for ever.
//!
//! A queue, and the retained messages of an exchange, each ask for one timer: that of what expires first. The ids of
//! publications are looked at now and then, while there are any.

use std::time::{Duration, Instant};

use model::change::{Change, Changeset};
use model::name::{ExchangeName, QueueName};
use model::time::WallMs;
use routing::{Queue, Taken};

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

/// Takes away what expired in a queue.
pub(crate) fn expire_messages(parts: &Parts, name: &QueueName) {
    let Some(queue) = parts.vhost.router.queue(name) else { return };
    let mut taken = Taken::default();
    queue.expire(clock::wall_now(), &mut taken);
    parts.metrics.messages_expired.add(taken.expired as u64);
    for some in taken.removed.chunks(REMOVED_MAX) {
        let changes = some.iter().copied().map(Change::Remove).collect();
        parts.durable.commit_soon(Changeset { changes });
    }
    if let Some(first) = queue.ask_expiry() {
        // A queue of a million that expire one by one is not gone through for each.
        let when = instant_of(first).max(Instant::now() + PAUSE);
        parts.vhost.timers.once(when, Once::Messages(name.clone()));
    }
}

/// Takes away what expired of an exchange's retained messages.
pub(crate) fn expire_retained(parts: &Parts, exchange: &ExchangeName) {
    let Some(retained) = parts.vhost.retained(exchange) else { return };
    // Or one that is published meanwhile might be forgotten in the journal.
    let _retaining = parts.vhost.retaining();
    let gone = retained.expire(clock::wall_now(), RETAINED_MAX);
    let mut changeset = Changeset::default();
    for message in gone {
        parts.metrics.retained.decrement();
        changeset.changes.push(Change::Unretain { exchange: exchange.clone(), key: message.key.clone() });
    }
    parts.durable.commit_soon(changeset);
    if let Some(first) = retained.expires_first() {
        watch_retained(parts, exchange, first);
    }
}

/// To be called when an id of a publication is remembered.
pub(crate) fn watch_publications(parts: &Parts) {
    if parts.vhost.publications.asks_for_sweep() {
        parts.vhost.timers.once(Instant::now() + SWEEP_EVERY, Once::Publications);
    }
}

/// Forgets ids of publications that are out of their window.
pub(crate) fn forget_publications(parts: &Parts) {
    let publications = &parts.vhost.publications;
    let more = publications.sweep(clock::wall_now(), |forgotten| parts.durable.commit_soon(forgotten));
    let pause = if more { PAUSE } else { SWEEP_EVERY };
    if publications.goes_on_sweeping() {
        parts.vhost.timers.once(Instant::now() + pause, Once::Publications);
    }
}

/// The moment of this life that a wall-clock time will be, if nobody sets the clock. Never earlier: it is looked at the
/// clock again then.
fn instant_of(end: WallMs) -> Instant {
    let now = Instant::now();
    now.checked_add(end.since(clock::wall_now())).unwrap_or(now + FAR)
}

/// How long a queue that something expired in is left alone, though more may expire.
const PAUSE: Duration = Duration::from_millis(50);

/// How often ids of publications are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// So many removals go into one changeset.
const REMOVED_MAX: usize = 4096;

/// So many retained messages are forgotten before others have their turn.
const RETAINED_MAX: usize = 1024;

/// Later than any clock reaches is looked at again after that long: thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
