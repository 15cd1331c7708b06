//! What a change is about: the key of the one object that it puts or deletes.

use model::change::Change;

use crate::keyspace::Key;
use crate::{bans, dedup, policies, publications, retained, sessions, topology};

/// What a change does to the objects that sled keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The object of that key is now like this.
    Put(Key),
    /// The object of that key is gone. Others may go with it.
    Delete(Key),
    /// It is about entries, or about a queue of which only the number is known.
    None,
}

/// What that change is about.
pub(crate) fn of(salt: u64, change: &Change) -> Subject {
    match change {
        Change::Remember { client, id } => Subject::Put(dedup::key(salt, client, *id)),
        Change::Forget { client, id } => Subject::Delete(dedup::key(salt, client, *id)),
        Change::RememberPublication { publisher, id, at: _ } => {
            Subject::Put(publications::key(salt, publisher, id))
        }
        Change::ForgetPublication { publisher, id } => {
            Subject::Delete(publications::key(salt, publisher, id))
        }
        Change::Retain { message, author: _ } => {
            Subject::Put(retained::key(salt, &message.exchange, &message.key))
        }
        Change::Unretain { exchange, key } => Subject::Delete(retained::key(salt, exchange, key)),
        Change::PutSession(session) => Subject::Put(sessions::key(salt, &session.client)),
        Change::DropSession(client) => Subject::Delete(sessions::key(salt, client)),
        Change::PutBan(ban) => Subject::Put(bans::key(salt, &ban.subject)),
        Change::DropBan(subject) => Subject::Delete(bans::key(salt, subject)),
        Change::PutPolicy(policy) => Subject::Put(policies::key(salt, &policy.name)),
        Change::DropPolicy(name) => Subject::Delete(policies::key(salt, name)),
        Change::DeclareExchange(exchange) => Subject::Put(topology::exchange_key(salt, &exchange.name)),
        Change::DeleteExchange(name) => Subject::Delete(topology::exchange_key(salt, name)),
        Change::DeclareQueue(queue) => {
            Subject::Put(topology::queue_key(topology::shard(&queue.options.name), queue.id))
        }
        Change::Bind { queue, binding } => Subject::Put(topology::binding_key(salt, *queue, binding)),
        Change::Unbind(key) => Subject::Delete(topology::unbinding_key(salt, key)),
        Change::BindExchange(binding) => Subject::Put(topology::exchange_binding_key(salt, binding)),
        Change::UnbindExchange(binding) => Subject::Delete(topology::exchange_binding_key(salt, binding)),
        Change::Enqueue { .. } | Change::Receive(_) | Change::Remove(_) | Change::DeleteQueue(_) => {
            Subject::None
        }
    }
}
