//! What a SockJS door offers, and its bounds.

use std::time::Duration;

use crate::http::origins::Origins;
use crate::http::subprotocol::Protocol;

/// A place where SockJS clients come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where it is, without a slash at the end: `/stomp`.
    pub path: String,
    /// What is spoken in it. SockJS carries text: the bytes of MQTT travel as Base64, each message by itself.
    pub protocol: Protocol,
    /// Whose pages may connect.
    pub origins: Origins,
    /// Whether WebSockets are among the transports.
    pub websocket: bool,
    /// Whether JSONP is: polling by `<script>`, for browsers that can do nothing else.
    pub jsonp: bool,
    /// Whether every answer of a session carries the cookie `JSESSIONID`, by which balancers recognise it.
    pub cookie: bool,
    /// Whether a session belongs to the address that opened it. Not to be used where clients come by several proxies.
    pub bind_address: bool,
    /// Where the frame of the iframe transports finds the client library: an URL or a path.
    pub client_url: String,
    /// How long nothing may be sent before an `h` is.
    pub heart_beat: Duration,
    /// How long a session may be without anybody who receives. Closed ones are remembered for as long.
    pub disconnect_delay: Duration,
    /// After how many bytes an answer that streams is ended, so that the browser can let go of it.
    pub stream_bytes: usize,
    /// The most that waits for the next poll of a session, in bytes as they will be sent. One message may go beyond it.
    pub outbound_bytes_max: usize,
    /// The most that a request may send, in bytes.
    pub request_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/stomp".to_owned(),
            protocol: Protocol::Stomp,
            origins: Origins::default(),
            websocket: true,
            jsonp: true,
            cookie: false,
            bind_address: true,
            client_url: CLIENT_URL.to_owned(),
            heart_beat: Duration::from_secs(25),
            disconnect_delay: Duration::from_secs(5),
            stream_bytes: 128 * 1024,
            outbound_bytes_max: 64 * 1024,
            request_bytes_max: 1 << 20,
        }
    }
}

/// Where the project that makes the client library publishes it.
const CLIENT_URL: &str = "https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js";
