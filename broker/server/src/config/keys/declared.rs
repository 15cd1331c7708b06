//! Keys of what is declared at start: exchanges, queues, bindings.

use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

pub(crate) const EXCHANGE: &[Key] = &[
    Key::value("name", Type::Name, Required, "Its name. Names that start with `amq.` are the broker's own."),
    Key::value(
        "type",
        Type::OneOf(&["direct", "topic", "fanout", "headers"]),
        Is("direct"),
        "How it picks queues: equal keys, patterns, all of them, or headers.",
    ),
    Key::value("durable", Type::Truth, Is("true"), "Survives a restart."),
    Key::value("auto_delete", Type::Truth, Is("false"), "Goes when the last binding from it goes."),
    Key::value(
        "internal",
        Type::Truth,
        Is("false"),
        "Takes messages from other exchanges and dead letters only: what a client publishes to it is refused.",
    ),
    Key::value(
        "alternate",
        Type::Name,
        Unset("nowhere"),
        "The exchange that gets what no binding of this one wants (`alternate-exchange`).",
    ),
    Key::value(
        "vhost",
        Type::Name,
        Is("/"),
        "The virtual host that it is in: the name of a `[[vhost]]`, or `/`.",
    ),
];

pub(crate) const QUEUE: &[Key] = &[
    Key::value("name", Type::Name, Required, "Its name."),
    Key::value(
        "type",
        Type::OneOf(&["classic", "stream"]),
        Is("classic"),
        "Whether messages are taken from it, or read and stay there for other readers (`x-queue-type`).",
    ),
    Key::value("durable", Type::Truth, Is("true"), "Survives a restart, with its persistent messages."),
    Key::value("auto_delete", Type::Truth, Is("false"), "Goes when its last consumer goes."),
    Key::value(
        "max_length",
        Type::Count { min: 0, max: u64::MAX },
        Unset("limits.queue_messages"),
        "The most messages that wait in it; see `overflow`. With 0 only a consumer who is ready gets one.",
    ),
    Key::value(
        "max_length_bytes",
        Type::Size { min: 0, max: u64::MAX },
        Unset("limits.queue_bytes"),
        "The most bytes of keys and payloads that wait in it.",
    ),
    Key::value(
        "max_age",
        Type::Duration { min_ms: 1_000, max_ms: 100 * 365 * 86_400_000 },
        Unset("as long as there is room"),
        "Of a stream: how long a message stays in it (`x-max-age`).",
    ),
    Key::value(
        "overflow",
        Type::OneOf(&["reject-publish", "drop-head", "reject-publish-dlx"]),
        Unset("`reject-publish`; a stream: `drop-head`"),
        "What happens when it is full: the publisher is refused, or the oldest message goes (`x-overflow`).",
    ),
    Key::value(
        "message_ttl",
        Type::Duration { min_ms: 0, max_ms: u32::MAX as u64 },
        Unset("for ever"),
        "How long a message may wait in it (`x-message-ttl`); a message's own expiry may be sooner.",
    ),
    Key::value(
        "expires",
        Type::Duration { min_ms: 1, max_ms: u32::MAX as u64 },
        Unset("never"),
        "It goes when nobody consumed it, sent to it or declared it for so long (`x-expires`).",
    ),
    Key::value(
        "dead_letter_exchange",
        Type::Text,
        Unset("dropped"),
        "Where messages go that expired, were rejected or were too many (`x-dead-letter-exchange`); `\"\"` is the default \
         exchange.",
    ),
    Key::value(
        "dead_letter_key",
        Type::Text,
        Unset("the message's own"),
        "With which key, its words parted by `.` (`x-dead-letter-routing-key`).",
    ),
    Key::value(
        "max_priority",
        Type::Count { min: 1, max: 255 },
        Unset("no priorities"),
        "The highest priority that counts (`x-max-priority`): waiting messages of a higher one go first.",
    ),
    Key::value(
        "delivery_limit",
        Type::Count { min: 0, max: u32::MAX as u64 },
        Unset("`limits.redeliveries`"),
        "How often a message may come back before it is given up (`x-delivery-limit`).",
    ),
    Key::value(
        "single_active_consumer",
        Type::Truth,
        Is("false"),
        "One consumer takes all, the one that has been there longest; when it leaves, the next (`x-single-active-consumer`).",
    ),
    Key::value(
        "durability",
        Type::OneOf(&["disk", "os", "memory"]),
        Unset("`durability.level`"),
        "What acknowledged messages in it outlive (`x-durability`): see `durability.level`. Rules, subscriptions and messages may \
         lower it.",
    ),
    Key::value(
        "vhost",
        Type::Name,
        Is("/"),
        "The virtual host that it is in: the name of a `[[vhost]]`, or `/`.",
    ),
];

pub(crate) const BINDING: &[Key] = &[
    Key::value(
        "exchange",
        Type::Text,
        Required,
        "From this exchange; `amq.topic` is where MQTT topics live.",
    ),
    Key::value(
        "queue",
        Type::Name,
        Unset("to an exchange"),
        "To this queue. Either this or `to_exchange` must be given.",
    ),
    Key::value(
        "to_exchange",
        Type::Name,
        Unset("to a queue"),
        "To this exchange, which looks where to next by its own bindings.",
    ),
    Key::value(
        "key",
        Type::Text,
        Is(""),
        "For messages with this routing key; on a topic exchange a pattern, `*` for one word and `#` for any number. \
         Words are parted by `.`, as in RabbitMQ: the MQTT topic `room/1` is `room.1` here, and `room/+` is `room.*`.",
    ),
    Key::names(
        "arguments",
        "For messages with these headers, on a headers exchange: `{ x-match = \"all\", format = \"pdf\" }`. `x-match` is \
         `all`, `any`, `all-with-x` or `any-with-x`. A number or a truth value stands for the text that it is written as.",
    ),
    Key::value(
        "present",
        Type::Texts,
        Is(""),
        "More such headers, of which it is only asked that they are there, whatever they say.",
    ),
    Key::value(
        "vhost",
        Type::Name,
        Is("/"),
        "The virtual host that it is in: the name of a `[[vhost]]`, or `/`.",
    ),
];
