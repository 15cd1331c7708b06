//! The keys of virtual hosts.

use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

/// `[[vhost]]`
pub(crate) const VHOST: &[Key] = &[
    Key::value(
        "name",
        Type::Name,
        Required,
        "Its name, of 64 bytes at most. `/` is the one that is always there.",
    ),
    Key::value(
        "users",
        Type::Texts,
        Is(""),
        "The users who may come in; an empty list is nobody. Not said: whoever the rules of `acl.file` let in.",
    ),
    Key::value(
        "certificates",
        Type::Texts,
        Is(""),
        "The names in certificates of clients who are here, wherever they come in: see [security](security.md#tls).",
    ),
    Key::value(
        "max_connections",
        Type::Count { min: 0, max: u64::MAX },
        Unset("limits.connections"),
        "The most clients that are in at a time.",
    ),
    Key::value(
        "max_queues",
        Type::Count { min: 0, max: u64::MAX },
        Unset("limits.queues"),
        "The most queues that are nobody's own.",
    ),
];
