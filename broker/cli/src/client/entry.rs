//! What a client is told: how to get in, and what to ask for.

use std::time::Duration;

use bytestring::ByteString;
use model::qos::Qos;
use transport::tls_client::Trust;

use crate::client::address::{Address, Protocol};

/// How to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the broker is.
    pub(crate) address: Address,
    /// Whom to believe that he is the broker, where it is by TLS.
    pub(crate) trust: Trust,
    /// What to speak.
    pub(crate) protocol: Protocol,
    /// Who we are.
    pub(crate) user: Option<String>,
    /// And how we prove it.
    pub(crate) password: Option<String>,
    /// `None`: the broker makes one up.
    pub(crate) client_id: Option<String>,
    /// MQTT: how long the session outlives the connection, in seconds; `None`: it is a new one, and ends with it.
    pub(crate) session_expiry_s: Option<u32>,
    /// How long to wait for each answer.
    pub(crate) patience: Duration,
}

/// What to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Topic filters or destinations.
    pub(crate) destinations: Vec<ByteString>,
    /// The highest QoS; in STOMP: whether messages are acknowledged, from QoS 1 on.
    pub(crate) qos: Qos,
    /// User properties, or headers, of the subscription.
    pub(crate) properties: Vec<(ByteString, ByteString)>,
    /// Not more than one message at a time is wanted ahead (STOMP).
    pub(crate) one_by_one: bool,
}
