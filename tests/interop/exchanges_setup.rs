//! Four exchanges of four kinds with their queues, declared in a configuration.

/// The queues, in the order in which results are compared.
pub(crate) const QUEUES: [&str; 11] = [
    "direct-red",
    "direct-blue",
    "direct-both",
    "topic-one",
    "topic-many",
    "topic-exact",
    "fanout-a",
    "fanout-b",
    "headers-all",
    "headers-any",
    "headers-has",
];

/// As a user writes it.
pub(crate) const CONFIG: &str = r#"
[[exchange]]
name = "t.direct"
type = "direct"

[[exchange]]
name = "t.topic"
type = "topic"

[[exchange]]
name = "t.fanout"
type = "fanout"

[[exchange]]
name = "t.headers"
type = "headers"

[[queue]]
name = "direct-red"
[[queue]]
name = "direct-blue"
[[queue]]
name = "direct-both"
[[queue]]
name = "topic-one"
[[queue]]
name = "topic-many"
[[queue]]
name = "topic-exact"
[[queue]]
name = "fanout-a"
[[queue]]
name = "fanout-b"
[[queue]]
name = "headers-all"
[[queue]]
name = "headers-any"
[[queue]]
name = "headers-has"

[[binding]]
exchange = "t.direct"
queue = "direct-red"
key = "red"
[[binding]]
exchange = "t.direct"
queue = "direct-blue"
key = "blue"
[[binding]]
exchange = "t.direct"
queue = "direct-both"
key = "red"
[[binding]]
exchange = "t.direct"
queue = "direct-both"
key = "blue"

[[binding]]
exchange = "t.topic"
queue = "topic-one"
key = "room.*"
[[binding]]
exchange = "t.topic"
queue = "topic-many"
key = "room.#"
[[binding]]
exchange = "t.topic"
queue = "topic-exact"
key = "room.1"

[[binding]]
exchange = "t.fanout"
queue = "fanout-a"
[[binding]]
exchange = "t.fanout"
queue = "fanout-b"
key = "ignored"

[[binding]]
exchange = "t.headers"
queue = "headers-all"
arguments = { x-match = "all", format = "pdf", kind = "report" }
[[binding]]
exchange = "t.headers"
queue = "headers-any"
arguments = { x-match = "any", format = "pdf", kind = "report" }
[[binding]]
exchange = "t.headers"
queue = "headers-has"
arguments = { format = "한글" }
"#;
