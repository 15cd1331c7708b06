//! What a server sends, held against everything that the specification says of its form.

use ::mqtt::version::Version;

use crate::conform::case::Short;
use crate::conform::mqtt_cases::write::prop;

/// A packet from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Connack(Connack),
    Publish(Publish),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack),
    Suback(Codes),
    /// Without codes in 3.1.1.
    Unsuback(Codes),
    Pingresp,
    Disconnect {
        code: u8,
        properties: Properties,
    },
    Auth {
        code: u8,
        properties: Properties,
    },
}

/// The answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connack {
    pub(crate) present: bool,
    pub(crate) code: u8,
    pub(crate) properties: Properties,
    /// How long the packet was, in bytes.
    pub(crate) size: usize,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    /// Zero with QoS 0.
    pub(crate) id: u16,
    pub(crate) properties: Properties,
    pub(crate) payload: Vec<u8>,
    /// How long the packet was, in bytes.
    pub(crate) size: usize,
}

/// An acknowledgement of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    /// As `PUBACK` and its relatives are written.
    pub(crate) first: u8,
    pub(crate) id: u16,
    /// Zero where none is written.
    pub(crate) code: u8,
    pub(crate) properties: Properties,
}

/// An acknowledgement of filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codes {
    pub(crate) id: u16,
    pub(crate) codes: Vec<u8>,
    pub(crate) properties: Properties,
}

/// Properties in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Properties(Vec<(u8, Value)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u32),
    Bytes(Vec<u8>),
    Pair(String, String),
}

impl Properties {
    /// Whether it is there.
    pub(crate) fn has(&self, id: u8) -> bool {
        self.0.iter().any(|(found, _)| *found == id)
    }

    /// A number, if it is there.
    pub(crate) fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).into_iter().next()
    }

    /// All numbers of that property.
    pub(crate) fn numbers(&self, id: u8) -> Vec<u32> {
        let numbers = self.0.iter().filter_map(|(found, value)| match value {
            Value::Number(number) if *found == id => Some(*number),
            Value::Number(_) | Value::Bytes(_) | Value::Pair(..) => None,
        });
        numbers.collect()
    }

    /// Text or bytes, if they are there.
    pub(crate) fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find_map(|(found, value)| match value {
            Value::Bytes(bytes) if *found == id => Some(bytes.as_slice()),
            Value::Number(_) | Value::Bytes(_) | Value::Pair(..) => None,
        })
    }

    /// User properties in their order.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, value) => Some((name.as_str(), value.as_str())),
            Value::Number(_) | Value::Bytes(_) => None,
        });
        pairs.collect()
    }
}

/// Takes a packet from the front of what came; `None`: it is not all there.
///
/// # Errors
///
/// It is nothing that a server may send in this version.
pub(crate) fn cut(incoming: &mut Vec<u8>, version: Version) -> Result<Option<Packet>, Short> {
    let mut reader = Reader(incoming);
    let Ok(first) = reader.u8() else { return Ok(None) };
    let Some(size) = reader.length()? else { return Ok(None) };
    let head = incoming.len() - reader.0.len();
    let Ok(body) = reader.take(size) else { return Ok(None) };
    let packet = read(first, body, head + size, version).map_err(|why| {
        let shown: String = body.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
        Short::failed(format!("{why}, in a packet from the server: {first:02x}, then {shown}"))
    })?;
    incoming.drain(..head + size);
    Ok(Some(packet))
}

type Read<T> = Result<T, String>;

fn read(first: u8, body: &[u8], size: usize, version: Version) -> Read<Packet> {
    let is_5 = version.has_properties();
    let reader = &mut Reader(body);
    let packet = match first {
        0x20 => {
            let flags = reader.u8()?;
            ensure(flags < 2, "reserved flags of CONNACK are set")?;
            let code = one_of(reader.u8()?, if is_5 { CONNACK_CODES } else { &[0, 1, 2, 3, 4, 5] })?;
            Packet::Connack(Connack {
                present: flags == 1,
                code,
                properties: reader.block(is_5, IN_CONNACK)?,
                size,
            })
        }
        0x30..=0x3f => Packet::Publish(publish(first, reader, size, is_5)?),
        0x40 | 0x50 | 0x62 | 0x70 => Packet::Ack(acknowledgement(first, reader, is_5)?),
        0x90 => {
            let codes = codes(reader, is_5)?;
            let known = if is_5 { SUBACK_CODES } else { &[0, 1, 2, 0x80] };
            codes.codes.iter().try_for_each(|code| one_of(*code, known).map(drop))?;
            Packet::Suback(codes)
        }
        0xb0 => {
            let codes = codes(reader, is_5)?;
            ensure(is_5 || codes.codes.is_empty(), "UNSUBACK has no codes before 5.0")?;
            codes.codes.iter().try_for_each(|code| one_of(*code, UNSUBACK_CODES).map(drop))?;
            Packet::Unsuback(codes)
        }
        0xd0 => Packet::Pingresp,
        0xe0 if is_5 => {
            let code = if reader.0.is_empty() { 0 } else { one_of(reader.u8()?, DISCONNECT_CODES)? };
            let has_block = !reader.0.is_empty();
            Packet::Disconnect { code, properties: reader.block(has_block, IN_DISCONNECT)? }
        }
        0xf0 if is_5 => {
            let code = if reader.0.is_empty() { 0 } else { one_of(reader.u8()?, AUTH_CODES)? };
            let has_block = !reader.0.is_empty();
            Packet::Auth { code, properties: reader.block(has_block, IN_AUTH)? }
        }
        _ => return Err(format!("{first:#04x} begins no packet that a server may send")),
    };
    ensure(reader.0.is_empty(), "bytes are left over")?;
    Ok(packet)
}

fn publish(first: u8, reader: &mut Reader<'_>, size: usize, is_5: bool) -> Read<Publish> {
    let (dup, qos, retain) = (first & 8 != 0, first >> 1 & 3, first & 1 != 0);
    ensure(qos < 3, "QoS 3")?;
    ensure(qos > 0 || !dup, "DUP with QoS 0")?;
    let topic = reader.text()?;
    ensure(!topic.contains(['+', '#']), "a wildcard in a topic")?;
    let id = if qos > 0 { reader.u16()? } else { 0 };
    ensure(qos == 0 || id > 0, "packet id 0")?;
    let properties = reader.block(is_5, IN_PUBLISH)?;
    ensure(!topic.is_empty() || properties.has(prop::TOPIC_ALIAS), "an empty topic")?;
    Ok(Publish { dup, qos, retain, topic, id, properties, payload: reader.rest().to_vec(), size })
}

fn acknowledgement(first: u8, reader: &mut Reader<'_>, is_5: bool) -> Read<Ack> {
    let id = reader.u16()?;
    ensure(id > 0, "packet id 0")?;
    let known = if first == 0x40 || first == 0x50 { PUBACK_CODES } else { PUBREL_CODES };
    let code = if is_5 && !reader.0.is_empty() { one_of(reader.u8()?, known)? } else { 0 };
    let has_block = is_5 && !reader.0.is_empty();
    Ok(Ack { first, id, code, properties: reader.block(has_block, IN_ACK)? })
}

fn codes(reader: &mut Reader<'_>, is_5: bool) -> Read<Codes> {
    let id = reader.u16()?;
    let properties = reader.block(is_5, IN_ACK)?;
    Ok(Codes { id, properties, codes: reader.rest().to_vec() })
}

fn ensure(holds: bool, otherwise: &str) -> Read<()> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn one_of(code: u8, known: &[u8]) -> Read<u8> {
    if known.contains(&code) {
        Ok(code)
    } else {
        Err(format!("code {code:#04x}, which does not exist there"))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn u8(&mut self) -> Read<u8> {
        Ok(self.take(1)?.iter().copied().sum())
    }

    fn u16(&mut self) -> Read<u16> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    fn u32(&mut self) -> Read<u32> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    fn binary(&mut self) -> Read<&'a [u8]> {
        let size = self.u16()?;
        self.take(size.into())
    }

    fn text(&mut self) -> Read<String> {
        let text = String::from_utf8(self.binary()?.to_vec()).map_err(|_| "text that is not UTF-8")?;
        ensure(!text.contains('\0'), "U+0000 in text")?;
        Ok(text)
    }

    /// The length of a packet; `None`: it is not all there.
    fn length(&mut self) -> Result<Option<usize>, Short> {
        let available = self.0.len();
        match self.variable() {
            Ok(value) => Ok(Some(value)),
            Err(_) if available < 4 => Ok(None),
            Err(why) => Err(Short::failed(why)),
        }
    }

    fn variable(&mut self) -> Read<usize> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                ensure(byte > 0 || index == 0, "a number with more bytes than it needs")?;
                return Ok(value);
            }
        }
        Err("a number of more than four bytes".to_owned())
    }

    /// The properties, of which only `allowed` may be there, each once (User Property and, in PUBLISH, Subscription
    /// Identifier more often).
    fn block(&mut self, is_there: bool, allowed: &[u8]) -> Read<Properties> {
        let mut found = Properties::default();
        if !is_there {
            return Ok(found);
        }
        let size = self.variable()?;
        let mut block = Reader(self.take(size)?);
        while !block.0.is_empty() {
            let id = block.u8()?;
            ensure(allowed.contains(&id), &format!("property {id:#04x}, which does not belong there"))?;
            let may_repeat = matches!(id, prop::USER_PROPERTY | prop::SUBSCRIPTION_ID);
            ensure(may_repeat || !found.has(id), &format!("property {id:#04x} twice"))?;
            let value = block.value(id)?;
            found.0.push((id, value));
        }
        Ok(found)
    }

    fn value(&mut self, id: u8) -> Read<Value> {
        Ok(match id {
            prop::PAYLOAD_FORMAT | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => {
                let value = self.u8()?;
                ensure(value < 2, &format!("property {id:#04x} is neither 0 nor 1"))?;
                Value::Number(value.into())
            }
            prop::SERVER_KEEP_ALIVE | prop::RECEIVE_MAXIMUM | prop::ALIAS_MAXIMUM | prop::TOPIC_ALIAS => {
                Value::Number(self.u16()?.into())
            }
            prop::MESSAGE_EXPIRY | prop::SESSION_EXPIRY | prop::WILL_DELAY | prop::MAXIMUM_PACKET => {
                Value::Number(self.u32()?)
            }
            prop::SUBSCRIPTION_ID => {
                Value::Number(u32::try_from(self.variable()?).map_err(|error| error.to_string())?)
            }
            prop::USER_PROPERTY => Value::Pair(self.text()?, self.text()?),
            prop::CORRELATION_DATA | prop::AUTH_DATA => Value::Bytes(self.binary()?.to_vec()),
            _ => Value::Bytes(self.text()?.into_bytes()),
        })
    }
}

const IN_CONNACK: &[u8] =
    &[0x11, 0x12, 0x13, 0x15, 0x16, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a];
const IN_PUBLISH: &[u8] = &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26];
const IN_ACK: &[u8] = &[0x1f, 0x26];
// Session Expiry Interval is for clients (3.14.2-2).
const IN_DISCONNECT: &[u8] = &[0x1c, 0x1f, 0x26];
const IN_AUTH: &[u8] = &[0x15, 0x16, 0x1f, 0x26];
const CONNACK_CODES: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a,
    0x9b, 0x9c, 0x9d, 0x9f,
];
const PUBACK_CODES: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const PUBREL_CODES: &[u8] = &[0, 0x92];
const SUBACK_CODES: &[u8] = &[0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
const UNSUBACK_CODES: &[u8] = &[0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
// Without 0x19, which only clients send.
const AUTH_CODES: &[u8] = &[0, 0x18];
// Without 0x04, which only clients send; 0x8c is DISCONNECT's by 2.4, though 3.14.2.1 leaves it out.
const DISCONNECT_CODES: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
    0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];
