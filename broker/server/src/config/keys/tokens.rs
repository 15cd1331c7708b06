//! The keys of signed tokens.

use crate::config::schema::Default::{Is, Required, Unset};
use crate::config::schema::{Key, Type};

/// `[auth.jwt]`
pub(crate) const JWT: &[Key] = &[
    Key::value(
        "issuer",
        Type::Texts,
        Is(""),
        "Whose tokens are taken: `iss` must be one of these. Needed where a key is not a shared secret.",
    ),
    Key::value(
        "audience",
        Type::Texts,
        Is(""),
        "Whom they are for: `aud` must have one of these. Needed where a key is not a shared secret; where it is not set, a token \
         with `aud` is refused, for it is for somebody else.",
    ),
    Key::value(
        "user_claim",
        Type::Name,
        Is("sub"),
        "The claim that names the user: a text, or a whole number.",
    ),
    Key::value(
        "acl_claim",
        Type::Name,
        Unset("tokens bring no rules"),
        "The claim that has rules for whoever shows the token: a list such as `[{\"allow\": [\"publish\"], \"topics\": [\"a/%u/#\"]}]`. They \
         come behind those of `acl.file`; a token whose claim cannot be read is refused.",
    ),
    Key::value(
        "vhost_claim",
        Type::Name,
        Unset("tokens say nothing of virtual hosts"),
        "The claim that names the [virtual hosts](vhosts.md) that whoever shows the token may be in: a text, or a list of 1 to 64. Who asks \
         for none is in the first of them. A token without the claim is as before, unless `required` names it too; one whose claim \
         cannot be read is refused.",
    ),
    Key::value(
        "required",
        Type::Texts,
        Is(""),
        "Claims that must be there, whatever they say. `exp` always must.",
    ),
    Key::value(
        "leeway",
        Type::Seconds { min: 0, max: 600, never: false },
        Is("30s"),
        "How far clocks may differ: so much longer than `exp` a token is taken, and so much earlier than `nbf`.",
    ),
    Key::value(
        "grace",
        Type::Duration { min_ms: 0, max_ms: 86_400_000 },
        Is("5s"),
        "How long a client may stay after that whose token has expired. It may show a newer one, and do nothing else.",
    ),
    Key::value(
        "cookie",
        Type::Name,
        Unset("cookies are not looked at"),
        "The cookie that has the token of a WebSocket or SockJS client which shows none, and no user name.",
    ),
    Key::tables(
        "key",
        KEY,
        "A key that tokens are signed with: `secret`, `secret_file`, `public_key` or `public_key_file`, one of them.",
    ),
    Key::tables("jwks", JWKS, "A list of public keys (RFC 7517), in a `file` or at a `url`."),
];

const KEY: &[Key] = &[
    Key::value(
        "id",
        Type::Name,
        Unset("for all tokens of its algorithm"),
        "Only for tokens whose `kid` is this.",
    ),
    Key::value(
        "algorithm",
        Type::OneOf(&[
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
            "ES384", "EdDSA",
        ]),
        Required,
        "The one algorithm that this key is for, whatever a token says.",
    ),
    Key::value(
        "secret",
        Type::Secret,
        Unset("see the others"),
        "A shared secret, for HS256 and its like: at least as long as the hash (32, 48, 64 bytes). `${NAME}` takes it from the \
         environment.",
    ),
    Key::value(
        "secret_file",
        Type::Text,
        Unset("see the others"),
        "A file with nothing in it but the secret (a line break at its end does not count). It must be its owner's alone (mode \
         0600).",
    ),
    Key::value(
        "encoding",
        Type::OneOf(&["text", "base64", "hex"]),
        Is("text"),
        "How the secret is written down. Java's jjwt takes texts for Base64.",
    ),
    Key::value(
        "public_key",
        Type::Text,
        Unset("see the others"),
        "A public key as PEM (`-----BEGIN PUBLIC KEY-----`), for all other algorithms.",
    ),
    Key::value("public_key_file", Type::Text, Unset("see the others"), "A file with such a key."),
];

const JWKS: &[Key] = &[
    Key::value(
        "algorithms",
        Type::SomeOf(&["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]),
        Required,
        "The algorithms that are taken. A key that names one is for that one; of those that name none, each is for the only one \
         here that fits it.",
    ),
    Key::value("file", Type::Text, Unset("it is on a server"), "The file; when it changes it is read again."),
    Key::value(
        "url",
        Type::Text,
        Unset("it is in a file"),
        "The address, `https://…`; `http://` is for this machine alone. Redirects are not followed.",
    ),
    Key::value(
        "ca_file",
        Type::Text,
        Unset("those of the operating system"),
        "Certificates, as PEM, by which the server of `url` is known.",
    ),
    Key::value(
        "refresh",
        Type::Duration { min_ms: 1_000, max_ms: 7 * 86_400_000 },
        Is("5m"),
        "How often it is fetched from `url`. It is fetched at start, too, and when a token names a key that is not in it, every 5 s at \
         most. While the server does not answer, the keys of before hold.",
    ),
];
