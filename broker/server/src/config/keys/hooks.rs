//! The keys of hooks.

use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

/// `[[hook]]`
pub(crate) const HOOK: &[Key] = &[
    Key::value("name", Type::Name, Unset("its `url`"), "What it is called in the log."),
    Key::value(
        "url",
        Type::Text,
        Required,
        "Where it is: `https://app.example.org/hook`, or `http://127.0.0.1:9000/hook` on this machine or in a private network. A \
         redirect is not followed.",
    ),
    Key::value(
        "ca_file",
        Type::Text,
        Unset("those of the operating system"),
        "Certificates, as PEM, by which the server of `url` is known. Only with `https://`.",
    ),
    Key::value(
        "events",
        Type::SomeOf(&["connect", "subscribe", "publish", "unsubscribe", "disconnect"]),
        Required,
        "What it hears of. It is asked about the first three, and told of the others.",
    ),
    Key::value(
        "destinations",
        Type::Texts,
        Is(""),
        "Messages and subscriptions of these places alone, as MQTT topic filters; `$exchange/NAME/…`, `$queue/NAME` and `$user/NAME/…` \
         name exchanges, queues and users. Empty: of all.",
    ),
    Key::value("users", Type::Texts, Is(""), "What these users do alone. Empty: what all clients do."),
    Key::value(
        "timeout",
        Type::Duration { min_ms: 10, max_ms: 60_000 },
        Is("2s"),
        "How long an answer may take, waiting for a connection included.",
    ),
    Key::value(
        "on_error",
        Type::OneOf(&["deny", "allow"]),
        Is("deny"),
        "What holds where there is no answer, or none that can be used.",
    ),
    Key::value(
        "payload",
        Type::OneOf(&["base64", "text", "none"]),
        Is("base64"),
        "How it gets what messages contain: as Base64; as text, and what is no UTF-8 as Base64; or not at all.",
    ),
    Key::value(
        "headers",
        Type::Texts,
        Is(""),
        "Which headers of the handshake it is shown when a WebSocket or SockJS client comes in, such as `cookie` and `origin`.",
    ),
    Key::value(
        "query",
        Type::Truth,
        Is("false"),
        "Whether it is shown the query of that handshake, in which a token may be.",
    ),
    Key::value(
        "secret",
        Type::Secret,
        Unset("questions are not signed"),
        "A secret of 16 bytes at least that it knows as well: each question is signed with it (HMAC-SHA256), so that it knows who asks. \
         `${NAME}` takes it from the environment.",
    ),
    Key::value(
        "connections",
        Type::Count { min: 1, max: 1024 },
        Is("16"),
        "How many questions may be under way, each on a connection of its own that is kept. Others wait.",
    ),
];
