//! What nobody took before its time was up is taken away: it must not fill a queue, or count as retained, for ever.

use std::sync::Arc;
use std::time::Duration;

use model::change::{Change, Changeset};
use model::name::{ExchangeName, QueueName};
use routing::Taken;

use crate::clock;
use crate::expiry::{SWEEP_EVERY, instant_of, watch_retained};
use crate::parts::Parts;
use crate::plan;
use crate::timers::Once;
use crate::topology;

/// Takes away what expired in a queue, or sends it where the queue says.
pub(crate) fn expire_messages(parts: &Arc<Parts>, name: &QueueName) {
    let Some(queue) = parts.vhost.router.queue(name) else { return };
    let mut taken = Taken::default();
    queue.expire(clock::now(), &mut taken);
    let absent = taken.absent;
    plan::clear_away(parts, &mut taken);
    if absent {
        plan::fetch(parts, &queue);
    }
    plan::call_for_feed(&queue);
    if let Some(first) = queue.ask_expiry() {
        // A queue of a million that expire one by one is not gone through for each.
        let when = instant_of(first).max(clock::instant() + PAUSE);
        parts.vhost.timers.once(when, Once::Messages(name.clone()));
    }
}

/// Takes away what expired of an exchange's retained messages.
pub(crate) fn expire_retained(parts: &Parts, exchange: &ExchangeName) {
    let Some(retained) = parts.vhost.retained(exchange) else { return };
    // Or one that is published meanwhile might be forgotten in the journal.
    let _retaining = parts.vhost.retaining();
    let gone = retained.expire(clock::now(), RETAINED_MAX);
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

/// Takes a queue away that nobody used for as long as it said (`x-expires`), with all that is in it.
pub(crate) fn expire_queue(parts: &Parts, name: &QueueName) {
    let Some(queue) = parts.vhost.router.queue(name) else { return };
    // Whoever consumes it asks again when he leaves.
    let Some(end) = queue.unused_from() else { return };
    if end > clock::now() {
        return parts.vhost.timers.once(instant_of(end), Once::Unused(name.clone()));
    }
    tracing::info!(queue = name.as_str(), "queue.expired");
    // It has no consumers who would have to be told.
    topology::delete_queue(parts, &queue);
}

/// Forgets ids of publications that are out of their window.
pub(crate) fn forget_publications(parts: &Parts) {
    let publications = &parts.vhost.publications;
    let more = publications.sweep(clock::now(), |forgotten| parts.durable.commit_soon(forgotten));
    let pause = if more { PAUSE } else { SWEEP_EVERY };
    if publications.goes_on_sweeping() {
        parts.vhost.timers.once(clock::instant() + pause, Once::Publications);
    }
}

/// How long a queue that something expired in is left alone, though more may expire.
const PAUSE: Duration = Duration::from_millis(50);

/// So many retained messages are forgotten before others have their turn.
const RETAINED_MAX: usize = 1024;
