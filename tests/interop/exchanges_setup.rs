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

/// The queues of [`WAYS`].
pub(crate) const WAYS_QUEUES: &[&str] = &["all", "some", "strict", "lost", "typed", "void"];

/// Exchanges that lead to others: by bindings, in a circle, and as alternates.
pub(crate) const WAYS: &str = r##"
[[exchange]]
name = "w.first"
type = "topic"
[[exchange]]
name = "w.second"
type = "fanout"
[[exchange]]
name = "w.third"
type = "topic"
internal = true
[[binding]]
exchange = "w.first"
to_exchange = "w.second"
key = "#"
[[binding]]
exchange = "w.second"
to_exchange = "w.third"
[[binding]]
exchange = "w.third"
to_exchange = "w.first"
key = "#"

[[queue]]
name = "all"
[[queue]]
name = "some"
[[binding]]
exchange = "w.second"
queue = "all"
[[binding]]
exchange = "w.third"
queue = "all"
key = "#"
[[binding]]
exchange = "w.third"
queue = "some"
key = "a.*"

[[exchange]]
name = "w.to-mqtt"
type = "fanout"
[[binding]]
exchange = "w.to-mqtt"
to_exchange = "amq.topic"

[[exchange]]
name = "w.strict"
alternate = "w.between"
[[exchange]]
name = "w.between"
alternate = "w.lost"
[[exchange]]
name = "w.lost"
type = "fanout"
internal = true
[[queue]]
name = "strict"
[[queue]]
name = "lost"
[[binding]]
exchange = "w.strict"
queue = "strict"
key = "wanted"
[[binding]]
exchange = "w.lost"
queue = "lost"

[[exchange]]
name = "w.to-headers"
type = "fanout"
[[exchange]]
name = "w.headers"
type = "headers"
[[binding]]
exchange = "w.to-headers"
to_exchange = "w.headers"
[[queue]]
name = "typed"
[[queue]]
name = "void"
[[binding]]
exchange = "w.headers"
queue = "typed"
arguments = { n = 1, b = true }
[[binding]]
exchange = "w.headers"
queue = "void"
present = ["v"]
"##;
