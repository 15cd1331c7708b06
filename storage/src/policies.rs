//! Policies: where they are kept.

use model::name::PolicyName;
use model::shard::Shard;

use crate::keyspace::{Key, kind, put_name, start};

/// The key of the policy of that name.
pub(crate) fn key(salt: u64, policy: &PolicyName) -> Key {
    let name = policy.as_str().as_bytes();
    let mut key = start(kind::POLICY, Shard::of(name));
    put_name(&mut key, salt, name);
    key
}
