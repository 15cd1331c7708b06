//! Properties: which, where, how often, how large. One table, read in all directions.

use bytes::{BufMut, BytesMut};
use bytestring::ByteString;

use crate::codec::error::DecodeError;
use crate::codec::header::PropertyLimits;
use crate::codec::wire::{Reader, Value, put_varint, varint_size};
use crate::packet::{Kind, Properties};

/// Which set of properties: a packet's own, or the will's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Packet(Kind),
    Will,
}

impl Owner {
    const fn bit(self) -> u16 {
        match self {
            Self::Packet(kind) => 1 << kind as u16,
            Self::Will => WILL,
        }
    }
}

macro_rules! table {
    ($($id:literal $field:ident: $owners:expr;)*) => {
        /// In which sets the property stands (2.2.2.2, Table 2-4); `None` if there is no such property.
        const fn owners(id: u32) -> Option<u16> {
            match id {
                $($id => Some($owners),)*
                _ => None,
            }
        }

        fn read_value(id: u32, from: &mut Reader, into: &mut Properties) -> Result<(), DecodeError> {
            match id {
                $($id => into.$field.fill(from),)*
                _ => Err(DecodeError::PropertyUnknown),
            }
        }

        fn values_size(properties: &Properties, owner: u16) -> usize {
            let mut size = 0;
            $(if owner & ($owners) != 0 {
                size += properties.$field.each().map(|value| 1 + value.size()).sum::<usize>();
            })*
            size
        }

        fn write_values(properties: &Properties, owner: u16, to: &mut BytesMut) {
            $(if owner & ($owners) != 0 {
                for value in properties.$field.each() {
                    to.put_u8($id);
                    value.write(to);
                }
            })*
        }
    };
}

table! {
    0x01 payload_is_text: PUBLISH | WILL;
    0x02 message_expiry_s: PUBLISH | WILL;
    0x03 content_type: PUBLISH | WILL;
    0x08 response_topic: PUBLISH | WILL;
    0x09 correlation_data: PUBLISH | WILL;
    0x0B subscription_ids: PUBLISH | SUBSCRIBE;
    0x11 session_expiry_s: CONNECT | CONNACK | DISCONNECT;
    0x12 assigned_client_id: CONNACK;
    0x13 server_keep_alive_s: CONNACK;
    0x15 authentication_method: CONNECT | CONNACK | AUTH;
    0x16 authentication_data: CONNECT | CONNACK | AUTH;
    0x17 request_problem_information: CONNECT;
    0x18 will_delay_s: WILL;
    0x19 request_response_information: CONNECT;
    0x1A response_information: CONNACK;
    0x1C server_reference: CONNACK | DISCONNECT;
    0x1F reason_string: CONNACK | ACKS | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    0x21 receive_maximum: CONNECT | CONNACK;
    0x22 topic_alias_maximum: CONNECT | CONNACK;
    0x23 topic_alias: PUBLISH;
    0x24 maximum_qos: CONNACK;
    0x25 retain_available: CONNACK;
    0x26 user: CONNECT | CONNACK | PUBLISH | WILL | ACKS | SUBSCRIBE | SUBACK | UNSUBSCRIBE | UNSUBACK
        | DISCONNECT | AUTH;
    0x27 maximum_packet_size: CONNECT | CONNACK;
    0x28 wildcard_subscription_available: CONNACK;
    0x29 subscription_ids_available: CONNACK;
    0x2A shared_subscription_available: CONNACK;
}

/// Reads the properties of `owner`; `None` if there are none.
pub(crate) fn read(
    from: &mut Reader,
    owner: Owner,
    limits: Option<PropertyLimits>,
) -> Result<Option<Box<Properties>>, DecodeError> {
    let length = from.varint()? as usize;
    if length == 0 {
        return Ok(None);
    }
    if limits.is_some_and(|limits| length > limits.bytes as usize) {
        return Err(DecodeError::TooManyProperties);
    }
    let mut block = Reader::new(from.take(length)?);
    let mut properties = Box::new(Properties::default());
    while !block.is_empty() {
        let id = block.varint()?;
        let owners = owners(id).ok_or(DecodeError::PropertyUnknown)?;
        if owners & owner.bit() == 0 {
            return Err(DecodeError::PropertyMisplaced);
        }
        read_value(id, &mut block, &mut properties).map_err(|error| precise(error, id))?;
        let are_too_many = |limits: PropertyLimits| {
            let is_too_large = |(name, value): &(ByteString, ByteString)| {
                name.len() + value.len() > limits.user_bytes as usize
            };
            properties.user.len() > limits.user as usize || properties.user.last().is_some_and(is_too_large)
        };
        if limits.is_some_and(are_too_many) {
            return Err(DecodeError::TooManyProperties);
        }
    }
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(DecodeError::AuthenticationDataAlone);
    }
    // Towards a client they add up; a SUBSCRIBE has one (3.8.2.1.2).
    if owner == Owner::Packet(Kind::Subscribe) && properties.subscription_ids.len() > 1 {
        return Err(DecodeError::PropertyTwice);
    }
    Ok(Some(properties))
}

/// The alias zero has a reason code of its own (3.3.2.3.4).
const fn precise(error: DecodeError, id: u32) -> DecodeError {
    match (error, id) {
        (DecodeError::PropertyValue, 0x23) => DecodeError::TopicAlias,
        (error, _) => error,
    }
}

/// Writes the properties of `owner` with their length; those of others are left out.
pub(crate) fn write(properties: Option<&Properties>, owner: Owner, to: &mut BytesMut) {
    match properties {
        None => to.put_u8(0),
        Some(properties) => {
            put_varint(to, values_size(properties, owner.bit()) as u32);
            write_values(properties, owner.bit(), to);
        }
    }
}

/// How many bytes [`write`] writes.
pub(crate) fn size(properties: Option<&Properties>, owner: Owner) -> usize {
    let values = properties.map_or(0, |properties| values_size(properties, owner.bit()));
    varint_size(values) + values
}

/// A field of [`Properties`]. Its type says how often the property may stand: an `Option` once, a list any number of times.
trait Slot {
    type Item: Value;
    fn fill(&mut self, from: &mut Reader) -> Result<(), DecodeError>;
    fn each(&self) -> impl Iterator<Item = &Self::Item>;
}

impl<T: Value> Slot for Option<T> {
    type Item = T;

    fn fill(&mut self, from: &mut Reader) -> Result<(), DecodeError> {
        let value = T::read(from)?;
        if self.replace(value).is_some() { Err(DecodeError::PropertyTwice) } else { Ok(()) }
    }

    fn each(&self) -> impl Iterator<Item = &T> {
        self.iter()
    }
}

impl<T: Value> Slot for Vec<T> {
    type Item = T;

    fn fill(&mut self, from: &mut Reader) -> Result<(), DecodeError> {
        self.push(T::read(from)?);
        Ok(())
    }

    fn each(&self) -> impl Iterator<Item = &T> {
        self.iter()
    }
}

impl<T: Value> Slot for smallvec::SmallVec<[T; 1]> {
    type Item = T;

    fn fill(&mut self, from: &mut Reader) -> Result<(), DecodeError> {
        self.push(T::read(from)?);
        Ok(())
    }

    fn each(&self) -> impl Iterator<Item = &T> {
        self.iter()
    }
}

const fn bit(kind: Kind) -> u16 {
    1 << kind as u16
}

const CONNECT: u16 = bit(Kind::Connect);
const CONNACK: u16 = bit(Kind::Connack);
const PUBLISH: u16 = bit(Kind::Publish);
const ACKS: u16 = bit(Kind::Puback) | bit(Kind::Pubrec) | bit(Kind::Pubrel) | bit(Kind::Pubcomp);
const SUBSCRIBE: u16 = bit(Kind::Subscribe);
const SUBACK: u16 = bit(Kind::Suback);
const UNSUBSCRIBE: u16 = bit(Kind::Unsubscribe);
const UNSUBACK: u16 = bit(Kind::Unsuback);
const DISCONNECT: u16 = bit(Kind::Disconnect);
const AUTH: u16 = bit(Kind::Auth);
/// No packet has type 0, so its bit is free.
const WILL: u16 = 1;
