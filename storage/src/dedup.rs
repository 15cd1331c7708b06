//! QoS 2 ids that came in and are not released: where they are kept.

use model::name::ClientId;
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, start};

/// The key of one id of that client.
pub(crate) fn key(salt: u64, client: &ClientId, id: u16) -> Key {
    let mut key = prefix(salt, client);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// What all ids of that client start with.
pub(crate) fn prefix(salt: u64, client: &ClientId) -> Key {
    let name = client.as_str().as_bytes();
    let mut key = start(kind::DEDUP, Shard::of(name));
    put_name(&mut key, salt, name);
    key
}
