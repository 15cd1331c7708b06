//! Keys: every key there is, with its type, its default and its meaning.

use crate::config::keys::acl::ACL;
use crate::config::keys::declared::{BINDING, EXCHANGE, QUEUE};
use crate::config::keys::hooks::HOOK;
use crate::config::keys::limits::{BAN, LIMITS};
use crate::config::keys::listeners::{LISTENER, TLS};
use crate::config::keys::policies::POLICY;
use crate::config::keys::rights::{ACCESS, ADMIN, AUTH, METRICS};
use crate::config::keys::vhosts::VHOST;
use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

pub(crate) mod acl;
mod declared;
mod hooks;
mod limits;
mod listeners;
mod policies;
mod rights;
mod tokens;
mod vhosts;

/// The whole of a configuration, in the order in which it is shown.
pub(crate) const KEYS: &[Key] = &[
    Key::table("node", NODE, "The broker itself."),
    Key::table("log", LOG, "What is written to stderr."),
    Key::table("auth", AUTH, "Who may enter."),
    Key::table("admin", ADMIN, "Who may look after the broker over HTTP."),
    Key::table("metrics", METRICS, "`GET /metrics` at admin listeners, for Prometheus."),
    Key::table("access", ACCESS, "What those who are in may not do, whatever rules say."),
    Key::table("acl", ACL, "Who may do what."),
    Key::tables(
        "hook",
        HOOK,
        "A program of yours that is asked over HTTP what clients may do, and told what they did: see [hooks](hooks.md). Of several, each \
         is asked about what the one before made of it, and the first no stands.",
    ),
    Key::table("durability", DURABILITY, "How what was acknowledged gets to the disk."),
    Key::table("limits", LIMITS, "How much is held at most."),
    Key::table("ban", BAN, "Whom the broker keeps out by itself, for a while; `duetmq ban` does it by hand."),
    Key::table("routing", ROUTING, "What happens between exchanges and queues."),
    Key::table("mqtt", MQTT, "What MQTT clients get."),
    Key::table("stomp", STOMP, "What STOMP clients get."),
    Key::table("events", EVENTS, "What the broker tells of its clients."),
    Key::tables(
        "listener",
        LISTENER,
        "A place where clients come in. Where a file has none: MQTT on 127.0.0.1:1883, STOMP on 127.0.0.1:61613, \
         WebSocket on 127.0.0.1:15674 and 127.0.0.1:15675, admin on 127.0.0.1:15672.",
    ),
    Key::named(
        "tls",
        TLS,
        "A certificate, for listeners that name it: see [security](security.md#tls). `duetmq cert dev` makes one to try it.",
    ),
    Key::tables(
        "vhost",
        VHOST,
        "A virtual host, which is there when the broker has started: see [vhosts](vhosts.md). It is never removed by leaving it out.",
    ),
    Key::tables("exchange", EXCHANGE, "An exchange that is declared at start, if it does not exist."),
    Key::tables("queue", QUEUE, "A queue that is declared at start, if it does not exist."),
    Key::tables(
        "binding",
        BINDING,
        "A line from an exchange to a queue or to another exchange, drawn at start. It is never removed by leaving it out.",
    ),
    Key::tables(
        "policy",
        POLICY,
        "What holds for queues and exchanges by their names: see [policies](policies.md). It holds as long as it stands here; others are set and \
         cleared while the broker runs.",
    ),
];

const NODE: &[Key] = &[
    Key::value(
        "name",
        Type::Name,
        Is("duetmq"),
        "What this broker is called in its banner, its log and its events.",
    ),
    Key::value(
        "data_dir",
        Type::Text,
        Is("duetmq-data"),
        "Where everything that lasts is kept. A relative path starts at the working directory. Under systemd, \
         `STATE_DIRECTORY` is the default. One broker at a time may use it.",
    ),
    Key::value(
        "memory",
        Type::Truth,
        Is("false"),
        "Store nothing: an acknowledgement then means that the broker has the message in memory, and nothing survives \
         the end of the process.",
    ),
    Key::value(
        "dev",
        Type::Truth,
        Is("false"),
        "For development: admin listeners serve the demo pages, which get tokens for any name unless `auth.jwt` has a key, and let \
         `guest` in from this machine.",
    ),
    Key::value(
        "sys_interval",
        Type::Seconds { min: 0, max: 86_400, never: false },
        Is("10s"),
        "How often what has changed is said below `$SYS/broker/`; zero says nothing there.",
    ),
    Key::value(
        "host_names",
        Type::Texts,
        Is(""),
        "The names that a STOMP client may give in `host`, besides `/`, `localhost` and addresses. Add the names under which \
         clients know this broker.",
    ),
];

const LOG: &[Key] = &[
    Key::value(
        "level",
        Type::LogLevel,
        Is("info"),
        "What is written: a level, and others for targets after commas, such as `info,engine=debug`.",
    ),
    Key::value(
        "format",
        Type::OneOf(&["text", "json"]),
        Is("text"),
        "How a line looks. Both have the same keys.",
    ),
];

const DURABILITY: &[Key] = &[
    Key::value(
        "level",
        Type::OneOf(&["disk", "os", "memory"]),
        Is("disk"),
        "What an acknowledged message outlives where neither its queue nor a rule says otherwise: with `disk` a loss of power \
         (`fdatasync` is done), with `os` the end of the process by `kill -9` (it is written), with `memory` nothing. Sessions, \
         subscriptions, exchanges, queues and bindings are always on disk.",
    ),
    Key::tables(
        "rule",
        RULE,
        "What messages with some topics or keys outlive, at most, whatever queue they get into. Of several that match, the most specific \
         one holds, in whatever order they stand: at the first level in which two differ, a word is before `+`, and `+` before `#`.",
    ),
    Key::value(
        "group_max_records",
        Type::Count { min: 1, max: 1_000_000 },
        Is("1024"),
        "The most changes that share one write and one fdatasync.",
    ),
    Key::value(
        "group_max_bytes",
        Type::Size { min: 4096, max: 1 << 30 },
        Is("1MiB"),
        "The most bytes that share one write and one fdatasync; a single larger change is written by itself.",
    ),
    Key::value(
        "dedup_window",
        Type::Duration { min_ms: 1_000, max_ms: 30 * 86_400_000 },
        Is("1h"),
        "How long a publisher's own id of a message (`x-dedup-id`) is remembered: what is sent again under it meanwhile is \
         acknowledged and not routed.",
    ),
    Key::value(
        "dedup_max",
        Type::Count { min: 1, max: 100_000_000 },
        Is("100000"),
        "How many of these ids are remembered of one user; beyond it, the oldest is forgotten before its time.",
    ),
    Key::value(
        "dedup_total_max",
        Type::Count { min: 1, max: 1_000_000_000 },
        Is("1000000"),
        "How many are remembered of all users, at about 200 bytes of memory each. Beyond it, a publish under a new one is \
         refused.",
    ),
];

const RULE: &[Key] = &[
    Key::value(
        "pattern",
        Type::Text,
        Required,
        "Which topics, as an MQTT topic filter; `$exchange/NAME/…` and `$queue/NAME` name exchanges and queues.",
    ),
    Key::value(
        "level",
        Type::OneOf(&["disk", "os", "memory"]),
        Required,
        "What they outlive. A queue that is declared with less has less; a subscription or a message may ask for less (`x-durability`).",
    ),
];

const ROUTING: &[Key] = &[
    Key::value(
        "mqtt_exchange",
        Type::Name,
        Is("amq.topic"),
        "The topic exchange behind plain MQTT topics. Another than `amq.topic` is declared durable at start if it does not exist; one \
         that is no topic exchange, or is not durable, or is auto-delete or internal, ends the start. Topics that start with `$` do \
         not go by it, nor does STOMP's `/topic/`.",
    ),
    Key::value(
        "unroutable_keep",
        Type::Count { min: 0, max: 1_000_000 },
        Is("1000"),
        "How many messages that no queue took are kept in memory with the reason, the last ones, for `duetmq list unroutable`: of each \
         at most 4 KiB of its payload and as much of its headers, of all together at most 16 MiB. Zero keeps none; they are counted \
         all the same.",
    ),
];

const EVENTS: &[Key] = &[Key::value(
    "enabled",
    Type::Truth,
    Is("true"),
    "Whether connections and subscriptions are told under `$events/client/…`, to whoever subscribes there. Where nobody does, \
     nothing is made.",
)];

const MQTT: &[Key] = &[
    Key::value(
        "versions",
        Type::SomeOf(&["3.1", "3.1.1", "5"]),
        Is("3.1,3.1.1,5"),
        "The versions that are let in.",
    ),
    Key::value(
        "connect_timeout",
        Type::Duration { min_ms: 100, max_ms: 3_600_000 },
        Is("10s"),
        "How long a client may take from its first byte to the end of CONNECT.",
    ),
    Key::value(
        "receive_max",
        Type::Count { min: 1, max: 65_535 },
        Is("64"),
        "How many QoS 1 and QoS 2 messages of a 5.0 client may be under way to the broker: its Receive Maximum.",
    ),
    Key::value(
        "inflight_max",
        Type::Count { min: 1, max: 65_535 },
        Is("64"),
        "How many QoS 1 and QoS 2 messages may be under way to a client, however many it offers to take.",
    ),
    Key::value(
        "max_packet",
        Type::Size { min: 128, max: 268_435_460 },
        Is("1MiB"),
        "The largest packet that is read; a larger one ends the connection.",
    ),
    Key::value(
        "topic_alias_max",
        Type::Count { min: 0, max: 65_535 },
        Is("32"),
        "How many topic aliases a 5.0 client may use; zero is none.",
    ),
    Key::value(
        "topic_alias_max_out",
        Type::Count { min: 0, max: 65_535 },
        Is("32"),
        "How many topic aliases are used towards a 5.0 client that takes them; zero is none.",
    ),
    Key::value(
        "overlapping",
        Type::OneOf(&["merge", "each"]),
        Is("merge"),
        "What a session gets of a message that several of its subscriptions match: one message with the highest QoS and all \
         subscription identifiers, or one for each.",
    ),
    Key::value(
        "keep_alive_max",
        Type::Seconds { min: 0, max: 65_535, never: false },
        Is("10m"),
        "The longest keep alive of a 5.0 client; zero is no limit. In 3.x there is `idle_max`.",
    ),
    Key::value(
        "idle_max",
        Type::Seconds { min: 1, max: 31_536_000, never: true },
        Is("never"),
        "How long a client of 3.x may say nothing that asked for no keep alive, or for a longer one than this. Then it is cut off. It          cannot be told, so one that pings less often is cut off as well.",
    ),
    Key::value(
        "session_expiry_max",
        LIFETIME,
        Is("7d"),
        "How long the session of a 5.0 client may outlive its connection at most.",
    ),
    Key::value(
        "session_expiry_v3",
        LIFETIME,
        Is("7d"),
        "How long a session with Clean Session 0 outlives its connection in 3.x.",
    ),
    Key::value(
        "max_topic_levels",
        Type::Count { min: 1, max: 65_536 },
        Is("128"),
        "The most levels of a topic name or a filter.",
    ),
    Key::value(
        "subscriptions_per_packet",
        Type::Count { min: 1, max: 65_535 },
        Is("100"),
        "The most filters in one SUBSCRIBE.",
    ),
    Key::value(
        "vhost_in_username",
        Type::Truth,
        Is("true"),
        "Whether a client may name its virtual host before its user name, the last colon between them: `shop:ann`. Where there is \
         none but `/`, a user name is a user name.",
    ),
    Key::value("max_client_id", Type::Size { min: 23, max: 65_535 }, Is("256B"), "The longest client id."),
    Key::value(
        "redirect",
        Type::OneOf(&["never", "temporary", "permanent", "at_shutdown"]),
        Is("never"),
        "When clients are sent to another server: at CONNECT with 0x9C or 0x9D, or when this one stops, with 0x9C. Clients of \
         3.x cannot be told where to; they get return code 3.",
    ),
    Key::value(
        "server_reference",
        Type::Name,
        Unset("needed where clients are sent away"),
        "Where they are sent: the Server Reference of MQTT 5.0, such as `other.example.org:1883`.",
    )
    .only_where("redirect", AWAY),
];

const AWAY: &[&str] = &["temporary", "permanent", "at_shutdown"];

const STOMP: &[Key] = &[
    Key::value(
        "versions",
        Type::SomeOf(&["1.0", "1.1", "1.2"]),
        Is("1.0,1.1,1.2"),
        "The versions that are spoken.",
    ),
    Key::value(
        "strict",
        Type::Truth,
        Is("false"),
        "Whether SUBSCRIBE and UNSUBSCRIBE need an `id` from 1.1 on, as the specification says. Clients rely on doing without.",
    ),
    Key::value(
        "error_queue",
        Type::Name,
        Is("queue/request-error"),
        "The destination of a session where it hears what is refused to it, without the prefix of sessions: a client that has \
         SUBSCRIBEd to `/session/queue/request-error` is told there, and not by ERROR and the end of its connection.",
    ),
    Key::value(
        "connect_timeout",
        Type::Duration { min_ms: 100, max_ms: 3_600_000 },
        Is("10s"),
        "How long a client may take until it is in, counted from the connection.",
    ),
    Key::value(
        "heart_beat_min",
        Type::Duration { min_ms: 10, max_ms: 3_600_000 },
        Is("1s"),
        "No heart-beat is promised or expected more often than this.",
    ),
    Key::value(
        "heart_beat_tolerance",
        Type::Ratio { min: 1.0, max: 100.0 },
        Is("2.0"),
        "How many intervals of silence are believed to be a slow network.",
    ),
    Key::value(
        "user_prefix",
        Type::Text,
        Is("/user/"),
        "How destinations begin that are for a user: SUBSCRIBE to `/user/queue/x`, SEND to `/user/NAME/queue/x`.",
    ),
    Key::value(
        "session_prefix",
        Type::Text,
        Is("/session/"),
        "How destinations begin that are for one session alone. Renaming the users' to `/session/` means renaming this one \
         too.",
    ),
    Key::value("max_body", Type::Size { min: 0, max: 1 << 30 }, Is("1MiB"), "The largest body of a frame."),
    Key::value(
        "max_login_body",
        Type::Size { min: 0, max: 1 << 30 },
        Is("64KiB"),
        "The largest body of a frame before the client is in.",
    ),
    Key::value("max_headers", Type::Count { min: 1, max: 65_536 }, Is("128"), "The most headers of a frame."),
    Key::value(
        "max_header",
        Type::Size { min: 128, max: 1 << 24 },
        Is("8KiB"),
        "The largest header, name and value.",
    ),
    Key::value(
        "max_head",
        Type::Size { min: 256, max: 1 << 26 },
        Is("32KiB"),
        "The largest head of a frame: all up to the body.",
    ),
    Key::value(
        "temporary_queues",
        Type::Count { min: 0, max: 1_000_000 },
        Is("1000"),
        "How many temporary queues (`/temp-queue/…` in `reply-to`) a connection may have.",
    ),
    Key::value(
        "transactions",
        Type::Count { min: 0, max: 65_536 },
        Is("16"),
        "How many transactions a connection may have open.",
    ),
    Key::value(
        "transaction_frames",
        Type::Count { min: 1, max: 1_000_000 },
        Is("1000"),
        "How many frames one transaction may have.",
    ),
    Key::value(
        "transaction_bytes",
        Type::Size { min: 1024, max: 1 << 30 },
        Is("8MiB"),
        "How much one transaction may hold.",
    ),
    Key::value(
        "transaction_timeout",
        Type::Duration { min_ms: 100, max_ms: 86_400_000 },
        Is("1m"),
        "How long a transaction may stay open.",
    ),
    Key::tables(
        "prefix",
        PREFIX,
        "Destinations that start alike, such as `/sub/chat/room/5`. `/topic/`, `/queue/`, `/amq/queue/` and `/exchange/` are always \
         there.",
    ),
];

const PREFIX: &[Key] = &[
    Key::value("prefix", Type::Text, Required, "How they start: with a slash before and a slash behind, such as `/sub/`."),
    Key::value(
        "kind",
        Type::OneOf(&["topic", "exchange", "queue", "application"]),
        Is("topic"),
        "What follows the prefix: a key of the topic exchange, which is an MQTT topic; a key of the exchange that `exchange` names; the \
         name of a queue; or anything that is for an application: all of it goes to one queue, with the header `x-destination`.",
    ),
    Key::value("exchange", Type::Name, Unset("must be given"), "Which exchange; it must exist when it is used.")
        .only_where("kind", &["exchange"]),
    Key::value("queue", Type::Name, Unset("must be given"), "Which queue; it is made if it does not exist.")
        .only_where("kind", &["application"]),
    Key::value(
        "separator",
        Type::OneOf(&["/", "."]),
        Is("/"),
        "What parts the words: with `/`, `/sub/chat/5` is the MQTT topic `sub/chat/5`; with `.`, `/sub/chat.5` is.",
    )
    .only_where("kind", KEYED),
    Key::value(
        "keep",
        Type::Truth,
        Is("true"),
        "Whether the prefix is part of the key. Without it, `/sub/chat/5` and `/pub/chat/5` are both the MQTT topic `chat/5`.",
    )
    .only_where("kind", KEYED),
];

const KEYED: &[&str] = &["topic", "exchange"];

/// Sessions count their life in 32 bits of seconds, of which the last value is for ever.
const LIFETIME: Type = Type::Seconds { min: 0, max: 4_294_967_294, never: true };
