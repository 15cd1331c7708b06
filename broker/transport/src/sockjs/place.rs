//! Where a request under a SockJS path goes.

use hyper::Method;

/// What a path names, behind that of the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// A greeting for people.
    Greeting,
    /// What the client asks before anything else.
    Info,
    /// The page of the iframe transports.
    Iframe,
    /// A WebSocket without the frames of SockJS.
    RawWebSocket,
    /// A session, by one of its transports.
    Session {
        /// What the client calls it.
        name: &'a str,
        /// How it is reached.
        transport: Transport,
    },
}

/// How a session is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Xhr,
    XhrStreaming,
    XhrSend,
    EventSource,
    HtmlFile,
    Jsonp,
    JsonpSend,
}

impl<'a> Place<'a> {
    /// What `path` names behind `base`; `None` where it is nothing, or elsewhere.
    pub(crate) fn find(base: &str, path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix(base)?;
        if matches!(rest, "" | "/") {
            return Some(Self::Greeting);
        }
        let rest = rest.strip_prefix('/')?;
        match rest {
            "info" => return Some(Self::Info),
            "websocket" => return Some(Self::RawWebSocket),
            _ if is_iframe(rest) => return Some(Self::Iframe),
            _ => {}
        }
        let mut segments = rest.split('/');
        let (server, name, transport) = (segments.next()?, segments.next()?, segments.next()?);
        let is_name = |segment: &str| !segment.is_empty() && !segment.contains('.');
        if segments.next().is_some() || !is_name(server) || !is_name(name) {
            return None;
        }
        Some(Self::Session { name, transport: Transport::named(transport)? })
    }

    /// The methods that it takes.
    pub(crate) const fn methods(self) -> &'static [Method] {
        match self {
            Self::Greeting | Self::Iframe | Self::RawWebSocket => &[Method::GET],
            Self::Info => &[Method::GET, Method::OPTIONS],
            Self::Session { transport, .. } => match transport {
                Transport::WebSocket | Transport::HtmlFile | Transport::Jsonp => &[Method::GET],
                Transport::EventSource => &[Method::GET, Method::OPTIONS],
                Transport::JsonpSend => &[Method::POST],
                Transport::Xhr | Transport::XhrStreaming | Transport::XhrSend => {
                    &[Method::POST, Method::OPTIONS]
                }
            },
        }
    }
}

impl Transport {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "websocket" => Self::WebSocket,
            "xhr" => Self::Xhr,
            "xhr_streaming" => Self::XhrStreaming,
            "xhr_send" => Self::XhrSend,
            "eventsource" => Self::EventSource,
            "htmlfile" => Self::HtmlFile,
            "jsonp" => Self::Jsonp,
            "jsonp_send" => Self::JsonpSend,
            _ => return None,
        })
    }
}

/// `iframe.html`, and with a version in it, so that every version is cached by itself.
fn is_iframe(rest: &str) -> bool {
    let version = rest.strip_prefix("iframe").and_then(|rest| rest.strip_suffix(".html"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    version.is_some_and(|version| version.chars().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_server_a_name_and_a_transport() {
        check("/stomp/000/abc/xhr", Some(Place::Session { name: "abc", transport: Transport::Xhr }));
        check("/stomp/_/_/jsonp", Some(Place::Session { name: "_", transport: Transport::Jsonp }));
        for nothing in
            ["//x/xhr", "/x//xhr", "/a./b/xhr", "/a/b./xhr", "/a/b/c/xhr", "/a/xhr", "/a/b/", "/a/b/c"]
        {
            check(&format!("/stomp{nothing}"), None);
        }
    }

    #[test]
    fn what_is_no_session_has_a_name_of_its_own() {
        check("/stomp", Some(Place::Greeting));
        check("/stomp/", Some(Place::Greeting));
        check("/stomp/info", Some(Place::Info));
        check("/stomp/websocket", Some(Place::RawWebSocket));
        for page in ["iframe.html", "iframe-a.html", "iframe-.html", "iframe-0.1.2abc-dirty.2144.html"] {
            check(&format!("/stomp/{page}"), Some(Place::Iframe));
        }
        for nothing in ["x", "/x", "/iframe", "/IFRAME.HTML", "/iframe.htm", "/iframe-/.html", "//", "/a/"] {
            check(&format!("/stomp{nothing}"), None);
        }
        check("/sto", None);
    }

    #[track_caller]
    fn check(path: &str, expected: Option<Place<'_>>) {
        assert_eq!(Place::find("/stomp", path), expected, "{path}");
    }
}
