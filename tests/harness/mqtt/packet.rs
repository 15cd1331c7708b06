//! What a broker sends, with everything that stands in it.

use std::io::{self, Error};

use crate::mqtt::bytes::{Reader, variable};
use crate::mqtt::property::{self, Property};
use crate::mqtt::version::Version;

/// A packet from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// CONNACK
    Connack(Connack),
    /// PUBLISH
    Publish(Publish),
    /// PUBACK, PUBREC, PUBREL, PUBCOMP: which one is in the upper half of its first byte.
    Ack {
        /// 4 to 7.
        kind: u8,
        /// For which packet.
        id: u16,
        /// Zero where none is given.
        reason: u8,
    },
    /// SUBACK
    Suback {
        /// For which packet.
        id: u16,
        /// One for each filter.
        codes: Vec<u8>,
        /// Empty before 5.0.
        properties: Vec<Property>,
    },
    /// UNSUBACK
    Unsuback {
        /// For which packet.
        id: u16,
        /// One for each filter; none before 5.0.
        codes: Vec<u8>,
    },
    /// PINGRESP
    Pingresp,
    /// DISCONNECT
    Disconnect {
        /// Why.
        reason: u8,
        /// What else it says.
        properties: Vec<Property>,
    },
}

/// The answer to CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack {
    /// Whether there was a session.
    pub session_present: bool,
    /// Zero is success.
    pub code: u8,
    /// Empty before 5.0.
    pub properties: Vec<Property>,
}

/// A message, either way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Publish {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// 0, 1 or 2; to send what is forbidden, 3.
    pub qos: u8,
    /// The packet id; zero where there is none.
    pub id: u16,
    /// Whether it may have been sent before.
    pub dup: bool,
    /// The RETAIN flag.
    pub retain: bool,
    /// Empty before 5.0.
    pub properties: Vec<Property>,
}

impl Publish {
    /// A message without an id.
    pub fn new(topic: &str, payload: &[u8], qos: u8) -> Self {
        Self { topic: topic.to_owned(), payload: payload.to_vec(), qos, ..Self::default() }
    }

    /// With this packet id.
    #[must_use]
    pub fn with_id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// With the RETAIN flag.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With the DUP flag.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.dup = true;
        self
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// The payload, where it is text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// Cuts a packet from the front of `buffer`; `None`: it is not all there.
///
/// # Errors
///
/// If what stands there is nothing that a broker may send.
pub fn cut(buffer: &mut Vec<u8>, version: Version) -> io::Result<Option<Packet>> {
    let Some((first, rest)) = buffer.split_first() else { return Ok(None) };
    let Some((size, digits)) = variable(rest)? else { return Ok(None) };
    let Some(body) = rest.get(digits..digits + size) else { return Ok(None) };
    let packet = read(*first, Reader::new(body), version)
        .map_err(|error| Error::other(format!("{error}: {first:#04x} {}", shown(body))))?;
    buffer.drain(..1 + digits + size);
    Ok(Some(packet))
}

fn read(first: u8, mut reader: Reader<'_>, version: Version) -> io::Result<Packet> {
    let is_5 = version == Version::V5;
    let properties = |reader: &mut Reader<'_>| {
        if is_5 && !reader.is_empty() { property::read(reader) } else { Ok(Vec::new()) }
    };
    let packet = match first {
        0x20 => Packet::Connack(Connack {
            session_present: reader.u8()? == 1,
            code: reader.u8()?,
            properties: properties(&mut reader)?,
        }),
        0x30..=0x3d => Packet::Publish(read_publish(first, &mut reader, is_5)?),
        0x40 | 0x50 | 0x62 | 0x70 => {
            let id = reader.u16()?;
            let reason = if is_5 && !reader.is_empty() { reader.u8()? } else { 0 };
            properties(&mut reader)?;
            Packet::Ack { kind: first >> 4, id, reason }
        }
        0x90 => {
            let id = reader.u16()?;
            let properties = properties(&mut reader)?;
            Packet::Suback { id, properties, codes: reader.rest().to_vec() }
        }
        0xb0 => {
            let id = reader.u16()?;
            properties(&mut reader)?;
            Packet::Unsuback { id, codes: reader.rest().to_vec() }
        }
        0xd0 => Packet::Pingresp,
        0xe0 if is_5 => {
            let reason = if reader.is_empty() { 0 } else { reader.u8()? };
            Packet::Disconnect { reason, properties: properties(&mut reader)? }
        }
        _ => return Err(Error::other("no packet that a broker may send")),
    };
    if reader.is_empty() { Ok(packet) } else { Err(Error::other("a packet with bytes left over")) }
}

fn read_publish(first: u8, reader: &mut Reader<'_>, is_5: bool) -> io::Result<Publish> {
    let qos = first >> 1 & 3;
    let topic = reader.text()?;
    let id = if qos > 0 { reader.u16()? } else { 0 };
    let properties = if is_5 { property::read(reader)? } else { Vec::new() };
    if qos > 0 && id == 0 {
        return Err(Error::other("packet id 0"));
    }
    let payload = reader.rest().to_vec();
    Ok(Publish { topic, payload, qos, id, dup: first & 8 != 0, retain: first & 1 != 0, properties })
}

fn shown(body: &[u8]) -> String {
    body.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}
