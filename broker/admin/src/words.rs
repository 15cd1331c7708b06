//! Words: what a destination means, as the doors for clients read it

use std::fmt;
use std::sync::Arc;

use model::key::RoutingKey;
use model::name::ExchangeName;
use model::request::{Source, Target};

/// What clients' doors make of the words of their clients. Each answers why a client would be refused where these mean nothing.
pub trait Words: Send + Sync + 'static {
    /// Where a STOMP client would send to.
    ///
    /// # Errors
    ///
    /// It is no destination.
    fn stomp_address(&self, destination: &str) -> Result<(ExchangeName, RoutingKey), String>;

    /// What a STOMP client would bind and consume that subscribes with these headers.
    ///
    /// # Errors
    ///
    /// It is no destination, or a header means nothing.
    fn stomp_subscription(
        &self,
        destination: &str,
        headers: &[(String, String)],
    ) -> Result<(Option<Source>, Target), String>;

    /// Where an MQTT client would publish to.
    ///
    /// # Errors
    ///
    /// It is no topic name, or none that clients publish to.
    fn mqtt_address(&self, topic: &str) -> Result<(ExchangeName, RoutingKey), String>;

    /// What an MQTT client would bind to its session's queue, or which stream it would read.
    ///
    /// # Errors
    ///
    /// It is no topic filter.
    fn mqtt_subscription(&self, filter: &str) -> Result<(Option<Source>, Target), String>;
}

/// The words of this broker's clients.
#[derive(Clone)]
pub struct Spoken(pub(crate) Arc<dyn Words>);

impl Spoken {
    /// As those say.
    pub fn new(words: impl Words) -> Self {
        Self(Arc::new(words))
    }
}

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spoken")
    }
}

impl Default for Spoken {
    /// Of a broker without doors for clients: nothing means anything.
    fn default() -> Self {
        Self::new(Nothing)
    }
}

struct Nothing;

impl Words for Nothing {
    fn stomp_address(&self, _destination: &str) -> Result<(ExchangeName, RoutingKey), String> {
        Err(NO_DOOR.to_owned())
    }

    fn stomp_subscription(
        &self,
        _destination: &str,
        _headers: &[(String, String)],
    ) -> Result<(Option<Source>, Target), String> {
        Err(NO_DOOR.to_owned())
    }

    fn mqtt_address(&self, _topic: &str) -> Result<(ExchangeName, RoutingKey), String> {
        Err(NO_DOOR.to_owned())
    }

    fn mqtt_subscription(&self, _filter: &str) -> Result<(Option<Source>, Target), String> {
        Err(NO_DOOR.to_owned())
    }
}

const NO_DOOR: &str = "this broker has no door for such clients";
