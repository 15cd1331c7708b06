//! Exchanges, queues and bindings: where they are kept.

use model::change::BindingKey;
use model::name::{ExchangeName, QueueId, QueueName};
use model::queue::{Binding, ExchangeBinding};
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, skip_name, start};
use crate::record::object::put_source;

/// The key of that exchange.
pub(crate) fn exchange_key(salt: u64, name: &ExchangeName) -> Key {
    let name = name.as_str().as_bytes();
    let mut key = start(kind::EXCHANGE, Shard::of(name));
    put_name(&mut key, salt, name);
    key
}

/// The home of a queue, and of its bindings.
pub(crate) fn shard(queue: &QueueName) -> Shard {
    Shard::of(queue.as_str().as_bytes())
}

/// The key of that queue.
pub(crate) fn queue_key(shard: Shard, queue: QueueId) -> Key {
    let mut key = start(kind::QUEUE, shard);
    key.extend_from_slice(&queue.0.to_be_bytes());
    key
}

/// What all bindings of that queue start with.
pub(crate) fn bindings_prefix(shard: Shard, queue: QueueId) -> Key {
    let mut key = start(kind::BINDING, shard);
    key.extend_from_slice(&queue.0.to_be_bytes());
    key
}

/// The key of that binding.
pub(crate) fn binding_key(salt: u64, queue: QueueId, binding: &Binding) -> Key {
    let Binding { exchange, pattern, arguments, queue: name, share, grant: _ } = binding;
    let mut source = Vec::new();
    put_source(&mut source, exchange, pattern, arguments, share.as_ref());
    finish(salt, bindings_prefix(shard(name), queue), exchange, &source)
}

/// The key of the binding that goes by that name.
pub(crate) fn unbinding_key(salt: u64, binding: &BindingKey) -> Key {
    let BindingKey { exchange, pattern, arguments, share, queue, queue_id } = binding;
    let mut source = Vec::new();
    put_source(&mut source, exchange, pattern, arguments, share.as_ref());
    finish(salt, bindings_prefix(shard(queue), *queue_id), exchange, &source)
}

/// Whether that is the key of a binding from that exchange.
pub(crate) fn is_bound_to(salt: u64, key: &[u8], exchange: &ExchangeName) -> bool {
    let mut name = Vec::new();
    put_name(&mut name, salt, exchange.as_str().as_bytes());
    key.get(BINDINGS_PREFIX_BYTES..).is_some_and(|rest| rest.starts_with(&name))
}

/// The key of that binding from one exchange to another.
pub(crate) fn exchange_binding_key(salt: u64, binding: &ExchangeBinding) -> Key {
    let ExchangeBinding { exchange, pattern, arguments, to } = binding;
    let mut source = Vec::new();
    put_source(&mut source, exchange, pattern, arguments, None);
    let mut key = start(kind::EXCHANGE_BINDING, Shard::of(exchange.as_str().as_bytes()));
    put_name(&mut key, salt, exchange.as_str().as_bytes());
    put_name(&mut key, salt, to.as_str().as_bytes());
    put_name(&mut key, salt, &source);
    key
}

/// Whether that is the key of a binding from that exchange to another, or from another to that one.
pub(crate) fn is_at_either_end(salt: u64, key: &[u8], exchange: &ExchangeName) -> bool {
    let mut name = Vec::new();
    put_name(&mut name, salt, exchange.as_str().as_bytes());
    let Some(from) = key.get(EXCHANGE_BINDINGS_PREFIX_BYTES..) else { return false };
    from.starts_with(&name) || skip_name(from).is_some_and(|to| to.starts_with(&name))
}

fn finish(salt: u64, mut key: Key, exchange: &ExchangeName, source: &[u8]) -> Key {
    put_name(&mut key, salt, exchange.as_str().as_bytes());
    put_name(&mut key, salt, source);
    key
}

const BINDINGS_PREFIX_BYTES: usize = 1 + 1 + 8;
const EXCHANGE_BINDINGS_PREFIX_BYTES: usize = 1 + 1;
