//! Why bytes are no packet: every refusal, its statement and its reason code.

use crate::reason::{Fault, Reason};
use crate::topic::TopicError;

/// A refusal by the decoder. Nothing after it can be trusted: the connection ends, a 5.0 peer is told [`Self::reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first packet of a connection is CONNECT.
    #[error("[MQTT-3.1.0-1] the first packet is not CONNECT")]
    NotConnect,
    /// And the only one of its kind.
    #[error("[MQTT-3.1.0-2] a second CONNECT")]
    SecondConnect,
    /// Only the other side sends packets of this type.
    #[error("2.1.2: a packet of a type that this side never sends")]
    WrongWay,
    /// Type 0, in 3.x type 15 as well.
    #[error("2.1.2: a packet of a reserved type")]
    ReservedType,
    /// Each type has its own flags.
    #[error("[MQTT-2.1.3-1] the flags in the fixed header are not those of the packet type")]
    Flags,
    /// Both QoS bits.
    #[error("[MQTT-3.3.1-4] PUBLISH with QoS 3")]
    PublishQos,
    /// What is never repeated cannot be a repetition.
    #[error("[MQTT-3.3.1-2] PUBLISH with DUP at QoS 0")]
    DupAtMostOnce,
    /// Five bytes, or more bytes than needed.
    #[error("[MQTT-1.5.5-1] a variable byte integer is longer than it may be")]
    VariableByteInteger,
    /// Larger than we said that we read.
    #[error("[MQTT-3.2.2-15] the packet is larger than the maximum packet size")]
    TooLarge,
    /// A field runs over the end.
    #[error("1.2: the packet ends before its last field does")]
    Truncated,
    /// Bytes follow the last field.
    #[error("1.2: the packet goes on after its last field")]
    LeftOver,
    /// A field has no end of its own but the packet's.
    #[error("[MQTT-1.5.4-1] a string is not UTF-8")]
    Utf8,
    /// Nowhere in a string.
    #[error("[MQTT-1.5.4-2] a string contains U+0000")]
    Nul,
    /// The topic of PUBLISH, of the will, or of the response.
    #[error(transparent)]
    Topic(TopicError),
    /// Neither topic nor alias.
    #[error("3.3.2.1: PUBLISH with neither a topic name nor a topic alias")]
    NoTopic,
    /// Packet id 0.
    #[error("[MQTT-2.2.1-3] a packet identifier of zero")]
    PacketId,
    /// No such code in this packet.
    #[error("2.4: a reason code that this packet does not have")]
    ReasonCode,
    /// No such property.
    #[error("2.2.2.2: a property that does not exist")]
    PropertyUnknown,
    /// Not in this packet.
    #[error("2.2.2.2: a property that this packet does not have")]
    PropertyMisplaced,
    /// Once is enough.
    #[error("2.2.2.2: a property that stands twice")]
    PropertyTwice,
    /// Zero, or neither 0 nor 1, or too large.
    #[error("2.2.2.2: a property with a value that it cannot have")]
    PropertyValue,
    /// The alias zero.
    #[error("[MQTT-3.3.2-8] a topic alias of zero")]
    TopicAlias,
    /// A limit of ours on what one packet says of itself.
    #[error("more or larger properties than the broker allows in one packet")]
    TooManyProperties,
    /// Subscription identifiers come from servers.
    #[error("[MQTT-3.3.4-6] PUBLISH from a client with a subscription identifier")]
    SubscriptionIdFromClient,
    /// Data for no method.
    #[error("3.1.2.11.10: authentication data without an authentication method")]
    AuthenticationDataAlone,
    /// Not our protocol at all, or a level that no version has come near.
    #[error("[MQTT-3.1.2-1] the protocol is not MQTT")]
    Protocol,
    /// `MQTT` with a level that is not 4 or 5; the answer has the form of 5.0.
    #[error("[MQTT-3.1.2-2] a protocol version that is not spoken here")]
    LevelOfMqtt,
    /// `MQIsdp` with a level that is not 3; the answer has the form of 3.x.
    #[error("[MQTT-3.1.2-2] (3.1.1) a protocol level that is not spoken here")]
    LevelOfMqisdp,
    /// Bit 0 of the connect flags.
    #[error("[MQTT-3.1.2-3] the reserved connect flag is set")]
    ConnectReserved,
    /// Will QoS 3.
    #[error("[MQTT-3.1.2-12] a will with QoS 3")]
    WillQos,
    /// Will QoS or Will Retain for no will.
    #[error("[MQTT-3.1.2-11], [MQTT-3.1.2-13] will flags without a will")]
    WillFlags,
    /// 3.x only; 5.0 allows it.
    #[error("[MQTT-3.1.2-22] (3.1.1) a password without a user name")]
    PasswordAlone,
    /// Reserved bits of CONNACK.
    #[error("[MQTT-3.2.2-1] reserved flags of CONNACK are set")]
    ConnackFlags,
    /// SUBSCRIBE or UNSUBSCRIBE for nothing.
    #[error("[MQTT-3.8.3-2], [MQTT-3.10.3-2] a request without a topic filter")]
    NoFilter,
    /// A filter has at least one character.
    #[error("[MQTT-4.7.3-1] an empty topic filter")]
    EmptyFilter,
    /// Bits 6 and 7, in 3.x 2 to 7.
    #[error("[MQTT-3.8.3-5] reserved bits of the subscription options are set")]
    SubscribeReserved,
    /// QoS 3 or Retain Handling 3.
    #[error("3.8.3.1: subscription options with QoS 3 or Retain Handling 3")]
    SubscribeOptions,
    /// Whose own messages would a share leave out?
    #[error("[MQTT-3.8.3-4] No Local on a shared subscription")]
    NoLocalShared,
}

impl DecodeError {
    /// The code that says so: 0x81 for what cannot be parsed, 0x82 for what can and is not allowed, unless there is a
    /// better one (4.13.1).
    pub const fn reason(self) -> Reason {
        match self {
            Self::ReservedType
            | Self::Flags
            | Self::PublishQos
            | Self::DupAtMostOnce
            | Self::VariableByteInteger
            | Self::Truncated
            | Self::LeftOver
            | Self::Utf8
            | Self::Nul
            | Self::Topic(TopicError::Wildcard | TopicError::Nul | TopicError::TooLong)
            | Self::PropertyUnknown
            | Self::PropertyMisplaced
            | Self::ConnectReserved
            | Self::WillQos
            | Self::WillFlags
            | Self::PasswordAlone
            | Self::ConnackFlags
            | Self::SubscribeReserved => Reason::MalformedPacket,
            Self::NotConnect
            | Self::SecondConnect
            | Self::WrongWay
            | Self::NoTopic
            | Self::Topic(TopicError::Empty)
            | Self::PacketId
            | Self::ReasonCode
            | Self::PropertyTwice
            | Self::PropertyValue
            | Self::SubscriptionIdFromClient
            | Self::AuthenticationDataAlone
            | Self::NoFilter
            | Self::EmptyFilter
            | Self::SubscribeOptions
            | Self::NoLocalShared => Reason::ProtocolError,
            Self::TopicAlias => Reason::TopicAliasInvalid,
            Self::TooLarge => Reason::PacketTooLarge,
            Self::TooManyProperties => Reason::QuotaExceeded,
            Self::Protocol | Self::LevelOfMqtt | Self::LevelOfMqisdp => Reason::UnsupportedProtocolVersion,
        }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self { reason: error.reason(), text: error.to_string().into() }
    }
}
