//! What a session sees: packets that are already valid.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;
use model::qos::Qos;
use smallvec::SmallVec;

use crate::reason::Reason;
use crate::topic::TopicName;
use crate::version::Version;

/// A control packet (2.1.2). The rare and large ones are boxed, so that a PUBLISH moves cheaply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The client wants in.
    Connect(Box<Connect>),
    /// The server lets it in, or not.
    Connack(Box<Connack>),
    /// A message, either way.
    Publish(Publish),
    /// A QoS 1 message is taken.
    Puback(Ack),
    /// A QoS 2 message is taken.
    Pubrec(Ack),
    /// Its id is let go of.
    Pubrel(Ack),
    /// And so it is on the other side.
    Pubcomp(Ack),
    /// The client wants messages.
    Subscribe(Subscribe),
    /// What was granted.
    Suback(Suback),
    /// The client wants them no more.
    Unsubscribe(Unsubscribe),
    /// What became of that.
    Unsuback(Suback),
    /// Are you there?
    Pingreq,
    /// Yes.
    Pingresp,
    /// Good-bye; in 3.x from the client only.
    Disconnect(Disconnect),
    /// A step of an authentication; 5.0 only.
    Auth(Disconnect),
}

impl Packet {
    /// Its type.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::Connack(_) => Kind::Connack,
            Self::Publish(_) => Kind::Publish,
            Self::Puback(_) => Kind::Puback,
            Self::Pubrec(_) => Kind::Pubrec,
            Self::Pubrel(_) => Kind::Pubrel,
            Self::Pubcomp(_) => Kind::Pubcomp,
            Self::Subscribe(_) => Kind::Subscribe,
            Self::Suback(_) => Kind::Suback,
            Self::Unsubscribe(_) => Kind::Unsubscribe,
            Self::Unsuback(_) => Kind::Unsuback,
            Self::Pingreq => Kind::Pingreq,
            Self::Pingresp => Kind::Pingresp,
            Self::Disconnect(_) => Kind::Disconnect,
            Self::Auth(_) => Kind::Auth,
        }
    }
}

/// The type of a control packet, as its first four bits say it (2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// CONNECT.
    Connect = 1,
    /// CONNACK.
    Connack = 2,
    /// PUBLISH.
    Publish = 3,
    /// PUBACK.
    Puback = 4,
    /// PUBREC.
    Pubrec = 5,
    /// PUBREL.
    Pubrel = 6,
    /// PUBCOMP.
    Pubcomp = 7,
    /// SUBSCRIBE.
    Subscribe = 8,
    /// SUBACK.
    Suback = 9,
    /// UNSUBSCRIBE.
    Unsubscribe = 10,
    /// UNSUBACK.
    Unsuback = 11,
    /// PINGREQ.
    Pingreq = 12,
    /// PINGRESP.
    Pingresp = 13,
    /// DISCONNECT.
    Disconnect = 14,
    /// AUTH.
    Auth = 15,
}

/// A packet identifier: never zero (2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketId(pub NonZeroU16);

impl PacketId {
    /// `None` for zero [MQTT-2.2.1-3].
    pub fn new(id: u16) -> Option<Self> {
        NonZeroU16::new(id).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

/// What a 5.0 client calls a subscription: 1 to 268,435,455 (3.8.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriptionId(NonZeroU32);

impl SubscriptionId {
    /// The largest: what four bytes of a variable byte integer hold.
    pub const MAX: u32 = 268_435_455;

    /// `None` outside 1 to [`Self::MAX`].
    pub fn new(id: u32) -> Option<Self> {
        NonZeroU32::new(id).filter(|id| id.get() <= Self::MAX).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// The properties of a 5.0 packet (2.2.2.2). A packet has only those of its type: reading refuses others, writing
/// leaves them out. Without any, a packet holds `None`; in 3.x always.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// 0x01: whether the payload is UTF-8.
    pub payload_is_text: Option<bool>,
    /// 0x02: Message Expiry Interval, in seconds.
    pub message_expiry_s: Option<u32>,
    /// 0x03.
    pub content_type: Option<ByteString>,
    /// 0x08.
    pub response_topic: Option<TopicName>,
    /// 0x09.
    pub correlation_data: Option<Bytes>,
    /// 0x0B: several in a PUBLISH to a client, one in SUBSCRIBE.
    pub subscription_ids: SmallVec<[SubscriptionId; 1]>,
    /// 0x11: Session Expiry Interval, in seconds; `u32::MAX`: never.
    pub session_expiry_s: Option<u32>,
    /// 0x12.
    pub assigned_client_id: Option<ByteString>,
    /// 0x13: in seconds.
    pub server_keep_alive_s: Option<u16>,
    /// 0x15.
    pub authentication_method: Option<ByteString>,
    /// 0x16.
    pub authentication_data: Option<Bytes>,
    /// 0x17.
    pub request_problem_information: Option<bool>,
    /// 0x18: Will Delay Interval, in seconds.
    pub will_delay_s: Option<u32>,
    /// 0x19.
    pub request_response_information: Option<bool>,
    /// 0x1A.
    pub response_information: Option<ByteString>,
    /// 0x1C.
    pub server_reference: Option<ByteString>,
    /// 0x1F.
    pub reason_string: Option<ByteString>,
    /// 0x21.
    pub receive_maximum: Option<NonZeroU16>,
    /// 0x22.
    pub topic_alias_maximum: Option<u16>,
    /// 0x23.
    pub topic_alias: Option<NonZeroU16>,
    /// 0x24: QoS 0 or 1; QoS 2 is said by leaving it out.
    pub maximum_qos: Option<Qos>,
    /// 0x25.
    pub retain_available: Option<bool>,
    /// 0x26: in order, names may repeat.
    pub user: Vec<(ByteString, ByteString)>,
    /// 0x27: in bytes.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// 0x28.
    pub wildcard_subscription_available: Option<bool>,
    /// 0x29.
    pub subscription_ids_available: Option<bool>,
    /// 0x2A.
    pub shared_subscription_available: Option<bool>,
}

/// CONNECT (3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The protocol it speaks.
    pub version: Version,
    /// Whether it calls itself a bridge: the highest bit of the level, in 3.x only.
    pub is_bridge: bool,
    /// Clean Start; in 3.x Clean Session.
    pub clean_start: bool,
    /// In seconds; 0: none.
    pub keep_alive_s: u16,
    /// Empty: the server is to make one up.
    pub client_id: ByteString,
    /// To be published if the client is lost.
    pub will: Option<Will>,
    /// User name.
    pub user: Option<ByteString>,
    /// Password; in 3.x only beside a user name.
    pub password: Option<Bytes>,
    /// Of the packet; the will has its own.
    pub properties: Option<Box<Properties>>,
}

/// The will in CONNECT (3.1.3.2 to 3.1.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: TopicName,
    /// May be empty.
    pub payload: Bytes,
    /// The QoS it is published with.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// The message's, and the delay.
    pub properties: Option<Box<Properties>>,
}

/// CONNACK (3.2). In 3.x the reason is one of those that [`Reason::of_return_code`] knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack {
    /// Whether a session was there before.
    pub session_present: bool,
    /// In, or why not.
    pub reason: Reason,
    /// What the server promises.
    pub properties: Option<Box<Properties>>,
}

/// PUBLISH (3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// This might be a repetition.
    pub dup: bool,
    /// The RETAIN flag.
    pub retain: bool,
    /// How hard to deliver it.
    pub delivery: Guarantee,
    /// `None` where a topic alias stands for it (3.3.2.3.4).
    pub topic: Option<TopicName>,
    /// Any bytes, a slice of the read buffer.
    pub payload: Bytes,
    /// Of the message, and the alias.
    pub properties: Option<Box<Properties>>,
}

/// The QoS of a PUBLISH with the packet id that belongs to it: there is one from QoS 1 on, and only there
/// [MQTT-2.2.1-2].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guarantee {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketId),
    /// QoS 2.
    ExactlyOnce(PacketId),
}

impl Guarantee {
    /// Without the id.
    pub const fn qos(self) -> Qos {
        match self {
            Self::AtMostOnce => Qos::AtMostOnce,
            Self::AtLeastOnce(_) => Qos::AtLeastOnce,
            Self::ExactlyOnce(_) => Qos::ExactlyOnce,
        }
    }

    /// The id, if there is one.
    pub const fn id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce(id) | Self::ExactlyOnce(id) => Some(id),
        }
    }

    /// At `qos`, under `id` where that needs one.
    pub const fn new(qos: Qos, id: PacketId) -> Self {
        match qos {
            Qos::AtMostOnce => Self::AtMostOnce,
            Qos::AtLeastOnce => Self::AtLeastOnce(id),
            Qos::ExactlyOnce => Self::ExactlyOnce(id),
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7). In 3.x the reason is always `Success`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Of the PUBLISH.
    pub id: PacketId,
    /// What became of it.
    pub reason: Reason,
    /// Reason string and user properties.
    pub properties: Option<Box<Properties>>,
}

impl Ack {
    /// All is well, and there is nothing to add.
    pub const fn success(id: PacketId) -> Self {
        Self { id, reason: Reason::Success, properties: None }
    }
}

/// SUBSCRIBE (3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// For SUBACK.
    pub id: PacketId,
    /// At least one.
    pub filters: Vec<Filter>,
    /// The subscription identifier, at most one, and user properties.
    pub properties: Option<Box<Properties>>,
}

/// A topic filter and its options (3.8.3). The text is not empty and has no U+0000; its grammar is not checked yet, since
/// a bad filter is answered by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The filter.
    pub text: ByteString,
    /// The highest QoS wanted.
    pub qos: Qos,
    /// Own messages are not wanted; never with a shared subscription.
    pub no_local: bool,
    /// The RETAIN flag is wanted as it was published.
    pub retain_as_published: bool,
    /// Whether retained messages are wanted.
    pub retain_handling: RetainHandling,
}

impl Filter {
    /// A filter with the options that 3.x has.
    pub const fn plain(text: ByteString, qos: Qos) -> Self {
        Self {
            text,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
        }
    }
}

/// Retain Handling (3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send retained messages.
    Always = 0,
    /// Only if the subscription is new.
    IfNew = 1,
    /// Never.
    Never = 2,
}

/// SUBACK (3.9), and UNSUBACK (3.11), which has no reasons in 3.x.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suback {
    /// Of the request.
    pub id: PacketId,
    /// One for each filter, in order. In 3.x a refusal is always `UnspecifiedError`, 0x80.
    pub reasons: Vec<Reason>,
    /// Reason string and user properties.
    pub properties: Option<Box<Properties>>,
}

/// UNSUBSCRIBE (3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// For UNSUBACK.
    pub id: PacketId,
    /// At least one; not empty, no U+0000.
    pub filters: Vec<ByteString>,
    /// User properties.
    pub properties: Option<Box<Properties>>,
}

/// DISCONNECT (3.14), and AUTH (3.15), which look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// In 3.x always `Success`.
    pub reason: Reason,
    /// Why, and for how long.
    pub properties: Option<Box<Properties>>,
}
