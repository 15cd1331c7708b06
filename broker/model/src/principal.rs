//! Credentials, Principal, Permissions: who is there, and what he may do.

use std::net::IpAddr;

use bytes::Bytes;
use bytestring::ByteString;

use crate::key::{KeyPattern, RoutingKey};
use crate::name::{ClientId, ExchangeName, UserName};

/// What a client showed when it connected. The password never appears in a log: there is no `Display`, and `Debug` says
/// only whether there was one.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `user name` in MQTT, `login` in STOMP.
    pub user: Option<ByteString>,
    /// Any bytes in MQTT (5.0, 3.1.3.6), `passcode` in STOMP.
    pub password: Option<Bytes>,
    /// What the client calls itself, if it says so.
    pub client: Option<ClientId>,
    /// Where it comes from; `None` for a socket of this machine that has no address.
    pub address: Option<IpAddr>,
    /// The method by which it wants to show who it is; then the password is not looked at.
    pub proof: Option<Proof>,
}

/// The beginning of an authentication in several steps (MQTT 5.0, 3.1.2.11.9). What was said never appears in a log.
#[derive(Clone)]
pub struct Proof {
    /// The name of the method.
    pub method: ByteString,
    /// What the client said first.
    pub data: Option<Bytes>,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof")
            .field("method", &self.method)
            .field("data", &self.data.as_ref().map(|_| "***"))
            .finish()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("client", &self.client)
            .field("address", &self.address)
            .field("proof", &self.proof)
            .finish()
    }
}

/// Who a client turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user; `None` for an anonymous client.
    pub user: Option<UserName>,
}

/// What a principal may do: a value, asked without waiting.
#[derive(Debug, Clone)]
pub struct Permissions {
    everything: bool,
}

impl Permissions {
    /// No restriction.
    pub const fn everything() -> Self {
        Self { everything: true }
    }

    /// Whether a message may be published there.
    pub const fn may_publish(&self, _exchange: &ExchangeName, _key: &RoutingKey) -> bool {
        self.everything
    }

    /// Whether such a subscription may be made.
    pub const fn may_subscribe(&self, _exchange: &ExchangeName, _pattern: &KeyPattern) -> bool {
        self.everything
    }
}
