//! Bans: where they are kept.

use model::ban::Subject;
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, start};

/// The key of the ban of that client, user or address.
pub(crate) fn key(salt: u64, subject: &Subject) -> Key {
    let name = subject.name();
    let mut key = start(kind::BAN, Shard::of(name.as_bytes()));
    put_name(&mut key, salt, subject.kind().as_bytes());
    put_name(&mut key, salt, name.as_bytes());
    key
}
