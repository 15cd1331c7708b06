//! Whether a request may become a WebSocket (RFC 6455, 4.2).

use hyper::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::http::subprotocol::{Protocol, Subprotocol};

/// What is served on a listener for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// Where WebSockets begin: a path, compared as a whole, and what is spoken if the client names no subprotocol.
    pub upgrades: Vec<(String, Protocol)>,
    /// Origins whose pages may connect beside those of the host itself: `https://example.org`, or `*` for all.
    pub origins: Vec<String>,
}

/// An upgrade that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What is spoken from now on.
    pub protocol: Protocol,
    /// The subprotocol to name in the answer, if the client offered any.
    pub subprotocol: Option<&'static str>,
    /// The value of `Sec-WebSocket-Accept`.
    pub accept_key: HeaderValue,
}

/// A request that is refused: the status of the answer, and its text, which is good for the log too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its status.
    pub status: StatusCode,
    /// What was wrong and what would be right, printable.
    pub reason: String,
    /// A header that goes with the status.
    pub header: Option<(HeaderName, &'static str)>,
}

impl Routes {
    /// Decides about a request by its head.
    ///
    /// # Errors
    ///
    /// How to refuse it.
    pub fn decide(&self, request: &Parts) -> Result<Grant, Rejection> {
        let path = request.uri.path();
        let Some((_, by_path)) = self.upgrades.iter().find(|(served, _)| served == path) else {
            return Err(self.no_such_path(path));
        };
        check_upgrade(request)?;
        self.check_origin(&request.headers)?;
        let key = check_key(&request.headers)?;
        let chosen = choose(&request.headers)?;
        Ok(Grant {
            protocol: chosen.map_or(*by_path, |subprotocol| subprotocol.protocol),
            subprotocol: chosen.map(|subprotocol| subprotocol.name),
            accept_key: HeaderValue::try_from(derive_accept_key(key)).expect("Base64 is printable"),
        })
    }

    fn no_such_path(&self, path: &str) -> Rejection {
        let served: Vec<&str> = self.upgrades.iter().map(|(path, _)| path.as_str()).collect();
        let path = path.escape_debug();
        Rejection::new(
            StatusCode::NOT_FOUND,
            format!("nothing is served at {path}; WebSockets are at {}", served.join(", ")),
        )
    }

    /// A page of another site may not use the browser's way into our network (cross-site WebSocket hijacking). Only
    /// browsers send an origin; other clients are not asked for one.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let host = headers.get(HOST).map(|host| host_of(host.as_bytes()));
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.as_bytes();
            let same_host = match (strip_scheme(origin), host) {
                (Some(ours), Some(host)) => host_of(ours).eq_ignore_ascii_case(host),
                (None, _) | (_, None) => false,
            };
            let listed = |entry: &String| entry == "*" || entry.as_bytes().eq_ignore_ascii_case(origin);
            if !same_host && !self.origins.iter().any(listed) {
                return Err(Rejection::new(
                    StatusCode::FORBIDDEN,
                    format!("origin {} is not allowed; list it in origins", origin.escape_ascii()),
                ));
            }
        }
        Ok(())
    }
}

impl Rejection {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}

fn check_upgrade(request: &Parts) -> Result<(), Rejection> {
    if request.method != Method::GET {
        let reason = "a WebSocket begins with GET";
        return Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, reason).with(hyper::header::ALLOW, "GET"));
    }
    let asks = request.version == Version::HTTP_11
        && has_token(&request.headers, &UPGRADE, "websocket")
        && has_token(&request.headers, &CONNECTION, "upgrade");
    if !asks {
        let reason = "this is a WebSocket endpoint; ask for an upgrade to websocket over HTTP/1.1";
        return Err(Rejection::new(StatusCode::UPGRADE_REQUIRED, reason).with(UPGRADE, "websocket"));
    }
    if request.headers.get_all(HOST).iter().count() != 1 {
        return Err(Rejection::new(StatusCode::BAD_REQUEST, "exactly one Host header is needed"));
    }
    Ok(())
}

/// Version and key: a wrong version is told the right one (RFC 6455, 4.4), the key is 16 bytes in Base64 (4.1).
fn check_key(headers: &HeaderMap) -> Result<&[u8], Rejection> {
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        let reason = "only version 13 of the WebSocket protocol is spoken";
        return Err(Rejection::new(StatusCode::UPGRADE_REQUIRED, reason).with(SEC_WEBSOCKET_VERSION, "13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| key.as_bytes());
    key.filter(|key| is_key(key)).ok_or_else(|| {
        Rejection::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in Base64")
    })
}

fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.strip_suffix(b"==").is_some_and(|digits| digits.iter().all(is_base64))
}

/// `None` where the client leaves it to us.
fn choose(headers: &HeaderMap) -> Result<Option<Subprotocol>, Rejection> {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = values.flat_map(|list| list.split(',')).map(str::trim).collect();
    Subprotocol::choose(&offered).map(Some).ok_or_else(|| {
        let spoken = Subprotocol::SPOKEN.map(|subprotocol| subprotocol.name).join(", ");
        let offered = offered.join(", ");
        let reason = format!("none of the subprotocols {offered:?} is spoken; spoken are {spoken}");
        Rejection::new(StatusCode::BAD_REQUEST, reason)
    })
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).any(|entry| entry.trim().eq_ignore_ascii_case(token))
}

fn strip_scheme(origin: &[u8]) -> Option<&[u8]> {
    let end = origin.windows(3).position(|window| window == b"://")?;
    origin.get(end + 3..)
}

/// `host:port` without the port; an IPv6 address keeps its brackets.
fn host_of(authority: &[u8]) -> &[u8] {
    let bracket = authority.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = authority.iter().rposition(|byte| *byte == b':').filter(|colon| *colon > bracket);
    colon.and_then(|colon| authority.get(..colon)).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn a_page_of_the_same_host_may_connect_from_any_port() {
        origin("http://broker.example", Ok(()));
        origin("https://broker.example:8443", Ok(()));
        origin("https://BROKER.example", Ok(()));
    }

    #[test]
    fn a_page_of_another_host_must_be_listed() {
        origin("https://evil.example", Err(StatusCode::FORBIDDEN));
        origin("https://broker.example.evil.example", Err(StatusCode::FORBIDDEN));
        origin("null", Err(StatusCode::FORBIDDEN));
        origin("broker.example", Err(StatusCode::FORBIDDEN));
        origin("https://friend.example", Ok(()));
        origin("http://friend.example", Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn a_star_lists_all_origins() {
        let routes = Routes { origins: vec!["*".to_owned()], ..routes() };
        let request = head(&[("origin", "https://evil.example")]);
        assert!(routes.decide(&request).is_ok());
    }

    #[test]
    fn a_host_is_compared_without_its_port() {
        assert_eq!(host_of(b"a.example"), b"a.example");
        assert_eq!(host_of(b"a.example:80"), b"a.example");
        assert_eq!(host_of(b"[::1]"), b"[::1]");
        assert_eq!(host_of(b"[::1]:80"), b"[::1]");
    }

    #[test]
    fn without_an_offer_the_path_decides() {
        let grant = routes().decide(&head(&[])).map(|grant| (grant.protocol, grant.subprotocol));
        assert_eq!(grant, Ok((Protocol::Stomp, None)));
    }

    #[test]
    fn an_offer_decides_whatever_the_path() {
        let request =
            head(&[("sec-websocket-protocol", "v9, mqtt"), ("sec-websocket-protocol", "v12.stomp")]);
        let grant = routes().decide(&request).map(|grant| (grant.protocol, grant.subprotocol));
        assert_eq!(grant, Ok((Protocol::Mqtt, Some("mqtt"))));
    }

    #[test]
    fn the_key_is_sixteen_bytes_in_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25jZQ="));
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25jZQ!="));
        assert!(!is_key(b""));
    }

    #[track_caller]
    fn origin(origin: &str, expected: Result<(), StatusCode>) {
        let decision = routes().decide(&head(&[("origin", origin)]));
        assert_eq!(decision.map(drop).map_err(|rejection| rejection.status), expected, "{origin}");
    }

    fn routes() -> Routes {
        Routes {
            upgrades: vec![("/ws".to_owned(), Protocol::Stomp)],
            origins: vec!["https://friend.example".to_owned()],
        }
    }

    fn head(more: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/ws?x=y")
            .header("host", "broker.example:8080")
            .header("upgrade", "WebSocket")
            .header("connection", "keep-alive, Upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a valid request").into_parts().0
    }
}
