//! Credentials, Principal, Permissions: who is there, and what he may do.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::key::{KeyPattern, RoutingKey};
use crate::name::{ClientId, ExchangeName, UserName, VhostName};
use crate::reach::Reach;
use crate::rights::{Action, Right, Rights};
use crate::time::WallMs;

/// What a client showed when it connected. The password never appears in a log: there is no `Display`, and `Debug` says
/// only whether there was one.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `user name` in MQTT, `login` in STOMP.
    pub user: Option<ByteString>,
    /// Any bytes in MQTT (5.0, 3.1.3.6), `passcode` in STOMP.
    pub password: Option<Bytes>,
    /// What the client calls itself, if it says so.
    pub client: Option<ClientId>,
    /// Where it comes from; `None` for a socket of this machine that has no address.
    pub address: Option<IpAddr>,
    /// A signed token that it showed beside user and password. It never appears in a log.
    pub token: Option<ByteString>,
    /// The method by which it wants to show who it is; then the password is not looked at.
    pub proof: Option<Proof>,
    /// The HTTP request that it came by, if it came by one. The broker fills it in; a session need not know it.
    pub handshake: Option<Arc<Handshake>>,
    /// As whom the certificate names it that it showed by TLS, once that was verified. The broker fills it in.
    pub certificate: Option<ByteString>,
}

/// The beginning of an authentication in several steps (MQTT 5.0, 3.1.2.11.9). What was said never appears in a log.
#[derive(Clone)]
pub struct Proof {
    /// The name of the method.
    pub method: ByteString,
    /// What the client said first.
    pub data: Option<Bytes>,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof")
            .field("method", &self.method)
            .field("data", &self.data.as_ref().map(|_| "***"))
            .finish()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("client", &self.client)
            .field("address", &self.address)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("proof", &self.proof)
            .field("handshake", &self.handshake)
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// The request by which a WebSocket or SockJS client came in. Cookies and tokens may be in it: `Debug` tells its path and
/// the names of its headers, never a value or the query.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Handshake {
    /// Where it was sent to, as the client wrote it: `/ws`.
    pub path: ByteString,
    /// What came behind the `?`, as the client wrote it.
    pub query: Option<ByteString>,
    /// Names in lower case, each with a value, in the order in which they came; those of one name stand together.
    pub headers: Vec<(ByteString, Bytes)>,
}

impl Handshake {
    /// The first value of a header, by its name in lower case; `None` also where it is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The page that the client is part of, as its browser says: `https://chat.example.org`, or `null`.
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// The value of a cookie (RFC 6265, 4.2.1), without the quotes around it; the first of that name stands.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers.iter().filter(|(key, _)| key == "cookie");
        let pairs =
            lines.filter_map(|(_, line)| std::str::from_utf8(line).ok()).flat_map(|line| line.split(';'));
        let mut found = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name);
        let (_, value) = found.next()?;
        Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
    }
}

/// The token in the value of a header `Authorization` (RFC 6750, 2.1); `None`: it is of another scheme.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Handshake").field("path", &self.path).field("headers", &names).finish_non_exhaustive()
    }
}

/// Who a client turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user; `None` for an anonymous client.
    pub user: Option<UserName>,
}

/// What a principal may do, and until when: a value, asked without waiting. Where nothing is denied, nothing is looked up.
#[derive(Debug, Clone)]
pub struct Permissions {
    /// `None`: everything.
    rights: Option<Arc<Rights>>,
    /// Shared, and for most there is none: every client has these twice, and is to be small.
    circumstances: Option<Arc<Circumstances>>,
}

/// How somebody came to what he may.
#[derive(Debug, Clone, Default)]
struct Circumstances {
    term: Option<Term>,
    basis: Option<Basis>,
    vhosts: Option<Arc<[VhostName]>>,
}

/// What whoever let somebody in remembers of how he came in: it means something to the former alone.
pub type Basis = Arc<dyn Any + Send + Sync>;

/// Until when somebody may do what he may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// What he showed ends then, as it says itself.
    pub expires_at: WallMs,
    /// It is taken until then: clocks differ.
    pub until: WallMs,
}

impl Permissions {
    /// No restriction.
    pub const fn everything() -> Self {
        Self { rights: None, circumstances: None }
    }

    /// As these rules say.
    pub fn by(rights: Rights) -> Self {
        Self { rights: (!rights.are_everything()).then(|| Arc::new(rights)), circumstances: None }
    }

    /// The same, until then.
    #[must_use]
    pub fn for_term(self, term: Term) -> Self {
        self.with(|circumstances| circumstances.term = Some(term))
    }

    /// The same, for that reason.
    #[must_use]
    pub fn because(self, basis: Basis) -> Self {
        self.with(|circumstances| circumstances.basis = Some(basis))
    }

    /// The same, in these vhosts alone. Who asks for none in particular is in the first of them.
    #[must_use]
    pub fn in_vhosts(self, vhosts: Arc<[VhostName]>) -> Self {
        self.with(|circumstances| circumstances.vhosts = Some(vhosts))
    }

    /// The same for whoever came as that one did.
    #[must_use]
    pub fn as_known(self, known: &Self) -> Self {
        Self { circumstances: known.circumstances.clone(), ..self }
    }

    fn with(self, change: impl FnOnce(&mut Circumstances)) -> Self {
        let mut circumstances = self.circumstances.as_deref().cloned().unwrap_or_default();
        change(&mut circumstances);
        Self { circumstances: Some(Arc::new(circumstances)), ..self }
    }

    /// Why he was let in.
    pub fn basis(&self) -> Option<&Basis> {
        self.circumstances.as_ref()?.basis.as_ref()
    }

    /// In which vhosts alone; `None`: in each that lets him in.
    pub fn vhosts(&self) -> Option<&[VhostName]> {
        self.circumstances.as_ref()?.vhosts.as_deref()
    }

    /// Until when; `None`: as long as the client is in.
    pub fn term(&self) -> Option<Term> {
        self.circumstances.as_ref()?.term
    }

    /// The term that is over; `None`: it is not, or there is none.
    pub fn over(&self, now: WallMs) -> Option<Term> {
        self.term().filter(|term| term.until <= now)
    }

    /// The rules, where something of that action may be denied.
    fn about(&self, action: Action) -> Option<&Rights> {
        self.rights.as_deref().filter(|rights| rights.restrict(action))
    }

    /// Whether something of that action may be denied.
    pub fn restrict(&self, action: Action) -> bool {
        self.about(action).is_some()
    }

    /// What keeps him from doing that with this key.
    pub fn keep_from(&self, action: Action, exchange: &ExchangeName, key: &RoutingKey) -> Option<&Right> {
        Some(self.about(action)?.of_key(action, exchange, key)).filter(|right| !right.allows)
    }

    /// What keeps him from what is nowhere, such as to connect.
    pub fn keep_from_all(&self, action: Action) -> Option<&Right> {
        Some(self.about(action)?.of_action(action)).filter(|right| !right.allows)
    }

    /// How much he may do with the keys of that exchange that `pattern` matches.
    pub fn reach(&self, action: Action, exchange: &ExchangeName, pattern: &KeyPattern) -> Reach<'_> {
        self.about(action).map_or(Reach::All, |rights| rights.of_pattern(action, exchange, pattern))
    }

    /// How much he may do with the keys of that exchange, whatever they are.
    pub fn reach_all(&self, action: Action, exchange: &ExchangeName) -> Reach<'_> {
        self.about(action).map_or(Reach::All, |rights| rights.of_exchange(action, exchange))
    }

    /// The rule that decides about that key; `None`: nothing of that action is denied.
    pub fn rule_of(&self, action: Action, exchange: &ExchangeName, key: &RoutingKey) -> Option<&Right> {
        Some(self.about(action)?.of_key(action, exchange, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_wherever_it_stands() {
        let handshake = handshake();
        assert_eq!(handshake.cookie("session"), Some("s3cret"));
        assert_eq!(handshake.cookie("theme"), Some("dark"));
        assert_eq!(handshake.cookie("quoted"), Some("a b"));
        assert_eq!(handshake.cookie("sess"), None);
        assert_eq!(handshake.origin(), Some("https://chat.example.org"));
    }

    #[test]
    fn a_bearer_is_known_by_its_scheme() {
        assert_eq!(bearer("Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(bearer(" bearer   a.b.c "), Some("a.b.c"));
        for other in ["Bearer", "Bearer ", "a.b.c", "Basic dTpw", ""] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_a_handshake_carries_is_never_printed() {
        let credentials = Credentials {
            token: Some("t0ken".into()),
            handshake: Some(Arc::new(handshake())),
            ..Credentials::default()
        };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("/ws") && shown.contains("cookie"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    }

    fn handshake() -> Handshake {
        let header =
            |name, value: &'static str| (ByteString::from_static(name), Bytes::from_static(value.as_bytes()));
        Handshake {
            path: "/ws".into(),
            query: Some("token=t0ken".into()),
            headers: vec![
                header("cookie", "theme=dark; session=s3cret"),
                header("cookie", "quoted=\"a b\";session=other"),
                header("origin", "https://chat.example.org"),
            ],
        }
    }
}
