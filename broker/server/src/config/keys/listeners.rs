//! The keys of places where clients come in.

use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

/// `[[listener]]`
pub(crate) const LISTENER: &[Key] = &[
    Key::value(
        "protocol",
        Type::OneOf(&["mqtt", "stomp", "web", "auto", "admin"]),
        Required,
        "What is spoken there. `web` is WebSocket with MQTT or STOMP inside; `auto` finds out by the first bytes; `admin` \
         is HTTP for people and programs that look after the broker: see [operations](operations.md).",
    ),
    Key::value(
        "bind",
        Type::Address,
        Required,
        "The address to listen on. `0.0.0.0` is every address of this machine; without an address, `:1883`, it is this \
         machine alone. Port 0 takes any free one.",
    ),
    Key::value("name", Type::Name, Unset("protocol and number, such as mqtt-1"), "What the log calls it."),
    Key::value(
        "tls",
        Type::Name,
        Unset("without TLS"),
        "By TLS, with the certificate of that name: `default` is the one of `[tls.default]`.",
    ),
    Key::value(
        "proxy_protocol",
        Type::Texts,
        Is(""),
        "Balancers before it, such as `10.0.0.0/8` or `192.0.2.7`: each connection begins with a PROXY header, version 1 or 2, that says for \
         whom it is, and from other addresses nobody may come.",
    ),
    Key::value(
        "vhost",
        Type::Name,
        Unset("the one that a client asks for, or `/`"),
        "The virtual host of all clients that come in here: the name of a `[[vhost]]`, or `/`. A client that asks for another one is refused.",
    )
    .only_where("protocol", CLIENTS),
    Key::table("paths", PATHS, "Where WebSockets are opened, and SockJS is served.").only_where("protocol", WEB),
    Key::value(
        "origins",
        Type::Texts,
        Is(""),
        "The pages whose scripts may open WebSockets and SockJS sessions here, such as `https://chat.example.org`, beside \
         those of the same host; `*` is all. Programs that are no browsers send no origin, and are let in.",
    )
    .only_where("protocol", WEB),
    Key::table("sockjs", SOCKJS, "How SockJS is served.").only_where("protocol", WEB),
];

/// `[tls.NAME]`
pub(crate) const TLS: &[Key] = &[
    Key::value(
        "cert",
        Type::Text,
        Required,
        "A file with the certificate of this broker and, behind it, those between it and an authority that clients know; PEM.",
    ),
    Key::value(
        "key",
        Type::Text,
        Required,
        "A file with its private key, without a passphrase, that nobody but its owner may read (`chmod 600`); PEM.",
    ),
    Key::value(
        "client_auth",
        Type::OneOf(&["none", "optional", "required"]),
        Is("none"),
        "Whether clients are asked for a certificate, and whether those without one are turned away.",
    ),
    Key::value(
        "client_ca",
        Type::Text,
        Unset("must be given"),
        "A file with the certificates of the authorities that are believed about clients; PEM.",
    )
    .only_where("client_auth", ASKED),
    Key::value(
        "user_from",
        Type::OneOf(&["cn", "san-dns", "san-email", "san-uri", "none"]),
        Is("cn"),
        "What of its certificate is the user name of a client that says no password: the common name, or the first alternative name of \
         that kind. With `none` it names nobody.",
    )
    .only_where("client_auth", ASKED),
];

const ASKED: &[&str] = &["optional", "required"];

const CLIENTS: &[&str] = &["mqtt", "stomp", "web", "auto"];
const WEB: &[&str] = &["web", "auto"];

const PATHS: &[Key] = &[
    Key::value(
        "ws",
        Type::Path,
        Is("/ws"),
        "Where STOMP is spoken, unless the client's subprotocol says MQTT.",
    ),
    Key::value(
        "mqtt",
        Type::Path,
        Is("/mqtt"),
        "Where MQTT is spoken, unless the client's subprotocol says STOMP.",
    ),
    Key::value(
        "sockjs",
        Type::Paths,
        Is("/stomp"),
        "Where SockJS is served with STOMP in it; none with `[]`. `/websocket` behind it is a plain WebSocket.",
    ),
    Key::value(
        "sockjs_mqtt",
        Type::Paths,
        Is(""),
        "Where SockJS is served with MQTT in it. SockJS carries text, so each message is Base64.",
    ),
];

const SOCKJS: &[Key] = &[
    Key::value(
        "websocket",
        Type::Truth,
        Is("true"),
        "Whether WebSocket is among the transports; without it, clients poll or stream.",
    ),
    Key::value(
        "jsonp",
        Type::Truth,
        Is("true"),
        "Whether JSONP is: polling by scripts, for browsers and proxies that allow nothing else.",
    ),
    Key::value(
        "cookie",
        Type::Truth,
        Is("false"),
        "Answers carry the cookie `JSESSIONID`, by which a balancer in front of several brokers sends a client's requests \
         to one of them.",
    ),
    Key::value(
        "bind_address",
        Type::Truth,
        Is("true"),
        "A session that polls belongs to the address that opened it. To be switched off where a client's requests come by \
         several proxies.",
    ),
    Key::value(
        "client_url",
        Type::Text,
        Is("https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js"),
        "Where the page of the iframe transports loads the client library: an URL, or a path on this host. With `dev`, where \
         it is not set and everything listens on this machine alone, the demo's own copy.",
    ),
    Key::value(
        "heart_beat",
        Type::Duration { min_ms: 100, max_ms: 3_600_000 },
        Is("25s"),
        "How long nothing may be sent before an `h` is, so that proxies keep the connection.",
    ),
    Key::value(
        "disconnect_delay",
        Type::Duration { min_ms: 100, max_ms: 3_600_000 },
        Is("5s"),
        "How long a client may stay away between two polls before its session is over.",
    ),
    Key::value(
        "max_stream",
        Type::Size { min: 1, max: 1 << 40 },
        Is("128KiB"),
        "After so much, an answer that streams is ended and asked for anew, so that browsers can let go of it.",
    ),
    Key::value(
        "max_waiting",
        Type::Size { min: 1024, max: 1 << 30 },
        Is("64KiB"),
        "The most that waits for the next poll of a session; the rest stays in its queue.",
    ),
];
