//! Enough of HTTP/1.1 to upgrade, and to answer.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::http::request::Parts;

use crate::http::subprotocol::Protocol;
use crate::stream::Stream;

pub mod content;

pub mod rejection;

pub mod origins;

pub mod subprotocol;

pub mod upgrade;

/// A connection that is a WebSocket from now on.
#[derive(Debug)]
pub struct Upgraded {
    /// The connection.
    pub stream: Stream,
    /// What of the WebSocket was read along with the request.
    pub early: Bytes,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether the messages are wrapped as SockJS wraps them.
    pub framing: Framing,
    /// The request that asked for it.
    pub handshake: Handshake,
}

/// What the messages of a WebSocket are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The bytes of the protocol.
    Plain,
    /// The frames of SockJS, with the bytes of the protocol as strings in them.
    SockJs {
        /// How often it says that it is alive.
        heart_beat: Duration,
    },
}

/// The request by which a client came in. It is not for the log: cookies and tokens may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Its path, as the client wrote it.
    pub path: String,
    /// What came behind the `?`.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Handshake {
    /// Of a request.
    pub fn new(request: &Parts) -> Self {
        Self {
            path: request.uri.path().to_owned(),
            query: request.uri.query().map(str::to_owned),
            headers: request.headers.clone(),
        }
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("path", &self.path).finish_non_exhaustive()
    }
}
