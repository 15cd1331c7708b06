//! Who comes, who leaves, who listens to what: as messages under `$events`, for whoever subscribes to them

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use bytestring::ByteString;
use model::key::RoutingKey;
use model::name::{ExchangeName, PublisherName};
use model::outbox::By;
use model::principal::Permissions;
use model::properties::Properties;
use model::qos::Qos;
use model::request::Publish;
use model::time::WallMs;
use routing::Wakes;
use serde::Serialize;

use crate::client::{About, Client, Listening, Present};
use crate::clock;
use crate::parts::Parts;
use crate::publish::{self, Publisher};

/// Tells what happens to clients. Where nobody has subscribed, nothing is made: asking whether anybody has is all it costs.
pub(crate) struct Presence {
    enabled: bool,
    node: String,
    publisher: Mutex<Publisher>,
}

/// Who or what ended a connection, in the words of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// As the connection itself saw it.
    Connection(By),
    /// Another connection speaks for the session now.
    Takeover,
    /// The broker stops.
    Shutdown,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connection(By::Client) => "client",
            Self::Connection(By::Broker) => "broker",
            Self::Connection(By::Network) => "network",
            Self::Connection(By::Timeout) => "timeout",
            Self::Takeover => "takeover",
            Self::Shutdown => "shutdown",
        }
    }
}

/// An event.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    #[serde(flatten)]
    about: About,
    node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnected_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qos: Option<u8>,
}

impl Presence {
    pub(crate) fn new(enabled: bool, node: String) -> Self {
        let publisher = Publisher::new(None, None, None, PublisherName::EVENTS, Permissions::everything());
        Self { enabled, node, publisher: Mutex::new(publisher) }
    }

    /// A client was let in.
    pub(crate) fn connected(&self, parts: &Arc<Parts>, client: &Client, wakes: &mut Wakes) {
        self.tell(parts, "$events/client/connected", wakes, |_| {
            client.with(|present| self.told(client.about(present)))
        });
    }

    /// A client left: `present` is who it was.
    pub(crate) fn disconnected(
        &self,
        parts: &Arc<Parts>,
        client: &Client,
        present: &Present,
        why: (Cause, &str),
        wakes: &mut Wakes,
    ) {
        self.tell(parts, "$events/client/disconnected", wakes, |now| {
            let told = self.told(client.about(present));
            let (by, reason) = (Some(why.0.as_str()), Some(why.1.to_owned()));
            Some(Told { by, reason, disconnected_at_ms: Some(now.0), ..told })
        });
    }

    /// A client listens to something.
    pub(crate) fn subscribed(&self, parts: &Arc<Parts>, client: &Client, to: &Listening, wakes: &mut Wakes) {
        self.tell(parts, "$events/client/subscribed", wakes, |_| {
            let told = client.with(|present| self.told(client.about(present)))?;
            Some(Told { destination: Some(to.destination()), qos: Some(to.qos.bits()), ..told })
        });
    }

    /// A client listens to something no more, by its own wish.
    pub(crate) fn unsubscribed(
        &self,
        parts: &Arc<Parts>,
        client: &Client,
        from: &Listening,
        wakes: &mut Wakes,
    ) {
        self.tell(parts, "$events/client/unsubscribed", wakes, |_| {
            let told = client.with(|present| self.told(client.about(present)))?;
            Some(Told { destination: Some(from.destination()), ..told })
        });
    }

    fn told(&self, about: About) -> Told<'_> {
        Told {
            event: "",
            about,
            node: &self.node,
            by: None,
            reason: None,
            disconnected_at_ms: None,
            destination: None,
            qos: None,
        }
    }

    fn tell<'a>(
        &'a self,
        parts: &Arc<Parts>,
        key: &'static str,
        wakes: &mut Wakes,
        told: impl FnOnce(WallMs) -> Option<Told<'a>>,
    ) {
        if !self.enabled {
            return;
        }
        let event = key.rsplit('/').next().unwrap_or(key);
        let key = RoutingKey::new(ByteString::from_static(key));
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let found = parts.vhost.router.resolve(
            &ExchangeName::TOPIC,
            &key,
            None,
            routing::Sender::default(),
            &mut publisher.cache,
        );
        if !found.is_ok_and(|routes| !routes.is_empty()) {
            return;
        }
        let now = clock::wall_now();
        let Some(Ok(payload)) = told(now).map(|told| serde_json::to_vec(&Told { event, ..told })) else {
            return;
        };
        let publish = Publish {
            exchange: ExchangeName::TOPIC,
            key,
            payload: Bytes::from(payload),
            qos: Qos::AtLeastOnce,
            retain: false,
            persistent: false,
            expiry_ms: None,
            properties: Some(Box::new(Properties {
                content_type: Some(ByteString::from_static("application/json")),
                ..Properties::default()
            })),
            delay_ms: 0,
            remember: None,
            publication: None,
            declare: None,
        };
        publish::tell(parts, &mut publisher, publish, now, wakes);
    }
}
