//! Routing rebuilt from the store.

use std::collections::HashMap;
use std::sync::Arc;

use model::change::{Change, QueueRecord, SessionRecord};
use model::name::{Incarnation, QueueId, QueueName};
use model::policy::Policy;
use model::refusal::Refusal;
use routing::{Brief, Item, Owner, Queue};
use storage::{Recovered, RecoveredPublication, RecoveredQueue, RecoveredRetained, UnreadEntry};

use crate::clock;
use crate::parts::Parts;
use crate::policies::CheckedPolicy;
use crate::registry::Registry;
use crate::wills::Aftermath;
use crate::{durable, expiry, govern, topology};

/// Rebuilds what the store remembers. What it returns has the wills that are due: of clients that were connected when the
/// broker died, and of those whose time came while it was down (MQTT 5.0, 3.1.2.5).
pub(crate) fn recover(
    parts: &Parts,
    registry: &Registry,
    recovered: Recovered,
) -> Result<Vec<Aftermath>, Refusal> {
    let router = &parts.vhost.router;
    for exchange in recovered.exchanges {
        router.declare_exchange(exchange)?;
    }
    restore_policies(parts, recovered.policies);
    let owners: HashMap<QueueId, &SessionRecord> =
        recovered.sessions.iter().map(|session| (session.record.queue, &session.record)).collect();
    let last_life = Incarnation(recovered.incarnation.0.saturating_sub(1));
    let mut queues: HashMap<QueueId, Arc<Queue>> = HashMap::new();
    for queue in recovered.queues {
        if queue.record.options.name == QueueName::DELAYED {
            parts.vhost.delayed.restore(queue);
            continue;
        }
        let (owner, sent_through) = match owners.get(&queue.record.id) {
            Some(session) => (Owner::Session(session.client.clone()), session.sent_through),
            // A session's whose record did not reach the disk, or a connection's: neither is there any more.
            None if queue.record.options.exclusive => {
                parts.durable.record(Change::DeleteQueue(queue.record.id));
                continue;
            }
            None => {
                let rested = queue.record.rested.filter(|rested| rested.life == last_life);
                (Owner::Nobody, rested.map(|rested| rested.sent_through))
            }
        };
        let queue = restore_queue(parts, queue, owner, sent_through);
        router.insert_queue(Arc::clone(&queue));
        expiry::watch(parts, &queue);
        expiry::watch_unused(parts, &queue);
        queues.insert(queue.id(), queue);
    }
    for (id, binding) in recovered.bindings.into_iter().filter(|(id, _)| queues.contains_key(id)) {
        if let Err(refusal) = router.bind(binding.clone()) {
            tracing::warn!(exchange = %binding.exchange, queue = %binding.queue, reason = %refusal, "binding.dropped");
            parts.durable.record(Change::Unbind(Box::new(topology::key_of(id, binding))));
        }
    }
    for binding in recovered.exchange_bindings {
        if let Err(refusal) = router.bind_exchange(&binding) {
            tracing::warn!(exchange = %binding.exchange, to = %binding.to, reason = %refusal, "binding.dropped");
            parts.durable.record(Change::UnbindExchange(Box::new(binding)));
        }
    }
    restore_retained(parts, recovered.retained);
    for RecoveredPublication { publisher, id, at } in recovered.publications {
        parts.vhost.publications.restore(&publisher, id, at);
        expiry::watch_publications(parts);
    }
    let now = (clock::instant(), clock::now());
    let mut all = Vec::new();
    for session in recovered.sessions {
        // A session that was to end with its connection has no queue any more; only its will is left of it.
        match queues.get(&session.record.queue) {
            Some(queue) => {
                let queue = Arc::clone(queue);
                all.push(registry.restore(parts, session.record, queue, session.unreleased, now));
            }
            None => {
                let record = session.record;
                let will = registry.still_allowed(parts, record.owner.as_ref(), None, record.will);
                let mut aftermath = Aftermath { will, ..Aftermath::default() };
                aftermath.changeset.changes.push(Change::DropSession(record.client));
                all.push(aftermath);
            }
        }
    }
    Ok(all)
}

/// What is kept of each key.
fn restore_retained(parts: &Parts, all: Vec<RecoveredRetained>) {
    parts.metrics.retained.add(all.len() as u64);
    for RecoveredRetained { message, author } in all {
        if let Some(end) = message.expires_at {
            expiry::watch_retained(parts, &message.exchange, end);
        }
        let author = author.map(|author| parts.authors.intern(Arc::unwrap_or_clone(author)));
        parts.vhost.retained_mut(&message.exchange).set(message, author);
    }
}

/// What is in the configuration was there before, and holds.
fn restore_policies(parts: &Parts, policies: Vec<Policy>) {
    for policy in policies {
        let name = policy.name.clone();
        let checked = CheckedPolicy::new(policy);
        let put = |policy| parts.vhost.policies.put(policy).map_err(|refusal| refusal.to_string());
        if let Err(why) = checked.and_then(put) {
            tracing::warn!(policy = name.as_str(), why, "policy.left_out: it does not hold");
        }
    }
}

/// `sent_through`: how far it had been sent, if somebody noted that at the end of the last life.
fn restore_queue(
    parts: &Parts,
    mut recovered: RecoveredQueue,
    owner: Owner,
    sent_through: Option<u64>,
) -> Arc<Queue> {
    let QueueRecord { id, options, rested: _ } = recovered.record;
    let terms = govern::terms(parts, &options, &owner);
    let queue = Queue::with_terms(id, options, owner, terms);
    queue.join(&parts.vhost.options.pool);
    queue.keep(parts.vhost.options.resident);
    if queue.is_stream() {
        recovered.unread.sort_unstable_by_key(|entry| entry.sequence);
    }
    queue.set_next_sequence(recovered.next_sequence);
    // What was sent before the broker died, nobody knows: so all of it may have been.
    let sent_through = sent_through.unwrap_or(recovered.next_sequence.saturating_sub(1));
    queue.set_sent_through(sent_through);
    for entry in recovered.unread {
        let UnreadEntry { sequence, published_at, expires_at, size_bytes, priority, retain } = entry;
        let was_sent = sequence <= sent_through;
        let brief = Brief { size_bytes, expires_at, published_at, priority, retain, was_sent };
        queue.restore_absent(sequence, brief);
    }
    for entry in recovered.entries {
        let (sequence, item) = durable::journalled(entry);
        queue.restore(sequence, Item { attempts: u32::from(sequence <= sent_through), ..item });
    }
    queue
}
