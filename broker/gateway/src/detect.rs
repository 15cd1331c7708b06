//! Which protocol is this?

use transport::stream::LOOK_BYTES_MAX;

use crate::options::Kind;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// CONNECT.
    Mqtt,
    /// CONNECT or STOMP, perhaps behind line ends.
    Stomp,
    /// A request.
    Http,
    /// A TLS handshake.
    Tls,
    /// AMQP's protocol header.
    Amqp,
    /// None of these.
    Unknown,
}

/// What a connection is to be served with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// An MQTT session.
    Mqtt,
    /// A STOMP session.
    Stomp,
    /// HTTP first.
    Http,
}

impl Greeting {
    /// Reads a greeting; `None` if more bytes are needed to tell.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] => None,
            [0x10, ..] => Some(Self::Mqtt),
            // A handshake record of some version 3.
            [0x16] => None,
            [0x16, 0x03, ..] => Some(Self::Tls),
            [b'\r' | b'\n', ..] => {
                // STOMP clients may send heart-beats before they say anything (STOMP 1.2, Heart-beating).
                let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
                match start.and_then(|start| bytes.get(start..)) {
                    None => (bytes.len() >= LOOK_BYTES_MAX).then_some(Self::Stomp),
                    Some(rest) => Self::read_text(rest, &[]),
                }
            }
            _ => Self::read_text(bytes, &OTHERS),
        }
    }

    /// STOMP, or one of the `others`.
    fn read_text(bytes: &[u8], others: &[(&[u8], Self)]) -> Option<Self> {
        let mut texts = STOMP.iter().chain(others);
        if let Some((_, greeting)) = texts.clone().find(|(text, _)| bytes.starts_with(text)) {
            return Some(*greeting);
        }
        let may_become_one = texts.any(|(text, _)| text.starts_with(bytes));
        (!may_become_one).then_some(Self::Unknown)
    }

    /// What to do about it on a listener of this kind. What is unknown is left to the session where there is one: it
    /// refuses in its protocol's words.
    ///
    /// # Errors
    ///
    /// Why nothing is done.
    pub(crate) const fn service(self, kind: &Kind) -> Result<Service, &'static str> {
        match (self, kind) {
            (Self::Tls, _) => {
                Err("a TLS handshake came, but this listener speaks without TLS (listener.tls)")
            }
            (Self::Amqp, _) => Err("AMQP is not spoken here; connect by MQTT or STOMP"),
            (Self::Mqtt, Kind::Mqtt | Kind::Auto(_)) | (Self::Unknown, Kind::Mqtt) => Ok(Service::Mqtt),
            (Self::Stomp, Kind::Stomp | Kind::Auto(_)) | (Self::Unknown, Kind::Stomp) => Ok(Service::Stomp),
            (Self::Http, Kind::Web(_) | Kind::Auto(_)) => Ok(Service::Http),
            (Self::Stomp, Kind::Mqtt) => Err("STOMP came, but this listener is for MQTT"),
            (Self::Mqtt, Kind::Stomp) => Err("MQTT came, but this listener is for STOMP"),
            (Self::Http, Kind::Mqtt) => Err("HTTP came, but this listener is for MQTT without WebSocket"),
            (Self::Http, Kind::Stomp) => Err("HTTP came, but this listener is for STOMP without WebSocket"),
            (Self::Mqtt, Kind::Web(_)) => Err("MQTT came, but this listener is for WebSocket"),
            (Self::Stomp, Kind::Web(_)) => Err("STOMP came, but this listener is for WebSocket"),
            (Self::Unknown, Kind::Web(_) | Kind::Auto(_)) => Err("no protocol that is spoken here"),
        }
    }

    /// What a peer that cannot be served is told, where it or the person behind it can read.
    pub(crate) const fn good_bye(self) -> &'static str {
        match self {
            Self::Http => {
                "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
                 Content-Length: 50\r\n\r\nThis port is for MQTT or STOMP without WebSocket.\n"
            }
            Self::Amqp => "AMQP is not spoken here; connect by MQTT or STOMP.\r\n",
            Self::Stomp => "ERROR\nmessage:this port is not for STOMP\n\n\0",
            Self::Mqtt | Self::Tls | Self::Unknown => "",
        }
    }
}

const STOMP: [(&[u8], Greeting); 4] = [
    (b"CONNECT\n", Greeting::Stomp),
    (b"CONNECT\r", Greeting::Stomp),
    (b"STOMP\n", Greeting::Stomp),
    (b"STOMP\r", Greeting::Stomp),
];

const OTHERS: [(&[u8], Greeting); 10] = [
    (b"GET ", Greeting::Http),
    (b"POST ", Greeting::Http),
    (b"PUT ", Greeting::Http),
    (b"HEAD ", Greeting::Http),
    (b"PATCH ", Greeting::Http),
    (b"TRACE ", Greeting::Http),
    (b"DELETE ", Greeting::Http),
    (b"OPTIONS ", Greeting::Http),
    (b"CONNECT ", Greeting::Http),
    (b"AMQP", Greeting::Amqp),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Web;

    #[test]
    fn the_first_bytes_name_the_protocol() {
        check(b"\x10\x0c\x00\x04MQTT", Some(Greeting::Mqtt));
        check(b"\x10", Some(Greeting::Mqtt));
        check(b"CONNECT\naccept-version:1.2\n", Some(Greeting::Stomp));
        check(b"CONNECT\r\n", Some(Greeting::Stomp));
        check(b"STOMP\n", Some(Greeting::Stomp));
        check(b"\n\r\n\nCONNECT\n", Some(Greeting::Stomp));
        check(b"GET /ws HTTP/1.1\r\n", Some(Greeting::Http));
        check(b"POST / HTTP/1.1\r\n", Some(Greeting::Http));
        check(b"CONNECT a:1 HTTP/1.1\r\n", Some(Greeting::Http));
        check(b"\x16\x03\x01\x02\x00\x01", Some(Greeting::Tls));
        check(b"AMQP\x00\x00\x09\x01", Some(Greeting::Amqp));
        check(b"\x00\x01\x02", Some(Greeting::Unknown));
        check(b"SEND\n", Some(Greeting::Unknown));
        check(b"\nGET / HTTP/1.1", Some(Greeting::Unknown));
        check(b"\x16\x02", Some(Greeting::Unknown));
        check(&[b'\n'; LOOK_BYTES_MAX], Some(Greeting::Stomp));
    }

    #[test]
    fn a_greeting_that_is_cut_short_is_waited_for() {
        let greetings: [&[u8]; 5] =
            [b"CONNECT\n", b"STOMP\r\n", b"OPTIONS * ", b"\x16\x03", b"\r\nCONNECT\n"];
        for greeting in greetings {
            let told = Greeting::read(greeting);
            assert!(told.is_some_and(|told| told != Greeting::Unknown));
            let needed = (0..greeting.len()).find(|end| Greeting::read(&greeting[..*end]).is_some());
            for end in 0..needed.unwrap_or(greeting.len()) {
                check(&greeting[..end], None);
            }
            assert!(needed.is_none_or(|end| Greeting::read(&greeting[..end]) == told));
        }
    }

    #[test]
    fn an_automatic_listener_serves_whatever_is_spoken() {
        let auto = Kind::Auto(Web::default());
        assert_eq!(Greeting::Mqtt.service(&auto), Ok(Service::Mqtt));
        assert_eq!(Greeting::Stomp.service(&auto), Ok(Service::Stomp));
        assert_eq!(Greeting::Http.service(&auto), Ok(Service::Http));
        assert!(Greeting::Unknown.service(&auto).is_err());
    }

    #[test]
    fn the_wrong_door_is_named() {
        let refusal = |greeting: Greeting, kind: &Kind| greeting.service(kind).expect_err("refused");
        assert!(refusal(Greeting::Stomp, &Kind::Mqtt).contains("for MQTT"));
        assert!(refusal(Greeting::Mqtt, &Kind::Stomp).contains("for STOMP"));
        assert!(refusal(Greeting::Mqtt, &Kind::Web(Web::default())).contains("for WebSocket"));
        assert!(refusal(Greeting::Tls, &Kind::Mqtt).contains("TLS"));
        assert!(refusal(Greeting::Amqp, &Kind::Auto(Web::default())).contains("AMQP"));
    }

    #[test]
    fn the_answer_to_http_is_http() {
        let (head, body) = Greeting::Http.good_bye().split_once("\r\n\r\n").expect("head and body");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<Greeting>) {
        assert_eq!(Greeting::read(bytes), expected, "{}", bytes.escape_ascii());
    }
}
