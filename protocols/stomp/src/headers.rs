//! Headers: ordered; the first of a name wins.

use bytestring::ByteString;
use model::principal::bearer;

/// The headers of a frame in their order. Names are case-sensitive and may repeat; then the first counts (STOMP 1.2,
/// "Repeated Header Entries").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(ByteString, ByteString)>);

impl Headers {
    /// None, with room for `count`.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Adds one at the end.
    pub fn push(&mut self, name: impl Into<ByteString>, value: impl Into<ByteString>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of the first header of that name.
    pub fn get(&self, name: &str) -> Option<&ByteString> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the first header of that name says `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "true")
    }

    /// The signed token that a frame carries: `Authorization: Bearer …`, else `X-Auth-Token`; clients write these names as HTTP
    /// has them, in any case.
    pub fn token(&self) -> Option<&str> {
        let named = |name: &'static str| {
            self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
        };
        let plain = || named("x-auth-token").map(str::trim).find(|token| !token.is_empty());
        named("authorization").find_map(bearer).or_else(plain)
    }

    /// Names and values in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, (ByteString, ByteString)> {
        self.0.iter()
    }

    /// How many there are, repeated ones counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a (ByteString, ByteString);
    type IntoIter = std::slice::Iter<'a, (ByteString, ByteString)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<N: Into<ByteString>, V: Into<ByteString>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// The program has the names that nearly all frames have: none of these needs to share the frame.
pub(crate) fn usual_name(name: &str) -> Option<&'static str> {
    USUAL_NAMES.iter().copied().find(|usual| *usual == name)
}

const USUAL_NAMES: [&str; 8] = [
    "destination",
    "content-type",
    "content-length",
    "receipt",
    "id",
    "transaction",
    "persistent",
    "message-id",
];

/// Whether a header of that name carries what nobody else may see: it is neither forwarded nor quoted.
pub fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Clients put tokens into any of these, and not only on CONNECT.
const SECRETS: [&str; 3] = ["passcode", "authorization", "x-auth-token"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_as_clients_write_it() {
        let check = |pairs: &[(&'static str, &'static str)], expected: Option<&str>| {
            assert_eq!(Headers::from_iter(pairs.iter().copied()).token(), expected, "{pairs:?}");
        };
        check(&[("Authorization", "Bearer a.b.c")], Some("a.b.c"));
        check(&[("authorization", "bearer a.b.c"), ("x-auth-token", "d.e.f")], Some("a.b.c"));
        check(&[("authorization", "Basic dTpw"), ("X-Auth-Token", " d.e.f ")], Some("d.e.f"));
        check(&[("authorization", "Basic dTpw"), ("x-auth-token", "")], None);
        check(&[("passcode", "a.b.c")], None);
    }

    #[test]
    fn the_first_of_a_repeated_name_counts() {
        // STOMP 1.2, "Repeated Header Entries"
        let headers = Headers::from_iter([("foo", "World"), ("foo", "Hello"), ("Foo", "x")]);
        assert_eq!(headers.get("foo").unwrap(), "World");
        assert_eq!(headers.get("Foo").unwrap(), "x");
        assert_eq!(headers.get("FOO"), None);
        assert_eq!(headers.len(), 3);
    }
}
