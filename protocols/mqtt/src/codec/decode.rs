//! A whole packet, or why not.

use bytes::Bytes;
use bytestring::ByteString;
use model::qos::Qos;

use crate::codec::error::DecodeError;
use crate::codec::header::{DUP, Header, PropertyLimits, RETAIN, Role};
use crate::codec::property::{self, Owner};
use crate::codec::wire::Reader;
use crate::packet::{
    Ack, Connack, Connect, Disconnect, Filter, Guarantee, Kind, Packet, Properties, Publish, RetainHandling,
    Suback, Subscribe, Unsubscribe, Will,
};
use crate::reason::{Place, Reason};
use crate::topic::{SHARE, TopicError};
use crate::version::Version;

/// What the fields of a packet depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// Before CONNECT it does not matter.
    pub(crate) version: Version,
    pub(crate) role: Role,
    pub(crate) properties: PropertyLimits,
}

impl Dialect {
    fn properties(self, from: &mut Reader, kind: Kind) -> Result<Option<Box<Properties>>, DecodeError> {
        self.properties_of(from, Owner::Packet(kind))
    }

    /// In 3.x there are none, not even a length.
    fn properties_of(self, from: &mut Reader, owner: Owner) -> Result<Option<Box<Properties>>, DecodeError> {
        if !self.version.has_properties() {
            return Ok(None);
        }
        property::read(from, owner, (self.role == Role::Server).then_some(self.properties))
    }
}

/// Reads what follows the fixed header: exactly the packet's remaining bytes.
pub(crate) fn body(header: Header, body: Bytes, dialect: Dialect) -> Result<Packet, DecodeError> {
    let mut from = Reader::new(body);
    let packet = match header.kind {
        Kind::Publish => return publish(header.flags, from, dialect).map(Packet::Publish),
        Kind::Connect => Packet::Connect(Box::new(connect(&mut from, dialect)?)),
        Kind::Connack => Packet::Connack(Box::new(connack(&mut from, dialect)?)),
        Kind::Puback => Packet::Puback(ack(&mut from, header.kind, Place::Puback, dialect)?),
        Kind::Pubrec => Packet::Pubrec(ack(&mut from, header.kind, Place::Pubrec, dialect)?),
        Kind::Pubrel => Packet::Pubrel(ack(&mut from, header.kind, Place::Pubrel, dialect)?),
        Kind::Pubcomp => Packet::Pubcomp(ack(&mut from, header.kind, Place::Pubcomp, dialect)?),
        Kind::Subscribe => Packet::Subscribe(subscribe(&mut from, dialect)?),
        Kind::Suback => Packet::Suback(suback(&mut from, dialect)?),
        Kind::Unsubscribe => Packet::Unsubscribe(unsubscribe(&mut from, dialect)?),
        Kind::Unsuback => Packet::Unsuback(unsuback(&mut from, dialect)?),
        Kind::Pingreq => Packet::Pingreq,
        Kind::Pingresp => Packet::Pingresp,
        Kind::Disconnect => {
            let place = match dialect.role {
                Role::Client => Place::DisconnectByServer,
                Role::Server => Place::DisconnectByClient,
            };
            Packet::Disconnect(disconnect(&mut from, header.kind, place, dialect)?)
        }
        Kind::Auth => Packet::Auth(disconnect(&mut from, header.kind, Place::Auth, dialect)?),
    };
    from.finish()?;
    Ok(packet)
}

fn publish(flags: u8, mut from: Reader, dialect: Dialect) -> Result<Publish, DecodeError> {
    let topic = from.topic()?;
    let delivery = match Qos::from_bits(flags >> 1 & 0b11).ok_or(DecodeError::PublishQos)? {
        Qos::AtMostOnce => Guarantee::AtMostOnce,
        Qos::AtLeastOnce => Guarantee::AtLeastOnce(from.packet_id()?),
        Qos::ExactlyOnce => Guarantee::ExactlyOnce(from.packet_id()?),
    };
    let properties = dialect.properties(&mut from, Kind::Publish)?;
    if let Some(properties) = &properties
        && dialect.role == Role::Server
        && !properties.subscription_ids.is_empty()
    {
        return Err(DecodeError::SubscriptionIdFromClient);
    }
    let alias = properties.as_ref().and_then(|properties| properties.topic_alias);
    if topic.is_none() && alias.is_none() {
        return Err(match dialect.version {
            Version::V31 | Version::V311 => DecodeError::Topic(TopicError::Empty),
            Version::V5 => DecodeError::NoTopic,
        });
    }
    Ok(Publish {
        dup: flags & DUP != 0,
        retain: flags & RETAIN != 0,
        delivery,
        topic,
        payload: from.rest(),
        properties,
    })
}

fn connect(from: &mut Reader, dialect: Dialect) -> Result<Connect, DecodeError> {
    let (version, is_bridge) = protocol(from)?;
    let dialect = Dialect { version, ..dialect };
    let flags = from.u8()?;
    let flag = |bit: u8| flags & bit != 0;
    if flag(CONNECT_RESERVED) {
        return Err(DecodeError::ConnectReserved);
    }
    let will_qos = Qos::from_bits(flags >> 3 & 0b11).ok_or(DecodeError::WillQos)?;
    if !flag(WILL) && (will_qos != Qos::AtMostOnce || flag(WILL_RETAIN)) {
        return Err(DecodeError::WillFlags);
    }
    if flag(PASSWORD) && !flag(USER_NAME) && !version.has_properties() {
        return Err(DecodeError::PasswordAlone);
    }
    let keep_alive_s = from.u16()?;
    let properties = dialect.properties(from, Kind::Connect)?;
    let client_id = from.text()?;
    let will = if flag(WILL) { Some(will(from, will_qos, flag(WILL_RETAIN), dialect)?) } else { None };
    // 3.1 ranks the remaining length above the flags: a field at the end may be missing (3.1, 3.1, "Payload").
    let there = |bit: u8, from: &Reader| flag(bit) && !(version == Version::V31 && from.is_empty());
    let user = if there(USER_NAME, from) { Some(from.text()?) } else { None };
    let password = if there(PASSWORD, from) { Some(from.binary()?) } else { None };
    let clean_start = flag(CLEAN_START);
    Ok(Connect { version, is_bridge, clean_start, keep_alive_s, client_id, will, user, password, properties })
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-2]: a name and a level that go together, and whether the level is that of a bridge; near
/// misses are told apart, for the answer.
fn protocol(from: &mut Reader) -> Result<(Version, bool), DecodeError> {
    let name = from.binary().map_err(|_| DecodeError::Protocol)?;
    let level = from.u8().map_err(|_| DecodeError::Protocol)?;
    match (&name[..], level) {
        (b"MQIsdp", 3) => Ok((Version::V31, false)),
        (b"MQIsdp", BRIDGE_V31) => Ok((Version::V31, true)),
        (b"MQTT", 4) => Ok((Version::V311, false)),
        (b"MQTT", BRIDGE_V311) => Ok((Version::V311, true)),
        (b"MQTT", 5) => Ok((Version::V5, false)),
        (b"MQTT", 0..=6) => Err(DecodeError::LevelOfMqtt),
        (b"MQIsdp", _) => Err(DecodeError::LevelOfMqisdp),
        _ => Err(DecodeError::Protocol),
    }
}

fn will(from: &mut Reader, qos: Qos, retain: bool, dialect: Dialect) -> Result<Will, DecodeError> {
    let properties = dialect.properties_of(from, Owner::Will)?;
    let topic = from.topic()?.ok_or(DecodeError::Topic(TopicError::Empty))?;
    let payload = from.binary()?;
    Ok(Will { topic, payload, qos, retain, properties })
}

fn connack(from: &mut Reader, dialect: Dialect) -> Result<Connack, DecodeError> {
    let flags = from.u8()?;
    let code = from.u8()?;
    if flags & !SESSION_PRESENT != 0 {
        return Err(DecodeError::ConnackFlags);
    }
    let reason = match dialect.version {
        Version::V31 | Version::V311 => Reason::of_return_code(code),
        Version::V5 => Reason::read(code, Place::Connack),
    };
    Ok(Connack {
        session_present: flags & SESSION_PRESENT != 0,
        reason: reason.ok_or(DecodeError::ReasonCode)?,
        properties: dialect.properties(from, Kind::Connack)?,
    })
}

fn ack(from: &mut Reader, kind: Kind, place: Place, dialect: Dialect) -> Result<Ack, DecodeError> {
    let id = from.packet_id()?;
    let (reason, properties) = outcome(from, kind, place, dialect)?;
    Ok(Ack { id, reason, properties })
}

fn disconnect(
    from: &mut Reader,
    kind: Kind,
    place: Place,
    dialect: Dialect,
) -> Result<Disconnect, DecodeError> {
    let (reason, properties) = outcome(from, kind, place, dialect)?;
    Ok(Disconnect { reason, properties })
}

/// A reason code and properties, either of which may be left out at the end (3.4.2.1, 3.14.2.2.1).
fn outcome(
    from: &mut Reader,
    kind: Kind,
    place: Place,
    dialect: Dialect,
) -> Result<(Reason, Option<Box<Properties>>), DecodeError> {
    if !dialect.version.has_properties() || from.is_empty() {
        return Ok((Reason::Success, None));
    }
    let reason = Reason::read(from.u8()?, place).ok_or(DecodeError::ReasonCode)?;
    let properties = if from.is_empty() { None } else { dialect.properties(from, kind)? };
    Ok((reason, properties))
}

fn subscribe(from: &mut Reader, dialect: Dialect) -> Result<Subscribe, DecodeError> {
    let id = from.packet_id()?;
    let properties = dialect.properties(from, Kind::Subscribe)?;
    let mut filters = Vec::new();
    while !from.is_empty() {
        let text = filter(from)?;
        filters.push(options(text, from.u8()?, dialect.version)?);
    }
    if filters.is_empty() {
        return Err(DecodeError::NoFilter);
    }
    Ok(Subscribe { id, filters, properties })
}

fn options(text: ByteString, byte: u8, version: Version) -> Result<Filter, DecodeError> {
    let reserved = if version.has_properties() { 0b1100_0000 } else { 0b1111_1100 };
    if byte & reserved != 0 {
        return Err(DecodeError::SubscribeReserved);
    }
    let qos = Qos::from_bits(byte & 0b11).ok_or(DecodeError::SubscribeOptions)?;
    let retain_handling = match byte >> 4 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        _ => return Err(DecodeError::SubscribeOptions),
    };
    let no_local = byte & NO_LOCAL != 0;
    if no_local && text.strip_prefix(SHARE).is_some_and(|rest| rest.starts_with('/')) {
        return Err(DecodeError::NoLocalShared);
    }
    let retain_as_published = byte & RETAIN_AS_PUBLISHED != 0;
    Ok(Filter { text, qos, no_local, retain_as_published, retain_handling })
}

fn filter(from: &mut Reader) -> Result<ByteString, DecodeError> {
    let text = from.text()?;
    if text.is_empty() { Err(DecodeError::EmptyFilter) } else { Ok(text) }
}

fn suback(from: &mut Reader, dialect: Dialect) -> Result<Suback, DecodeError> {
    let id = from.packet_id()?;
    let properties = dialect.properties(from, Kind::Suback)?;
    let mut reasons = Vec::new();
    while !from.is_empty() {
        let code = from.u8()?;
        let reason = match dialect.version {
            // All that 3.1.1 has (3.1.1, 3.9.3); 3.1 has no 0x80, but some of its servers send it.
            Version::V31 | Version::V311 if !matches!(code, 0..=2 | 0x80) => None,
            Version::V31 | Version::V311 | Version::V5 => Reason::read(code, Place::Suback),
        };
        reasons.push(reason.ok_or(DecodeError::ReasonCode)?);
    }
    if reasons.is_empty() {
        return Err(DecodeError::Truncated);
    }
    Ok(Suback { id, reasons, properties })
}

fn unsubscribe(from: &mut Reader, dialect: Dialect) -> Result<Unsubscribe, DecodeError> {
    let id = from.packet_id()?;
    let properties = dialect.properties(from, Kind::Unsubscribe)?;
    let mut filters = Vec::new();
    while !from.is_empty() {
        filters.push(filter(from)?);
    }
    if filters.is_empty() {
        return Err(DecodeError::NoFilter);
    }
    Ok(Unsubscribe { id, filters, properties })
}

fn unsuback(from: &mut Reader, dialect: Dialect) -> Result<Suback, DecodeError> {
    let id = from.packet_id()?;
    let properties = dialect.properties(from, Kind::Unsuback)?;
    let mut reasons = Vec::new();
    while dialect.version.has_properties() && !from.is_empty() {
        reasons.push(Reason::read(from.u8()?, Place::Unsuback).ok_or(DecodeError::ReasonCode)?);
    }
    if dialect.version.has_properties() && reasons.is_empty() {
        return Err(DecodeError::Truncated);
    }
    Ok(Suback { id, reasons, properties })
}

/// The bit of the protocol level by which bridges make themselves known; 5.0 has options for what they want.
pub(crate) const BRIDGE: u8 = 0x80;
const BRIDGE_V31: u8 = BRIDGE | Version::V31.level();
const BRIDGE_V311: u8 = BRIDGE | Version::V311.level();

/// Connect flags (3.1.2.3).
pub(crate) const USER_NAME: u8 = 1 << 7;
pub(crate) const PASSWORD: u8 = 1 << 6;
pub(crate) const WILL_RETAIN: u8 = 1 << 5;
pub(crate) const WILL: u8 = 1 << 2;
pub(crate) const CLEAN_START: u8 = 1 << 1;
const CONNECT_RESERVED: u8 = 1;

/// Connect acknowledge flags (3.2.2.1).
pub(crate) const SESSION_PRESENT: u8 = 1;

/// Subscription options (3.8.3.1).
pub(crate) const NO_LOCAL: u8 = 1 << 2;
pub(crate) const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
