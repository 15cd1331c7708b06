//! Hook: whoever is asked about what clients do, or told.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::key::{KeyPattern, RoutingKey};
use crate::name::{ClientId, ExchangeName, UserName, VhostName};
use crate::principal::Handshake;
use crate::refusal::Refusal;
use crate::request::{Publish, Subscription};

/// Asked before the broker acts on what a client wants, one question of a client at a time; what the client says meanwhile
/// waits behind it, in its order. Other clients are not held up. An answer always comes: how long it may take, and what
/// holds if there is none, is the hook's own business.
pub trait Hook: Send + Sync {
    /// May this client come in? Asked once it has shown who it is. The answer is what is to be known of it from then on:
    /// [`Caller::attributes`].
    fn connect<'a>(&'a self, caller: &'a Caller, handshake: Option<&'a Handshake>) -> Asked<'a, Attributes>;

    /// Whether it wants to be asked about a message for that place. Never waits.
    fn wants_publish(&self, caller: &Caller, exchange: &ExchangeName, key: &RoutingKey) -> bool;

    /// May this be published? The answer is what is published instead; mostly the same.
    fn publish<'a>(&'a self, caller: &'a Caller, publish: Publish) -> Asked<'a, Publish>;

    /// Whether it wants to be asked about such a subscription. Never waits.
    fn wants_subscribe(&self, caller: &Caller, subscription: &Subscription) -> bool;

    /// May this be subscribed to? The answer is what is subscribed to instead; mostly the same.
    fn subscribe<'a>(&'a self, caller: &'a Caller, subscription: Subscription) -> Asked<'a, Subscription>;

    /// Whether it wants to be told when subscriptions of this client end. Never waits.
    fn wants_unsubscribe(&self, caller: &Caller) -> bool;

    /// Something happened that cannot be denied. Never waits.
    fn tell(&self, caller: &Arc<Caller>, news: News);
}

/// The answer of a hook, when it comes.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// What is known of a client beside its names: names and values.
pub type Attributes = Vec<(Box<str>, Box<str>)>;

/// A client, as a hook is told of it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Names its connection, as [`crate::event::Opened::connection`] does.
    pub connection: Box<str>,
    /// What it calls itself; one that was made up for it.
    pub client: Option<ClientId>,
    /// Who it is; `None`: it is anonymous, or has not shown it yet.
    pub user: Option<UserName>,
    /// What it speaks, and over what: `mqtt`, `stomp-ws`.
    pub protocol: &'static str,
    /// In which version: `5.0`, `1.2`.
    pub version: &'static str,
    /// The listener it came in by.
    pub listener: Arc<str>,
    /// The vhost it is in.
    pub vhost: VhostName,
    /// Where it comes from; `None` for a socket of this machine that has no address.
    pub address: Option<SocketAddr>,
    /// What a hook said of it when it came in.
    pub attributes: Attributes,
}

/// What a hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A client wants no more of what it had subscribed to.
    Unsubscribed {
        /// The exchange it came from; a queue by its name is a key of the default exchange.
        exchange: ExchangeName,
        /// Which keys.
        pattern: KeyPattern,
    },
    /// A client that was in is gone.
    Left {
        /// Whether it said good-bye; otherwise its connection was lost, or ended by the broker.
        orderly: bool,
    },
}
