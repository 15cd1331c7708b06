//! The keys of who may do what: in the configuration, and in the file of rules.

use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

/// `[acl]`
pub(crate) const ACL: &[Key] = &[
    Key::value(
        "file",
        Type::Text,
        Unset("no rules but those of `access.deny` and of tokens"),
        "The file of rules, `acl.toml`: see [who may do what](security.md#who-may-do-what). It must be there and be right, or the \
         broker does not start. A relative path starts at the working directory.",
    ),
    Key::value(
        "default",
        Type::OneOf(&["deny", "allow"]),
        Unset("`deny` where there is a file, or `auth.jwt.acl_claim`; else `allow`"),
        "What is neither allowed nor denied by any rule.",
    ),
];

/// All of the file of rules.
pub(crate) const FILE: &[Key] = &[
    Key::tables("group", GROUP, "Users who have a name together."),
    Key::tables(
        "rule",
        RULE,
        "Something that is allowed or denied. The first rule that speaks of something decides.",
    ),
];

const GROUP: &[Key] = &[
    Key::value("name", Type::Name, Required, "What rules call it."),
    Key::value("users", Type::Texts, Required, "Who is in it."),
];

const ACTIONS: Type = Type::SomeOf(&["connect", "publish", "retain", "subscribe", "consume", "configure"]);

const RULE: &[Key] = &[
    Key::value("allow", ACTIONS, Is(""), "What is allowed."),
    Key::value("deny", ACTIONS, Is(""), "What is denied; a rule does one of both."),
    Key::value("topics", Type::Texts, Is(""), "Where. Not said: everywhere."),
    Key::value("users", Type::Texts, Is(""), "To these users. Not said: to all."),
    Key::value("groups", Type::Texts, Is(""), "To those who are in these groups, too."),
    Key::value(
        "vhosts",
        Type::Texts,
        Is(""),
        "In these vhosts; `*` is all. Not said: what it allows in `/` alone, what it denies in all.",
    ),
    Key::value("clients", Type::Texts, Is(""), "To clients that call themselves so. Not said: to all."),
    Key::value(
        "anonymous",
        Type::Truth,
        Is("false"),
        "Only to those without a user name, or only to those with one.",
    ),
    Key::value(
        "code",
        Type::Count { min: 0x80, max: 0xA2 },
        Is("135"),
        "The reason code for clients of MQTT 5.0.",
    ),
];
