//! Retained messages, by exchange and key: where they are kept.

use model::key::RoutingKey;
use model::name::ExchangeName;
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, start};

/// The key of the message that is kept for `key`.
pub(crate) fn key(salt: u64, exchange: &ExchangeName, key: &RoutingKey) -> Key {
    let name = key.as_str().as_bytes();
    let mut out = start(kind::RETAINED, Shard::of(name));
    put_name(&mut out, salt, exchange.as_str().as_bytes());
    put_name(&mut out, salt, name);
    out
}
