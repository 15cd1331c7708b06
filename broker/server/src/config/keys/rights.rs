//! The keys of who may enter, and of what is denied to those who are in.

use crate::config::keys::tokens::JWT;
use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

/// `[auth]`
pub(crate) const AUTH: &[Key] = &[
    Key::value(
        "anonymous",
        Type::OneOf(&["loopback", "always", "never"]),
        Is("loopback"),
        "Whether clients without a user name are let in: those of this machine, all, or none. A proxy on this machine \
         makes all its clients look as if they were here: use `never` behind one.",
    ),
    Key::value(
        "guest_loopback",
        Type::Truth,
        Is("true"),
        "Whether the user `guest` with the password `guest` is let in from this machine. From elsewhere it never is. A \
         `guest` of the password file has the password that is there.",
    ),
    Key::table("file", AUTH_FILE, "Users with passwords."),
    Key::table("jwt", JWT, "Signed tokens (JWT, RFC 7519)."),
];

const AUTH_FILE: &[Key] = &[Key::value(
    "path",
    Type::Text,
    Unset("nobody but `guest` has a password"),
    "The password file, written by `duetmq passwd`: a user a line. It must be there, be its owner's alone (mode 0600) and have \
     no line that cannot be read; when it changes it is read again. A relative path starts at the working directory.",
)];

/// `[admin]`
pub(crate) const ADMIN: &[Key] = &[Key::tables(
    "user",
    ADMIN_USER,
    "Somebody who may log in at admin listeners. With `dev` and none of these, `guest` may do everything there, from this machine.",
)];

const ADMIN_USER: &[Key] = &[
    Key::value(
        "name",
        Type::Name,
        Required,
        "A user of the password file, or of whom a signed token speaks.",
    ),
    Key::value(
        "tag",
        Type::OneOf(&admin::Tag::NAMES),
        Required,
        "How much he may do there: look; also declare, delete, publish and take messages out; or also what is about the broker as a \
         whole, which is importing definitions and setting policies.",
    ),
];

/// `[metrics]`
pub(crate) const METRICS: &[Key] = &[
    Key::value(
        "anonymous",
        Type::OneOf(&["loopback", "always", "never"]),
        Is("loopback"),
        "From where they are read without a login: from this machine, from everywhere, or from nowhere. Names of queues are among them.",
    ),
    Key::value(
        "per_object",
        Type::Count { min: 0, max: 100_000 },
        Is("1000"),
        "How many queues have numbers of their own: those that hold most.",
    ),
];

/// `[access]`
pub(crate) const ACCESS: &[Key] = &[Key::tables(
    "deny",
    DENY,
    "Something that is denied; all else is allowed. Whoever publishes it, in a will too, is refused; who subscribes to it, or to a \
     part of it, is refused; and of wider subscriptions, messages like these are left out. A shared subscription is refused \
     where any of it is denied. In 3.x a denied message is acknowledged and goes nowhere.",
)];

const DENY: &[Key] = &[
    Key::value(
        "filter",
        Type::Text,
        Required,
        "Which topics, as an MQTT topic filter; `$exchange/NAME/…` and `$queue/NAME` name exchanges and queues, `$user/NAME/…` and \
         `$session/ID/…` what is for somebody (`+` for everybody).",
    ),
    Key::value(
        "actions",
        Type::SomeOf(&["publish", "subscribe"]),
        Is("publish,subscribe"),
        "What is denied.",
    ),
    Key::value(
        "code",
        Type::Count { min: 0x80, max: 0xA2 },
        Is("135"),
        "The reason code that clients of MQTT 5.0 get; it must be one that PUBACK or SUBACK has, by the actions. 135, or `0x87`, \
         is Not authorized.",
    ),
    Key::value("user", Type::Text, Unset("everybody"), "To this user alone."),
    Key::value("client", Type::Text, Unset("every client"), "To the client of this client id alone."),
    Key::value("vhost", Type::Name, Unset("every vhost"), "In this vhost alone."),
];
