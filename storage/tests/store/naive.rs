//! What a changeset means, as plainly as it can be said; and what a store says, in the same form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::change::{Change, Entry};
use model::message::Message;
use model::queue::ExchangeBinding;
use storage::{Recovered, RecoveredEntry, RecoveredPublication, RecoveredRetained};

/// The state that changes add up to.
#[derive(Debug, Default)]
pub(crate) struct Naive {
    exchanges: BTreeMap<String, String>,
    queues: BTreeMap<u64, Queue>,
    bindings: BTreeMap<(u64, String, String), String>,
    exchange_bindings: BTreeMap<(String, String, String), String>,
    sessions: BTreeMap<String, String>,
    unreleased: BTreeSet<(String, u16)>,
    retained: BTreeMap<(String, String), String>,
    publications: BTreeMap<(String, String), u64>,
    bans: BTreeMap<String, String>,
    policies: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Queue {
    record: String,
    next: u64,
    entries: BTreeMap<u64, (Arc<Message>, Entry, bool)>,
}

impl Naive {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Enqueue { message, entries } => {
                for entry in entries {
                    if let Some(queue) = self.queues.get_mut(&entry.place.queue.0) {
                        queue.next = queue.next.max(entry.place.sequence + 1);
                        queue
                            .entries
                            .insert(entry.place.sequence, (Arc::clone(message), entry.clone(), false));
                    }
                }
            }
            Change::Receive(place) => {
                let queue = self.queues.get_mut(&place.queue.0);
                if let Some(entry) = queue.and_then(|queue| queue.entries.get_mut(&place.sequence)) {
                    entry.2 = true;
                }
            }
            Change::Remove(place) => {
                if let Some(queue) = self.queues.get_mut(&place.queue.0) {
                    queue.entries.remove(&place.sequence);
                }
            }
            Change::Remember { client, id } => {
                self.unreleased.insert((client.to_string(), *id));
            }
            Change::Forget { client, id } => {
                self.unreleased.remove(&(client.to_string(), *id));
            }
            Change::RememberPublication { .. } | Change::ForgetPublication { .. } => self.publish(change),
            Change::Retain { message, author } => {
                let key = (message.exchange.to_string(), message.key.to_string());
                self.retained.insert(key, format!("{message:?} by {author:?}"));
            }
            Change::Unretain { exchange, key } => {
                self.retained.remove(&(exchange.to_string(), key.to_string()));
            }
            Change::PutSession(session) => {
                self.sessions.insert(session.client.to_string(), format!("{session:?}"));
            }
            Change::DropSession(client) => {
                self.sessions.remove(client.as_str());
                self.unreleased.retain(|(owner, _)| owner != client.as_str());
            }
            Change::PutBan(_) | Change::DropBan(_) => self.ban(change),
            Change::PutPolicy(_) | Change::DropPolicy(_) => self.govern(change),
            Change::DeclareExchange(exchange) => {
                self.exchanges.insert(exchange.name.to_string(), format!("{exchange:?}"));
            }
            Change::DeleteExchange(name) => {
                self.exchanges.remove(name.as_str());
                self.bindings.retain(|(_, exchange, _), _| exchange != name.as_str());
                self.exchange_bindings
                    .retain(|(from, to, _), _| from != name.as_str() && to != name.as_str());
            }
            Change::DeclareQueue(queue) => {
                let record = format!("{queue:?}");
                let new = || Queue { record: String::new(), next: 1, entries: BTreeMap::new() };
                self.queues.entry(queue.id.0).or_insert_with(new).record = record;
            }
            Change::DeleteQueue(id) => {
                self.queues.remove(&id.0);
                self.bindings.retain(|(queue, _, _), _| *queue != id.0);
            }
            Change::Bind { .. } | Change::Unbind(_) | Change::BindExchange(_) | Change::UnbindExchange(_) => {
                self.bind(change)
            }
        }
    }

    fn bind(&mut self, change: &Change) {
        match change {
            Change::Bind { queue, binding } => {
                if self.queues.contains_key(&queue.0) {
                    let key = (queue.0, binding.exchange.to_string(), binding.pattern.to_string());
                    self.bindings.insert(key, format!("{binding:?}"));
                }
            }
            Change::Unbind(key) => {
                let key = (key.queue_id.0, key.exchange.to_string(), key.pattern.to_string());
                self.bindings.remove(&key);
            }
            Change::BindExchange(binding) => {
                self.exchange_bindings.insert(ends_and_key(binding), format!("{binding:?}"));
            }
            Change::UnbindExchange(binding) => {
                self.exchange_bindings.remove(&ends_and_key(binding));
            }
            Change::Enqueue { .. }
            | Change::Receive(_)
            | Change::Remove(_)
            | Change::Remember { .. }
            | Change::Forget { .. }
            | Change::RememberPublication { .. }
            | Change::ForgetPublication { .. }
            | Change::Retain { .. }
            | Change::Unretain { .. }
            | Change::PutSession(_)
            | Change::DropSession(_)
            | Change::PutBan(_)
            | Change::DropBan(_)
            | Change::PutPolicy(_)
            | Change::DropPolicy(_)
            | Change::DeclareExchange(_)
            | Change::DeleteExchange(_)
            | Change::DeclareQueue(_)
            | Change::DeleteQueue(_) => {}
        }
    }

    fn ban(&mut self, change: &Change) {
        if let Change::PutBan(ban) = change {
            self.bans.insert(ban.subject.to_string(), format!("{ban:?}"));
        }
        if let Change::DropBan(subject) = change {
            self.bans.remove(&subject.to_string());
        }
    }

    fn govern(&mut self, change: &Change) {
        if let Change::PutPolicy(policy) = change {
            self.policies.insert(policy.name.to_string(), format!("{policy:?}"));
        }
        if let Change::DropPolicy(name) = change {
            self.policies.remove(name.as_str());
        }
    }

    fn publish(&mut self, change: &Change) {
        if let Change::RememberPublication { publisher, id, at } = change {
            self.publications.insert((publisher.to_string(), id.to_string()), at.0);
        }
        if let Change::ForgetPublication { publisher, id } = change {
            self.publications.remove(&(publisher.to_string(), id.to_string()));
        }
    }

    /// All of it, in an order that says nothing.
    pub(crate) fn picture(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.exchanges.values().cloned());
        for queue in self.queues.values() {
            lines.push(format!("{} next {}", queue.record, queue.next));
            for (sequence, (message, entry, received)) in &queue.entries {
                let entry = RecoveredEntry {
                    sequence: *sequence,
                    message: Arc::clone(message),
                    qos: entry.qos,
                    retain: entry.retain,
                    subscription_ids: entry.subscription_ids.clone(),
                    author: entry.author.clone(),
                    received: *received,
                };
                lines.push(format!("{} has {entry:?}", queue.record));
            }
        }
        for ((queue, _, _), binding) in &self.bindings {
            lines.push(format!("{queue} bound by {binding}"));
        }
        lines.extend(self.exchange_bindings.values().cloned());
        for (client, session) in &self.sessions {
            let ids: Vec<u16> =
                self.unreleased.iter().filter(|(owner, _)| owner == client).map(|(_, id)| *id).collect();
            lines.push(format!("{session} unreleased {ids:?}"));
        }
        lines.extend(self.retained.values().cloned());
        lines.extend(self.bans.values().cloned());
        lines.extend(self.policies.values().cloned());
        for ((publisher, id), at) in &self.publications {
            lines.push(format!("{publisher} sent {id} at {at}"));
        }
        lines.sort();
        lines
    }
}

/// What was recovered, in the same form.
pub(crate) fn picture(recovered: &Recovered) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(recovered.exchanges.iter().map(|exchange| format!("{exchange:?}")));
    for queue in &recovered.queues {
        lines.push(format!("{:?} next {}", queue.record, queue.next_sequence));
        assert!(queue.entries.is_sorted_by_key(|entry| entry.sequence));
        for entry in &queue.entries {
            lines.push(format!("{:?} has {entry:?}", queue.record));
        }
    }
    for (queue, binding) in &recovered.bindings {
        lines.push(format!("{} bound by {binding:?}", queue.0));
    }
    lines.extend(recovered.exchange_bindings.iter().map(|binding| format!("{binding:?}")));
    for session in &recovered.sessions {
        lines.push(format!("{:?} unreleased {:?}", session.record, session.unreleased));
    }
    let by = |RecoveredRetained { message, author }: &RecoveredRetained| format!("{message:?} by {author:?}");
    lines.extend(recovered.retained.iter().map(by));
    lines.extend(recovered.bans.iter().map(|ban| format!("{ban:?}")));
    lines.extend(recovered.policies.iter().map(|policy| format!("{policy:?}")));
    assert!(recovered.publications.is_sorted_by_key(|publication| publication.at));
    for RecoveredPublication { publisher, id, at } in &recovered.publications {
        lines.push(format!("{publisher} sent {id} at {}", at.0));
    }
    lines.sort();
    lines
}

fn ends_and_key(binding: &ExchangeBinding) -> (String, String, String) {
    (binding.exchange.to_string(), binding.to.to_string(), binding.pattern.to_string())
}
