//! Message: immutable, shared.

use bytes::Bytes;

use crate::key::RoutingKey;
use crate::name::{ClientId, ExchangeName, MessageId};
use crate::properties::Properties;
use crate::qos::Qos;
use crate::time::WallMs;
use crate::wire_cache::WireCache;

/// A message as it was published. It lives behind an `Arc` and never changes; what is particular to one receiver is in
/// its [`crate::delivery::Delivery`].
#[derive(Debug)]
pub struct Message {
    /// Its name, for ever.
    pub id: MessageId,
    /// The exchange it was published to.
    pub exchange: ExchangeName,
    /// The key it was published with.
    pub key: RoutingKey,
    /// The body: any bytes.
    pub payload: Bytes,
    /// The QoS it was published with.
    pub qos: Qos,
    /// Whether it was published as retained (MQTT 5.0, 3.3.1.3).
    pub retain: bool,
    /// Whether it is to outlive the broker where its queue does: MQTT QoS 1 and 2, STOMP `persistent:true`.
    pub persistent: bool,
    /// Who published it, if that has a name; for No Local (MQTT 5.0, 3.8.3.1).
    pub publisher: Option<ClientId>,
    /// When the broker took it in.
    pub published_at: WallMs,
    /// From when on it must not be delivered.
    pub expires_at: Option<WallMs>,
    /// What it says of itself, if it says anything.
    pub properties: Option<Box<Properties>>,
    /// Its encoded forms.
    pub wire: WireCache,
}

impl Message {
    /// Whether its time is up.
    pub fn is_expired(&self, now: WallMs) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Roughly what it holds in memory, in bytes; what limits in bytes are measured by.
    pub fn size_bytes(&self) -> usize {
        self.payload.len() + self.key.as_str().len()
    }
}
