//! A slot per dialect: a message that goes to many is encoded once.

use std::sync::OnceLock;

use bytes::Bytes;

/// A way of writing a message on the wire that is the same for all who read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MQTT 3.1 and 3.1.1.
    Mqtt3,
    /// MQTT 5.0 without subscription identifiers, aliases or an expiry that counts down.
    Mqtt5,
    /// STOMP 1.0: nothing is escaped.
    Stomp10,
    /// STOMP 1.1 and 1.2, whose escapes we write alike but for carriage returns.
    Stomp11,
    /// STOMP 1.2.
    Stomp12,
}

/// The encoded forms of a message, filled by whoever needs one first. What is in a slot is the protocol's business.
#[derive(Debug, Default)]
pub struct WireCache {
    slots: OnceLock<Box<[OnceLock<Bytes>; 5]>>,
}

impl WireCache {
    /// The encoded form for `dialect`, made by `encode` if nobody made it before.
    pub fn get_or_encode(&self, dialect: Dialect, encode: impl FnOnce() -> Bytes) -> &Bytes {
        let slots = self.slots.get_or_init(Box::default);
        let [mqtt3, mqtt5, stomp10, stomp11, stomp12] = &**slots;
        let slot = match dialect {
            Dialect::Mqtt3 => mqtt3,
            Dialect::Mqtt5 => mqtt5,
            Dialect::Stomp10 => stomp10,
            Dialect::Stomp11 => stomp11,
            Dialect::Stomp12 => stomp12,
        };
        slot.get_or_init(encode)
    }
}
