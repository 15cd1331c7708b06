//! Govern: policies take effect on queues and exchanges, on those that are there in steps

use std::sync::Arc;
use std::time::Duration;

use model::change::Changeset;
use model::durability::Durability;
use model::name::{ExchangeName, QueueName};
use model::queue::{Overflow, QueueOptions};
use routing::{Dates, Owner, Queue, Terms, Usual};

use crate::clock;
use crate::expiry;
use crate::parts::Parts;
use crate::plan;
use crate::policy::Options;
use crate::timers::Once;

/// What is usual for a queue of that owner.
pub(crate) fn usual(owner: &Owner, limits: &Options) -> Usual {
    let (messages, bytes) = match owner {
        Owner::Session(_) | Owner::Link(_) => {
            (limits.session_queue_messages_max, limits.session_queue_bytes_max)
        }
        Owner::Nobody => (limits.queue_messages_max, limits.queue_bytes_max),
    };
    let delivery_limit = limits.redeliveries_max;
    Usual { ready_max: Some(messages), ready_bytes_max: Some(bytes), delivery_limit }
}

/// What holds for a queue that is about to be there. To be asked under `order`: whoever changes a policy holds it, too, and sees
/// the queue afterwards.
pub(crate) fn terms(parts: &Parts, options: &QueueOptions, owner: &Owner) -> Terms {
    let Parts { vhost, .. } = parts;
    let usual = usual(owner, &vhost.options);
    vhost.policies.with_queue(options.name.as_str(), |policy| Terms::new(options, owner, policy, usual))
}

/// Has an exchange do what holds for it, if a policy speaks of its name.
pub(crate) fn apply_to_exchange(parts: &Parts, name: &ExchangeName) {
    parts.vhost.policies.with_exchange(name.as_str(), |policy| {
        let alternate = policy.and_then(|policy| policy.definition.alternate.clone());
        parts.vhost.router.lend_alternate(name, alternate);
    });
}

/// Has the exchanges that are there at the start do what holds for them; queues were made so.
pub(crate) fn begin(parts: &Parts) {
    for exchange in parts.vhost.router.exchanges() {
        apply_to_exchange(parts, &exchange.name);
    }
}

/// Has every queue and every exchange do what holds for it now. It takes a while where there are many, and others have their
/// turn meanwhile. What waits beyond new limits goes later, in steps.
pub(crate) async fn apply(parts: Arc<Parts>) {
    for (count, exchange) in parts.vhost.router.exchanges().iter().enumerate() {
        apply_to_exchange(&parts, &exchange.name);
        pause_after(count).await;
    }
    for (count, queue) in parts.vhost.router.queues().iter().enumerate() {
        apply_to_queue(&parts, queue);
        pause_after(count).await;
    }
}

async fn pause_after(count: usize) {
    if count % AT_ONCE == AT_ONCE - 1 {
        tokio::task::yield_now().await;
    }
}

fn apply_to_queue(parts: &Arc<Parts>, queue: &Arc<Queue>) {
    let (options, owner) = (queue.options(), queue.owner());
    let usual = usual(owner, &parts.vhost.options);
    // Of two who change policies the last one has the last word here, too.
    let retimes = parts.vhost.policies.with_queue(options.name.as_str(), |policy| {
        let before = queue.governed();
        if before.is_none() && policy.is_none() {
            return None;
        }
        let terms = Terms::new(options, owner, policy, usual);
        (before.as_deref() != Some(&terms)).then(|| queue.amend(terms))
    });
    let Some(retimes) = retimes else { return };
    let (timers, name) = (&parts.vhost.timers, &options.name);
    if queue.overflow() == Overflow::DropHead {
        timers.once(clock::instant(), Once::Excess(name.clone()));
    }
    if retimes {
        timers.once(clock::instant(), Once::Retime(name.clone()));
    }
    // Entries of a stream may have been there for too long by now.
    expiry::watch(parts, queue);
    expiry::watch_unused(parts, queue);
    // There may be room for what has still to come, or a first place to go for what is due.
    plan::call_for_feed(queue);
}

/// Takes some of what a queue has too much of away, and comes again for the rest once that is written.
pub(crate) fn drop_excess(parts: &Arc<Parts>, name: &QueueName) {
    let Some(queue) = parts.vhost.router.queue(name) else { return };
    if plan::drop_excess(parts, &queue, DROPPED_AT_ONCE) {
        let again = Arc::clone(parts);
        // Or the journal would get it faster than it can write.
        parts.durable.commit_then(Changeset::default(), Durability::Os, move || {
            again.vhost.timers.once(clock::instant(), Once::Excess(queue.options().name.clone()));
        });
    }
}

/// Has some of what waits in a queue expire by the terms that hold now, and comes again for the rest. What is not in memory is
/// read for that.
pub(crate) fn retime(parts: &Arc<Parts>, name: &QueueName) {
    let Some(queue) = parts.vhost.router.queue(name) else { return };
    let asked = queue.retime(RETIMED_AT_ONCE, RETIMED_BYTES);
    expiry::watch(parts, &queue);
    let Some(asked) = asked else { return };
    if asked.is_empty() {
        return parts.vhost.timers.once(clock::instant(), Once::Retime(name.clone()));
    }
    let again = Arc::clone(parts);
    parts.durable.read(queue.id(), asked.clone(), move |found| {
        let pause = match found {
            Ok(found) => {
                let dates = found.entries.iter().map(|entry| Dates {
                    sequence: entry.sequence,
                    published_at: entry.message.published_at,
                    expires_at: entry.message.expires_at,
                    retain: entry.retain,
                });
                queue.time(&asked, Some(&dates.collect::<Vec<_>>()));
                expiry::watch(&again, &queue);
                Duration::ZERO
            }
            Err(error) => {
                let name = queue.options().name.as_str();
                tracing::error!(queue = name, %error, "queue.unreadable: it is tried again");
                queue.time(&asked, None);
                READ_PAUSE
            }
        };
        again.vhost.timers.once(clock::instant() + pause, Once::Retime(queue.options().name.clone()));
    });
}

/// So many queues are seen to before others have their turn.
const AT_ONCE: usize = 256;
/// So many messages are dropped before others have their turn.
const DROPPED_AT_ONCE: usize = 4096;
/// So many get other ends before others have their turn.
const RETIMED_AT_ONCE: usize = 2048;
/// The same, in bytes that are read for it.
const RETIMED_BYTES: u64 = 2 << 20;
/// How long a disk that cannot be read is left alone.
const READ_PAUSE: Duration = Duration::from_secs(1);
