//! What is seen of sessions, subscriptions and users: plain values, for programs and people that read them.

use std::net::SocketAddr;

use model::ban::Ban;
use serde::Serialize;

use crate::client::Listening;

/// How many there are of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The broker.
    pub node: String,
    /// Sessions, of clients that are there or away.
    pub sessions: usize,
    /// Those whose clients are there.
    pub connected: usize,
    /// Exchanges, the broker's own among them.
    pub exchanges: usize,
    /// Queues, those of sessions and subscriptions among them.
    pub queues: usize,
    /// Bindings between them.
    pub bindings: usize,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Behind what the next page begins; `None`: this is the last one.
    pub next: Option<String>,
}

/// A session: of a client that is connected, or of one that is away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SessionView {
    /// What `/session/…` and `$session/…` name.
    pub session: String,
    /// The client id; `None` in STOMP.
    pub client: Option<String>,
    /// `None` for an anonymous client.
    pub user: Option<String>,
    /// Whether its client is there.
    pub connected: bool,
    /// Another one for each connection.
    pub connection: Option<String>,
    /// `mqtt` or `stomp`.
    pub protocol: Option<&'static str>,
    /// What carries it: `tcp`, `ws`, `sockjs`.
    pub transport: Option<&'static str>,
    /// The listener it came in by.
    pub listener: Option<String>,
    /// Where it comes from.
    pub peer: Option<SocketAddr>,
    /// Milliseconds since 1970.
    pub connected_at_ms: Option<u64>,
    /// When its client left, in milliseconds since 1970; `None` while it is there.
    pub disconnected_at_ms: Option<u64>,
    /// How long it stays without its client, in seconds: 0 not at all, as always in STOMP, and 4294967295 for ever.
    pub expiry_s: u32,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Messages that wait in its queue; `None` in STOMP, where each subscription has a queue.
    pub waiting: Option<usize>,
    /// Messages that its client has and did not settle.
    pub unsettled: Option<usize>,
    /// The broker that it is on.
    pub node: String,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SubscriptionView {
    /// As MQTT writes it, with its share: `chat/+`, `$queue/jobs`, `$share/g/a/#`, `$user/queue/x`, `$exchange/x/k`.
    pub destination: String,
    /// The highest QoS that it gets.
    pub qos: u8,
    /// Whose it is.
    pub session: String,
    /// The client id; `None` in STOMP.
    pub client: Option<String>,
    /// `None` for an anonymous client.
    pub user: Option<String>,
    /// `mqtt` or `stomp`; `None` while the client is away.
    pub protocol: Option<&'static str>,
    /// Whether the client is there.
    pub connected: bool,
    /// The broker that it is on.
    pub node: String,
}

impl SubscriptionView {
    pub(crate) fn new(of: &SessionView, asked: &Listening) -> Self {
        Self {
            destination: asked.destination(),
            qos: asked.qos.bits(),
            session: of.session.clone(),
            client: of.client.clone(),
            user: of.user.clone(),
            protocol: of.protocol,
            connected: of.connected,
            node: of.node.clone(),
        }
    }
}

/// Somebody who stays out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BanView {
    /// `client`, `user` or `ip`.
    pub kind: &'static str,
    /// Which; of IPv6, the network.
    pub name: String,
    /// Until when, in milliseconds since 1970; `None`: until it is taken back.
    pub until_ms: Option<u64>,
    /// Milliseconds since 1970.
    pub since_ms: u64,
    /// `hand`, `auth_failures` or `flapping`.
    pub by: &'static str,
    /// Why, for people.
    pub reason: String,
}

impl BanView {
    pub(crate) fn new(ban: &Ban) -> Self {
        Self {
            kind: ban.subject.kind(),
            name: ban.subject.name(),
            until_ms: ban.until.map(|until| until.0),
            since_ms: ban.since.0,
            by: ban.by.as_str(),
            reason: ban.reason.to_string(),
        }
    }
}

/// A user that has a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UserView {
    /// The name.
    pub user: String,
    /// How many sessions.
    pub sessions: usize,
    /// How many of them have their client.
    pub connected: usize,
}

impl UserView {
    pub(crate) fn new(user: String) -> Self {
        Self { user, sessions: 0, connected: 0 }
    }
}
