//! Whether a request may become a WebSocket (RFC 6455, 4.2).

use hyper::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::http::content::Content;
use crate::http::origins::Origins;
use crate::http::rejection::Rejection;
use crate::http::subprotocol::{Protocol, Subprotocol};

/// What is served on a listener for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// Where WebSockets begin: a path, compared as a whole, and what is spoken if the client names no subprotocol.
    pub upgrades: Vec<(String, Protocol)>,
    /// Whose pages may connect.
    pub origins: Origins,
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
        self.origins.check(&request.headers)?;
        let key = check_key(&request.headers)?;
        let chosen = choose(&request.headers)?;
        Ok(Grant {
            protocol: chosen.map_or(*by_path, |subprotocol| subprotocol.protocol),
            subprotocol: chosen.map(|subprotocol| subprotocol.name),
            accept_key: accept(key),
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
}

impl Grant {
    /// An upgrade by which `protocol` is spoken, whatever the client offers: SockJS has no subprotocols of its own.
    ///
    /// # Errors
    ///
    /// How to refuse it: 405 where it is no GET, 400 where it asks for no WebSocket.
    pub fn without_subprotocol(request: &Parts, protocol: Protocol) -> Result<Self, Rejection> {
        check_upgrade(request).map_err(|rejection| match rejection.status {
            StatusCode::METHOD_NOT_ALLOWED => rejection,
            // As every SockJS server says.
            _ => Rejection { status: StatusCode::BAD_REQUEST, ..rejection },
        })?;
        let key = check_key(&request.headers)?;
        Ok(Self { protocol, subprotocol: None, accept_key: accept(key) })
    }

    /// As [`Self::without_subprotocol`], but the client may choose what is spoken.
    ///
    /// # Errors
    ///
    /// How to refuse it.
    pub fn with_subprotocol(request: &Parts, otherwise: Protocol) -> Result<Self, Rejection> {
        let grant = Self::without_subprotocol(request, otherwise)?;
        let chosen = choose(&request.headers)?;
        Ok(Self {
            protocol: chosen.map_or(otherwise, |subprotocol| subprotocol.protocol),
            subprotocol: chosen.map(|subprotocol| subprotocol.name),
            ..grant
        })
    }

    /// What the client is told.
    pub fn answer(&self) -> Response<Content> {
        let mut response = Response::new(Content::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept_key.clone());
        if let Some(name) = self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        response
    }
}

/// Whether a request asks for a WebSocket, well or badly.
pub fn asks_for_upgrade(request: &Parts) -> bool {
    has_token(&request.headers, &UPGRADE, "websocket")
}

fn accept(key: &[u8]) -> HeaderValue {
    HeaderValue::try_from(derive_accept_key(key)).expect("Base64 is printable")
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

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn a_page_that_may_not_connect_is_refused_by_name() {
        let rejection = routes().decide(&head(&[("origin", "https://evil.example")])).expect_err("refused");
        assert_eq!(rejection.status, StatusCode::FORBIDDEN);
        assert!(rejection.reason.contains("https://evil.example"), "{}", rejection.reason);
        assert!(routes().decide(&head(&[("origin", "https://friend.example")])).is_ok());
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

    fn routes() -> Routes {
        Routes {
            upgrades: vec![("/ws".to_owned(), Protocol::Stomp)],
            origins: Origins::new(vec!["https://friend.example".to_owned()]),
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
