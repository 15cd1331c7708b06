//! What the gateway is told: where to listen, for what, and for how many.

use std::net::SocketAddr;
use std::sync::Arc;

use model::name::VhostName;
use transport::proxy_protocol::Proxies;
use transport::sockjs::options::Options as SockJsOptions;
use transport::tls::{Purpose, Tls};

use crate::doorman::Crowding;
use crate::rates::PublishRates;

/// Settings of all listeners.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where clients may come in.
    pub listeners: Vec<ListenerOptions>,
    /// The most connections at a time, over all listeners; at least 1. One more is closed at once.
    pub connections_max: usize,
    /// How many may come from one address, and in one second.
    pub crowding: Crowding,
    /// How fast clients may publish.
    pub publish_rates: PublishRates,
    /// What may wait for the polls of all SockJS clients together, in bytes, before each of them gets it in small steps.
    pub sockjs_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            connections_max: 100_000,
            crowding: Crowding::default(),
            publish_rates: PublishRates::default(),
            sockjs_bytes_max: 256 * 1024 * 1024,
        }
    }
}

/// One address where clients may come in.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// What log lines call it.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Where it is; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// By what it shakes hands; `None`: it speaks without TLS.
    pub tls: Option<Arc<Tls>>,
    /// The balancers before it, who say for whom they come; `None`: clients come themselves.
    pub proxies: Option<Proxies>,
    /// The vhost of all who come in there; `None`: it is theirs to choose.
    pub vhost: Option<VhostName>,
}

/// What a listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// MQTT over plain TCP.
    Mqtt,
    /// STOMP over plain TCP.
    Stomp,
    /// Either of them over WebSocket.
    Web(Web),
    /// All of these: the first bytes tell.
    Auto(Web),
}

impl Kind {
    /// What a client that says by TLS what it wants must want.
    pub(crate) const fn purpose(&self) -> Purpose {
        match self {
            Self::Mqtt => Purpose::Mqtt,
            Self::Stomp => Purpose::Stomp,
            Self::Web(_) => Purpose::Web,
            Self::Auto(_) => Purpose::Any,
        }
    }
}

/// How WebSockets are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where STOMP is spoken, unless the client names another subprotocol.
    pub ws_path: String,
    /// Where MQTT is spoken, unless the client names another subprotocol.
    pub mqtt_path: String,
    /// Origins whose pages may connect beside those of the host itself: `https://example.org`, or `*` for all.
    pub origins: Vec<String>,
    /// Where SockJS is served, and how. Origins and the size of a request are taken from here and from the protocol.
    pub sockjs: Vec<SockJsOptions>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            ws_path: "/ws".to_owned(),
            mqtt_path: "/mqtt".to_owned(),
            origins: Vec::new(),
            sockjs: vec![SockJsOptions::default()],
        }
    }
}
