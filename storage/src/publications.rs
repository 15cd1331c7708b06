//! The ids that publishers gave their messages: where they are kept.

use model::name::{PublicationId, PublisherName};
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, start};

/// The key of one id of that publisher.
pub(crate) fn key(salt: u64, publisher: &PublisherName, id: &PublicationId) -> Key {
    let name = publisher.as_str().as_bytes();
    let mut key = start(kind::PUBLICATION, Shard::of(name));
    put_name(&mut key, salt, name);
    put_name(&mut key, salt, id.as_str().as_bytes());
    key
}
