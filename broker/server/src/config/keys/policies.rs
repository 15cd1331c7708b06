//! The keys of what holds by name

use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

/// `[[policy]]`
pub(crate) const POLICY: &[Key] = &[
    Key::value("name", Type::Name, Required, "Its name."),
    Key::value(
        "pattern",
        Type::Text,
        Required,
        "A regular expression: it holds for names in which this finds something. `^jobs\\.` is for those that begin with `jobs.`, `.*` for \
         all. There is no look-around and there are no backreferences.",
    ),
    Key::value("apply_to", Type::OneOf(&["queues", "exchanges", "all"]), Is("all"), "What it is for."),
    Key::value(
        "priority",
        Type::Count { min: 0, max: i32::MAX as u64 },
        Is("0"),
        "Of all that match a name, the one of the highest priority holds, alone; of equal ones the one whose name comes first.",
    ),
    Key::value(
        "vhost",
        Type::Name,
        Unset("every virtual host"),
        "In this virtual host alone: the name of a `[[vhost]]`, or `/`.",
    ),
    Key::table("definition", DEFINITION, "What holds."),
];

const DEFINITION: &[Key] = &[
    Key::value(
        "max_length",
        Type::Count { min: 0, max: u64::MAX },
        Unset("the queue's"),
        "The most messages that wait in a queue (`max-length`). Of this and what the queue was declared with the smaller one holds.",
    ),
    Key::value(
        "max_length_bytes",
        Type::Size { min: 0, max: u64::MAX },
        Unset("the queue's"),
        "The same in bytes (`max-length-bytes`).",
    ),
    Key::value(
        "max_age",
        Type::Duration { min_ms: 1_000, max_ms: 100 * 365 * 86_400_000 },
        Unset("the stream's"),
        "Of streams: how long a message stays (`max-age`); the shorter time holds.",
    ),
    Key::value(
        "overflow",
        Type::OneOf(&["drop-head", "reject-publish", "reject-publish-dlx", "drop-new"]),
        Unset("`drop-head` with a limit"),
        "What happens when it is full (`overflow`), unless the queue was declared with another word.",
    ),
    Key::value(
        "message_ttl",
        Type::Duration { min_ms: 0, max_ms: u32::MAX as u64 },
        Unset("the queue's"),
        "How long a message may wait (`message-ttl`); the shorter time holds.",
    ),
    Key::value(
        "expires",
        Type::Duration { min_ms: 1, max_ms: u32::MAX as u64 },
        Unset("the queue's"),
        "How long a queue stays that nobody uses (`expires`); the shorter time holds. Queues of MQTT sessions go with these.",
    ),
    Key::value(
        "dead_letter_exchange",
        Type::Text,
        Unset("the queue's"),
        "Where what a queue gives up goes (`dead-letter-exchange`), unless it was declared with a place.",
    ),
    Key::value(
        "dead_letter_routing_key",
        Type::Text,
        Unset("the queue's"),
        "With which key, its words parted by `.` (`dead-letter-routing-key`).",
    ),
    Key::value(
        "delivery_limit",
        Type::Count { min: 0, max: u32::MAX as u64 },
        Unset("the queue's"),
        "How often a message may come back (`delivery-limit`); the smaller number holds.",
    ),
    Key::value(
        "durability",
        Type::OneOf(&["disk", "os", "memory"]),
        Unset("the queue's"),
        "What acknowledged messages outlive, at most: see `durability.level`. It holds for what comes in from then on.",
    ),
    Key::value(
        "alternate_exchange",
        Type::Name,
        Unset("the exchange's"),
        "The exchange that gets what no binding wants (`alternate-exchange`), unless the exchange was declared with one.",
    ),
];
