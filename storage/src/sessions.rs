//! Sessions, with their wills: where they are kept.

use model::name::ClientId;
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, start};

/// The key of that client's session.
pub(crate) fn key(salt: u64, client: &ClientId) -> Key {
    let name = client.as_str().as_bytes();
    let mut key = start(kind::SESSION, Shard::of(name));
    put_name(&mut key, salt, name);
    key
}
