//! Where a broker is, and what it speaks there.

use std::fmt;

use mqtt::version::Version;

use crate::failure::Failure;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// MQTT, in this version.
    Mqtt(Version),
    /// STOMP, in the highest version that both know.
    Stomp,
}

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or a number; IPv6 without brackets.
    pub(crate) host: String,
    /// TCP.
    pub(crate) port: u16,
    /// The path of a WebSocket; `None`: the connection itself.
    pub(crate) websocket: Option<String>,
    /// Whether it is by TLS.
    pub(crate) is_secure: bool,
}

impl Address {
    /// `host:port`, as URLs write it.
    pub(crate) fn authority(&self) -> String {
        let bracketed = self.host.contains(':');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.websocket, self.is_secure) {
            (None, false) => f.write_str(&self.authority()),
            (None, true) => write!(f, "{} by TLS", self.authority()),
            (Some(path), false) => write!(f, "ws://{}{path}", self.authority()),
            (Some(path), true) => write!(f, "wss://{}{path}", self.authority()),
        }
    }
}

/// An address as it was written, before it is known what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// What kind of place it names.
    pub(crate) scheme: Scheme,
    /// Whether it is by TLS.
    pub(crate) is_secure: bool,
    host: String,
    port: Option<u16>,
    path: String,
    /// `user:password@`, with percent-escapes resolved.
    pub(crate) user: Option<String>,
    /// See `user`.
    pub(crate) password: Option<String>,
}

/// The part before `://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `mqtt://`, also `tcp://`; `mqtts://`, also `ssl://`.
    Mqtt,
    /// `stomp://`, `stomps://`, also `stomp+tls://`.
    Stomp,
    /// `ws://`, `wss://`: either.
    WebSocket,
}

impl Url {
    /// Reads `mqtt://host:1883`, `stomp://host:61613`, `ws://host:15675/mqtt`, or by TLS `mqtts://host:8883`,
    /// `stomps://host:61614`, `wss://host:15676/mqtt`; without a scheme, `mqtt://` is meant, and
    /// without a port, the usual one.
    ///
    /// # Errors
    ///
    /// Says which part makes no sense.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| Failure::usage(format!("{:?} is no address: {why}", without_password(text)));
        let (scheme, rest) = text.split_once("://").unwrap_or(("mqtt", text));
        let (scheme, is_secure) = match scheme {
            "mqtt" | "tcp" => (Scheme::Mqtt, false),
            "stomp" => (Scheme::Stomp, false),
            "ws" => (Scheme::WebSocket, false),
            "mqtts" | "mqtt+tls" | "ssl" | "tls" => (Scheme::Mqtt, true),
            "stomps" | "stomp+tls" | "stomp+ssl" => (Scheme::Stomp, true),
            "wss" | "ws+tls" => (Scheme::WebSocket, true),
            _ => {
                return Err(bad(
                    "it begins with mqtt://, stomp:// or ws://, or by TLS with mqtts://, stomps:// or wss://",
                ));
            }
        };
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if scheme != Scheme::WebSocket && !matches!(path, "" | "/") {
            return Err(bad("only ws:// and wss:// have a path; name the topic with -t"));
        }
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place).ok_or_else(|| bad("the port is a number up to 65535"))?;
        if host.is_empty() {
            return Err(bad("the host is missing"));
        }
        let (user, password) = match credentials.map(|both| both.split_once(':').unwrap_or((both, ""))) {
            None => (None, None),
            Some((user, password)) => {
                let decode =
                    |text| percent_decode(text).ok_or_else(|| bad("a %-escape is not two hex digits"));
                (Some(decode(user)?), Some(decode(password)?).filter(|password| !password.is_empty()))
            }
        };
        Ok(Self { scheme, is_secure, host: host.into(), port, path: path.into(), user, password })
    }

    /// The place, now that it is known what is spoken there.
    pub(crate) fn resolve(&self, protocol: Protocol) -> Address {
        let is_websocket = self.scheme == Scheme::WebSocket;
        let (port, path) = match (protocol, is_websocket, self.is_secure) {
            (Protocol::Mqtt(_), false, false) => (1883, "/"),
            (Protocol::Mqtt(_), false, true) => (8883, "/"),
            (Protocol::Mqtt(_), true, false) => (15675, "/mqtt"),
            (Protocol::Mqtt(_), true, true) => (15676, "/mqtt"),
            (Protocol::Stomp, false, false) => (61613, "/"),
            (Protocol::Stomp, false, true) => (61614, "/"),
            (Protocol::Stomp, true, false) => (15674, "/ws"),
            (Protocol::Stomp, true, true) => (15673, "/ws"),
        };
        let path = if self.path.is_empty() { path } else { &self.path };
        Address {
            host: self.host.clone(),
            port: self.port.unwrap_or(port),
            websocket: is_websocket.then(|| path.to_owned()),
            is_secure: self.is_secure,
        }
    }
}

/// `None` where the port is none.
fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some((host, rest)) = place.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port)))
    };
    match port {
        None => Some((host, None)),
        Some(port) => port.parse().ok().map(|port| (host, Some(port))),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let digit = |digit: Option<&u8>| char::from(*digit?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// For messages on a screen that others may see.
fn without_password(text: &str) -> String {
    match (text.find("://").map_or(0, |at| at + 3), text.rfind('@')) {
        (start, Some(at)) if start <= at => {
            let (scheme, rest) = text.split_at(start);
            let user = rest.split([':', '@']).next().unwrap_or_default();
            format!("{scheme}{user}{}", text.split_at(at).1)
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MQTT: Protocol = Protocol::Mqtt(Version::V5);

    #[test]
    fn each_scheme_has_its_usual_port_and_path() {
        check("mqtt://localhost", MQTT, "localhost:1883");
        check("localhost", MQTT, "localhost:1883");
        check("127.0.0.1:1884", MQTT, "127.0.0.1:1884");
        check("mqtt://[::1]:1885/", MQTT, "[::1]:1885");
        check("mqtt://[::1]", MQTT, "[::1]:1883");
        check("stomp://h", Protocol::Stomp, "h:61613");
        check("ws://h", MQTT, "ws://h:15675/mqtt");
        check("ws://h", Protocol::Stomp, "ws://h:15674/ws");
        check("ws://h:80/a/b", Protocol::Stomp, "ws://h:80/a/b");
        check("mqtts://h", MQTT, "h:8883 by TLS");
        check("ssl://h:1", MQTT, "h:1 by TLS");
        check("stomp+tls://[::1]", Protocol::Stomp, "[::1]:61614 by TLS");
        check("wss://h", MQTT, "wss://h:15676/mqtt");
        check("wss://h", Protocol::Stomp, "wss://h:15673/ws");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, why) in [
            ("http://h", "begins with"),
            ("mqtts://h/a", "-t"),
            ("mqtt://h/a", "-t"),
            ("mqtt://h:x", "port"),
            ("mqtt://h:70000", "port"),
            ("mqtt://", "host"),
            ("mqtt://a%2@h", "%-escape"),
        ] {
            let failure = Url::parse(text).expect_err(text);
            assert!(failure.text.contains(why), "{failure}");
        }
    }

    #[test]
    fn credentials_may_stand_in_front_and_are_never_repeated() {
        let url = Url::parse("mqtt://ann:p%40ss@h").expect("an address");
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("ann"), Some("p@ss")));
        let failure = Url::parse("mqtt://ann:secret@h:x").expect_err("a bad port");
        assert!(!failure.text.contains("secret") && failure.text.contains("mqtt://ann@h:x"), "{failure}");
    }

    #[track_caller]
    fn check(text: &str, protocol: Protocol, expected: &str) {
        assert_eq!(Url::parse(text).expect(text).resolve(protocol).to_string(), expected);
    }
}
