//! What a client sends, as bytes; also what it must not send.

use ::mqtt::version::Version;

/// Two bytes of length, and the bytes.
pub(crate) fn binary(value: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    out.extend_from_slice(value);
    out
}

/// A variable byte integer.
pub(crate) fn variable(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value % 128).unwrap_or(0);
        value /= 128;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return out;
        }
    }
}

/// A packet from its first byte and the parts after the length.
pub(crate) fn framed(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![first];
    out.extend_from_slice(&variable(body.len()));
    out.extend_from_slice(&body);
    out
}

/// The block of properties that stands in most packets of 5.0, and in none of 3.1.1.
pub(crate) fn properties(version: Version, block: &[u8]) -> Vec<u8> {
    if version.has_properties() { [variable(block.len()), block.to_vec()].concat() } else { Vec::new() }
}

/// CONNECT, with what a client may say in it, and with what it may not.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    /// The protocol name.
    pub(crate) name: Vec<u8>,
    /// The protocol level.
    pub(crate) level: u8,
    /// Clean Session, Clean Start.
    pub(crate) clean: bool,
    /// In seconds; zero: none.
    pub(crate) keep_alive_s: u16,
    /// Of CONNECT itself, 5.0 only.
    pub(crate) properties: Vec<u8>,
    /// Who.
    pub(crate) id: Vec<u8>,
    /// What is said if we are lost.
    pub(crate) will: Option<Will>,
    /// User name.
    pub(crate) user: Option<Vec<u8>>,
    /// Password.
    pub(crate) password: Option<Vec<u8>>,
    /// Bits of the connect flags to turn over.
    pub(crate) wrong_flags: u8,
    /// What follows the last field.
    pub(crate) tail: Vec<u8>,
    /// Which.
    pub(crate) version: Version,
}

/// A will.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    /// Where to.
    pub(crate) topic: Vec<u8>,
    /// What.
    pub(crate) payload: Vec<u8>,
    /// How.
    pub(crate) qos: u8,
    /// Whether it is kept.
    pub(crate) retain: bool,
    /// 5.0 only.
    pub(crate) properties: Vec<u8>,
}

impl Will {
    /// QoS 1, not kept.
    pub(crate) fn new(topic: &str, payload: &[u8]) -> Self {
        let (topic, payload) = (topic.as_bytes().to_vec(), payload.to_vec());
        Self { topic, payload, qos: 1, retain: false, properties: Vec::new() }
    }
}

impl Connect {
    /// A clean session of that name.
    pub(crate) fn new(version: Version, id: &str) -> Self {
        Self {
            name: version.protocol_name().into(),
            level: version.level(),
            clean: true,
            keep_alive_s: 60,
            properties: Vec::new(),
            id: id.into(),
            will: None,
            user: None,
            password: None,
            wrong_flags: 0,
            tail: Vec::new(),
            version,
        }
    }

    /// A session that outlives the connection, in 5.0 for ten minutes; an old one goes on.
    pub(crate) fn lasting(version: Version, id: &str) -> Self {
        Self { clean: false, properties: prop::u32(prop::SESSION_EXPIRY, 600), ..Self::new(version, id) }
    }

    /// With properties more.
    pub(crate) fn with(mut self, block: &[u8]) -> Self {
        self.properties.extend_from_slice(block);
        self
    }

    /// With a will.
    pub(crate) fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// As bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = binary(&self.name);
        body.extend([self.level, self.flags() ^ self.wrong_flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        body.extend(properties(self.version, &self.properties));
        body.extend(binary(&self.id));
        if let Some(will) = &self.will {
            body.extend(properties(self.version, &will.properties));
            body.extend(binary(&will.topic));
            body.extend(binary(&will.payload));
        }
        for field in [&self.user, &self.password].into_iter().flatten() {
            body.extend(binary(field));
        }
        framed(0x10, &[&body, &self.tail])
    }

    fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
        u8::from(self.clean) << 1
            | will
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.user.is_some()) << 7
    }
}

/// PUBLISH.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// Where to.
    pub(crate) topic: Vec<u8>,
    /// What.
    pub(crate) payload: Vec<u8>,
    /// 0 to 3.
    pub(crate) qos: u8,
    /// The packet id, written where QoS is not 0.
    pub(crate) id: u16,
    /// DUP.
    pub(crate) dup: bool,
    /// RETAIN.
    pub(crate) retain: bool,
    /// 5.0 only.
    pub(crate) properties: Vec<u8>,
}

impl Message {
    /// A message with this id, where its QoS needs one.
    pub(crate) fn new(topic: &str, payload: &[u8], qos: u8, id: u16) -> Self {
        Self { topic: topic.into(), payload: payload.into(), qos, id, ..Self::default() }
    }

    /// With RETAIN.
    pub(crate) fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With DUP.
    pub(crate) fn again(mut self) -> Self {
        self.dup = true;
        self
    }

    /// With properties more.
    pub(crate) fn with(mut self, block: &[u8]) -> Self {
        self.properties.extend_from_slice(block);
        self
    }

    /// As bytes.
    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let first = 0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let id = if self.qos > 0 { self.id.to_be_bytes().to_vec() } else { Vec::new() };
        framed(first, &[&binary(&self.topic), &id, &properties(version, &self.properties), &self.payload])
    }
}

/// SUBSCRIBE for filters with their options.
pub(crate) fn subscribe(version: Version, id: u16, block: &[u8], filters: &[(&[u8], u8)]) -> Vec<u8> {
    let entries = filters.iter().map(|(filter, options)| [binary(filter), vec![*options]].concat());
    let entries: Vec<u8> = entries.flatten().collect();
    framed(0x82, &[&id.to_be_bytes(), &properties(version, block), &entries])
}

/// UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: Version, id: u16, filters: &[&[u8]]) -> Vec<u8> {
    let entries: Vec<u8> = filters.iter().flat_map(|filter| binary(filter)).collect();
    framed(0xa2, &[&id.to_be_bytes(), &properties(version, &[]), &entries])
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, by its first byte, in the short form, which means success.
pub(crate) fn ack(first: u8, id: u16) -> Vec<u8> {
    framed(first, &[&id.to_be_bytes()])
}

/// The same with a reason code (5.0).
pub(crate) fn ack_with(first: u8, id: u16, reason: u8) -> Vec<u8> {
    framed(first, &[&id.to_be_bytes(), &[reason]])
}

/// PUBACK's first byte.
pub(crate) const PUBACK: u8 = 0x40;
/// PUBREC's first byte.
pub(crate) const PUBREC: u8 = 0x50;
/// PUBREL's first byte.
pub(crate) const PUBREL: u8 = 0x62;
/// PUBCOMP's first byte.
pub(crate) const PUBCOMP: u8 = 0x70;
/// PINGREQ.
pub(crate) const PINGREQ: &[u8] = &[0xc0, 0];
/// DISCONNECT, in the form that all versions know.
pub(crate) const DISCONNECT: &[u8] = &[0xe0, 0];

/// Properties of 5.0 (2.2.2.2), one at a time.
pub(crate) mod prop {
    use super::{binary, variable};

    /// Of one byte.
    pub(crate) fn u8(id: u8, value: u8) -> Vec<u8> {
        vec![id, value]
    }

    /// Of two bytes.
    pub(crate) fn u16(id: u8, value: u16) -> Vec<u8> {
        let [high, low] = value.to_be_bytes();
        vec![id, high, low]
    }

    /// Of four bytes.
    pub(crate) fn u32(id: u8, value: u32) -> Vec<u8> {
        [vec![id], value.to_be_bytes().to_vec()].concat()
    }

    /// A variable byte integer.
    pub(crate) fn number(id: u8, value: usize) -> Vec<u8> {
        [vec![id], variable(value)].concat()
    }

    /// Text or bytes.
    pub(crate) fn text(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
        [vec![id], binary(value.as_ref())].concat()
    }

    /// User Property.
    pub(crate) fn pair(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
        [vec![USER_PROPERTY], binary(name.as_ref()), binary(value.as_ref())].concat()
    }

    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0b;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTH_METHOD: u8 = 0x15;
    pub(crate) const AUTH_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE: u8 = 0x19;
    pub(crate) const RESPONSE_INFO: u8 = 0x1a;
    pub(crate) const REASON_STRING: u8 = 0x1f;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET: u8 = 0x27;
    pub(crate) const SUBSCRIPTION_ID_AVAILABLE: u8 = 0x29;
}
