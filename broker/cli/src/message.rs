//! A message, whatever the protocol.

use bytes::Bytes;
use bytestring::ByteString;
use model::qos::Qos;
use mqtt::packet::PacketId;

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    /// An MQTT topic name or a STOMP destination.
    pub(crate) destination: ByteString,
    /// Any bytes.
    pub(crate) payload: Bytes,
    /// In STOMP: whether a receipt is asked for, from QoS 1 on.
    pub(crate) qos: Qos,
    /// To be kept as the last one of its topic; MQTT only.
    pub(crate) retain: bool,
    /// User properties, or headers.
    pub(crate) properties: Vec<(ByteString, ByteString)>,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// An MQTT topic name or a STOMP destination.
    pub(crate) destination: ByteString,
    /// Any bytes.
    pub(crate) payload: Bytes,
    /// MQTT only.
    pub(crate) qos: Option<Qos>,
    /// The RETAIN flag.
    pub(crate) retain: bool,
    /// DUP, or `redelivered:true`.
    pub(crate) redelivered: bool,
    /// What it says of itself, in order; names may repeat.
    pub(crate) properties: Vec<(ByteString, ByteString)>,
    /// How to tell the broker that it is done.
    pub(crate) settle_by: SettleBy,
}

/// What a client that does many things at once hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A message.
    Message(Received),
    /// What was published is acknowledged to the last: what it goes by.
    Acknowledged(u64),
    /// The broker did not take it, and says why.
    Declined(String),
}

/// What a message is acknowledged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SettleBy {
    /// It is done by having been sent.
    Nothing,
    /// PUBACK.
    Puback(PacketId),
    /// PUBREC.
    Pubrec(PacketId),
    /// ACK, with these headers.
    Ack(Vec<(&'static str, ByteString)>),
}

/// The names by which both protocols know what MQTT 5 has properties of its own for.
pub(crate) const CONTENT_TYPE: &str = "content-type";
/// Where an answer is wanted.
pub(crate) const REPLY_TO: &str = "reply-to";
/// What pairs an answer with its question.
pub(crate) const CORRELATION_ID: &str = "correlation-id";
