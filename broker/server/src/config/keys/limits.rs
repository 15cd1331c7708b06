//! The keys of how much is held at most, of whom.

use crate::config::schema::Default::{Is, Unset};
use crate::config::schema::{Key, Type};

/// `[limits]`
pub(crate) const LIMITS: &[Key] = &[
    Key::value(
        "connections",
        Type::Count { min: 1, max: 10_000_000 },
        Is("100000"),
        "The most connections at a time, over all listeners. One more is closed at once. Where the system lets the process have \
         fewer open files than this and 256 more, it is the less, and the log says so.",
    ),
    Key::value(
        "connections_per_ip",
        Type::Count { min: 0, max: 10_000_000 },
        Is("1000"),
        "The most connections from one address, of IPv6 from one /64. One more is closed at once; 0 is any number.",
    ),
    Key::value(
        "connections_per_user",
        Type::Count { min: 1, max: 10_000_000 },
        Unset("any number"),
        "The most connections of one user. One more is told: CONNACK 0x97 (3 in MQTT 3.x), or ERROR. Who comes back to a session \
         takes the place of its old connection.",
    ),
    Key::value(
        "connection_rate",
        Type::Count { min: 0, max: 1_000_000 },
        Is("1000"),
        "The most new connections in a second, over all listeners. One more is closed at once; 0 is any number.",
    ),
    Key::value(
        "loopback_free",
        Type::Truth,
        Is("true"),
        "Whether connections from this machine are not counted for `connections_per_ip` and `connection_rate`.",
    ),
    Key::value(
        "publish_rate",
        Type::Count { min: 1, max: 100_000_000 },
        Unset("any number"),
        "How many messages a second one client may publish. Whoever is faster is not read for a while, so that it is as many over time; \
         after a quiet second, as many may come at once.",
    ),
    Key::value(
        "publish_rate_bytes",
        Type::Size { min: 1, max: 1 << 40 },
        Unset("any number"),
        "The same in bytes of payloads.",
    ),
    Key::value(
        "publish_rate_user",
        Type::Count { min: 1, max: 100_000_000 },
        Unset("any number"),
        "How many messages a second all clients of one user may publish together.",
    ),
    Key::value(
        "publish_rate_user_bytes",
        Type::Size { min: 1, max: 1 << 40 },
        Unset("any number"),
        "The same in bytes of payloads.",
    ),
    Key::value(
        "sessions",
        Type::Count { min: 1, max: 1_000_000_000 },
        Is("1000000"),
        "The most MQTT sessions, with a connection or without. Whoever needs a new one beyond it is told: CONNACK 0x97 (3 in MQTT \
         3.x).",
    ),
    Key::value(
        "tls_handshake",
        Type::Duration { min_ms: 100, max_ms: 3_600_000 },
        Is("5s"),
        "How long a client may take from its connection to the end of its TLS handshake.",
    ),
    Key::value(
        "proxy_header",
        Type::Duration { min_ms: 100, max_ms: 3_600_000 },
        Is("5s"),
        "How long a balancer may take from its connection to the end of its PROXY header.",
    ),
    Key::value(
        "sockjs_waiting",
        Type::Size { min: 65536, max: u64::MAX },
        Is("256MiB"),
        "What may wait for the polls of all SockJS clients together. Beyond it, each of them gets it in small steps, and \
         large requests are refused with 503.",
    ),
    Key::value(
        "disk_free",
        Type::Size { min: 0, max: u64::MAX },
        Is("256MiB"),
        "What the disk of the data directory must have left. While there is less, what is published durably waits, and consumers go on; \
         0 never holds anybody.",
    ),
    Key::value(
        "disk_free_percent",
        Type::Count { min: 0, max: 99 },
        Is("5"),
        "The same in percent of the disk; the smaller of both holds.",
    ),
    Key::value(
        "memory_hold",
        Type::Count { min: 0, max: 100 },
        Is("60"),
        "In percent of the memory that the process may take (of the machine, or of its cgroup): beyond it everything that is \
         published waits, and consumers go on; 0 never holds anybody.",
    ),
    Key::value(
        "memory_refuse",
        Type::Count { min: 0, max: 100 },
        Is("75"),
        "The same: beyond it nobody is let in; 0 never keeps anybody out.",
    ),
    Key::value(
        "hold_max",
        Type::Duration { min_ms: 100, max_ms: 3_600_000 },
        Is("5s"),
        "How long what is published waits for disk or memory. After that an MQTT 5.0 client is told 0x97 and a STOMP client gets an \
         ERROR; MQTT 3.x has no word for it, and waits.",
    ),
    Key::value(
        "session_queue_messages",
        Type::Count { min: 1, max: u64::MAX },
        Is("10000"),
        "The most messages that wait for one MQTT session or one STOMP subscription. Beyond it, `session_queue_overflow` \
         holds. A session that exists keeps the limits that it was made with.",
    ),
    Key::value(
        "session_queue_bytes",
        Type::Size { min: 1024, max: u64::MAX },
        Is("64MiB"),
        "The same in bytes of keys and payloads.",
    ),
    Key::value(
        "session_queue_overflow",
        Type::OneOf(&["drop-new", "drop-oldest", "reject-publish"]),
        Is("drop-new"),
        "What happens when it is full: the new message or the oldest one is dropped, for that one alone, and counted; or \
         the publisher of a QoS 1 or QoS 2 message is refused, and nobody gets it.",
    ),
    Key::value(
        "session_queue_age",
        Type::Duration { min_ms: 1, max_ms: u32::MAX as u64 },
        Unset("as long as the message says"),
        "How long a message may wait there.",
    ),
    Key::value(
        "queues",
        Type::Count { min: 0, max: 1_000_000_000 },
        Is("100000"),
        "The most queues with a name: those that clients, commands and the configuration make, and not those of sessions and \
         subscriptions. Whoever wants another one is refused; those of the configuration and of an import are made all the same.",
    ),
    Key::value(
        "queue_messages",
        Type::Count { min: 1, max: u64::MAX },
        Is("1000000"),
        "The most messages that wait in a named queue that has no limit of its own. Beyond it, the publisher is refused.",
    ),
    Key::value(
        "queue_bytes",
        Type::Size { min: 1024, max: u64::MAX },
        Is("1GiB"),
        "The same in bytes of keys and payloads.",
    ),
    Key::value(
        "resident_messages",
        Type::Count { min: 1, max: u64::MAX },
        Is("16384"),
        "How many of the messages that wait in a queue it holds in memory. Of durable ones beyond it only the numbers stay there, and \
         the messages are read back from the disk when their turn comes.",
    ),
    Key::value(
        "resident_bytes",
        Type::Size { min: 1024, max: u64::MAX },
        Is("16MiB"),
        "The same in bytes of keys and payloads.",
    ),
    Key::value(
        "resident_bytes_total",
        Type::Size { min: 1024, max: u64::MAX },
        Unset("an eighth of the memory that the process may take"),
        "How much all queues together hold in memory, in bytes of keys and payloads. Where it is that much, each of them holds one \
         message and what is not durable, and of the rest the numbers.",
    ),
    Key::value(
        "redeliveries",
        Type::Count { min: 0, max: u32::MAX as u64 },
        Is("20"),
        "How often a message may come back to a queue with a dead-letter exchange and no limit of its own, before it goes there; \
         0 is any number. Other queues keep it, and the log complains.",
    ),
    Key::value(
        "subscriptions",
        Type::Count { min: 1, max: 10_000_000 },
        Is("10000"),
        "The most subscriptions of one session.",
    ),
    Key::value(
        "topic_bytes",
        Type::Size { min: 1, max: 65_535 },
        Is("65535B"),
        "The longest topic name and the longest filter of MQTT, and the longest key or pattern of STOMP, which has at most 1024 bytes in          any case.",
    ),
    Key::value(
        "user_properties",
        Type::Count { min: 0, max: 65_535 },
        Is("64"),
        "The most user properties of one MQTT 5.0 packet, or of its will.",
    ),
    Key::value(
        "user_property_bytes",
        Type::Size { min: 16, max: 131_070 },
        Is("8KiB"),
        "The largest user property, name and value.",
    ),
    Key::value(
        "properties_bytes",
        Type::Size { min: 128, max: 268_435_455 },
        Is("65535B"),
        "The most bytes of all properties of one MQTT 5.0 packet, or of its will.",
    ),
    Key::value(
        "retained",
        Type::Count { min: 0, max: 1_000_000_000 },
        Is("1000000"),
        "The most retained messages. Beyond it, a publish that would retain another one is refused.",
    ),
    Key::value(
        "retained_bytes",
        Type::Size { min: 0, max: u64::MAX },
        Is("1GiB"),
        "The same in bytes of keys and payloads.",
    ),
    Key::value(
        "delayed_messages",
        Type::Count { min: 0, max: 1_000_000_000 },
        Is("1000000"),
        "The most messages that wait for their time (`x-delay`). Beyond it, a publish of another one is refused.",
    ),
    Key::value(
        "delayed_bytes",
        Type::Size { min: 0, max: u64::MAX },
        Is("1GiB"),
        "The same in bytes of keys and payloads.",
    ),
];

/// `[ban]`
pub(crate) const BAN: &[Key] = &[
    Key::value(
        "auth_failures",
        Type::Threshold,
        Is("10/1m -> 10m"),
        "An address (of IPv6, a /64) from which so many logins failed within that time is kept out for so long. This machine is not, \
         unless `limits.loopback_free` says so.",
    ),
    Key::value(
        "flapping",
        Type::Threshold,
        Is("off"),
        "A client id under which somebody came in so often within that time is kept out for so long, such as `\"30/1m -> 5m\"`.",
    ),
];
