//! Who is at the other end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection, as log lines name it: `192.0.2.7:50112 (websocket)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// What its bytes travel in.
    pub transport: Transport,
    /// Whether that is inside TLS.
    pub is_secure: bool,
}

/// From where a connection came, and how.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Whether it came by TLS.
    pub is_secure: bool,
    /// As whom the certificate names it that it showed there, if it did, and if that says anything.
    pub certificate: Option<Arc<str>>,
}

impl Visitor {
    /// From there, as a connection comes in.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, is_secure: false, certificate: None }
    }

    /// Whose bytes travel like that.
    pub const fn by(&self, transport: Transport) -> Peer {
        Peer { address: self.address, transport, is_secure: self.is_secure }
    }
}

/// What the bytes of a connection travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// As they are.
    Tcp,
    /// As the messages of a WebSocket.
    WebSocket,
    /// As the messages of SockJS.
    SockJs,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::SockJs => "sockjs",
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.transport)
    }
}
