//! What a client sends, as bytes.

use crate::mqtt::bytes::{framed, put_binary, put_u16};
use crate::mqtt::packet::Publish;
use crate::mqtt::property::{self, Property};
use crate::mqtt::version::Version;

/// CONNECT, with what a client may say in it.
#[derive(Debug, Clone)]
pub struct Connect {
    /// Which MQTT.
    pub version: Version,
    /// Who.
    pub id: String,
    /// Clean Session, Clean Start.
    pub clean: bool,
    /// In seconds; zero: off.
    pub keep_alive_s: u16,
    /// To be published if the client is lost.
    pub will: Option<Publish>,
    /// In 5.0, what belongs to the will.
    pub will_properties: Vec<Property>,
    /// In 5.0, what else.
    pub properties: Vec<Property>,
    /// User name and password.
    pub login: Option<(String, String)>,
}

impl Connect {
    /// A clean session without anything.
    pub fn new(version: Version, id: &str) -> Self {
        Self {
            version,
            id: id.to_owned(),
            clean: true,
            keep_alive_s: 60,
            will: None,
            will_properties: Vec::new(),
            properties: Vec::new(),
            login: None,
        }
    }

    /// A session that stays for an hour (in 3.x for ever), with what was in it.
    pub fn lasting(version: Version, id: &str) -> Self {
        let connect = Self { clean: false, ..Self::new(version, id) };
        if version == Version::V5 {
            return connect.with(Property::Number(property::SESSION_EXPIRY, 3600));
        }
        connect
    }

    /// With a will.
    #[must_use]
    pub fn will(mut self, will: Publish) -> Self {
        self.will = Some(will);
        self
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let is_5 = self.version == Version::V5;
        let mut body = Vec::new();
        put_binary(&mut body, if self.version == Version::V31 { b"MQIsdp" } else { b"MQTT" });
        body.push(self.version.level());
        body.push(self.flags());
        put_u16(&mut body, self.keep_alive_s);
        if is_5 {
            property::put(&mut body, &self.properties);
        }
        put_binary(&mut body, self.id.as_bytes());
        if let Some(will) = &self.will {
            if is_5 {
                property::put(&mut body, &self.will_properties);
            }
            put_binary(&mut body, will.topic.as_bytes());
            put_binary(&mut body, &will.payload);
        }
        if let Some((user, password)) = &self.login {
            put_binary(&mut body, user.as_bytes());
            put_binary(&mut body, password.as_bytes());
        }
        framed(0x10, &body)
    }

    fn flags(&self) -> u8 {
        let mut flags = u8::from(self.clean) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        if self.login.is_some() {
            flags |= 0xc0;
        }
        flags
    }
}

/// PUBLISH.
pub fn publish(version: Version, message: &Publish) -> Vec<u8> {
    let first = 0x30 | u8::from(message.dup) << 3 | message.qos << 1 | u8::from(message.retain);
    let mut body = Vec::with_capacity(message.topic.len() + message.payload.len() + 8);
    put_binary(&mut body, message.topic.as_bytes());
    if message.qos > 0 {
        put_u16(&mut body, message.id);
    }
    if version == Version::V5 {
        property::put(&mut body, &message.properties);
    }
    body.extend_from_slice(&message.payload);
    framed(first, &body)
}

/// SUBSCRIBE for filters with their options.
pub fn subscribe(version: Version, id: u16, filters: &[(&str, u8)], properties: &[Property]) -> Vec<u8> {
    let mut body = Vec::new();
    put_u16(&mut body, id);
    if version == Version::V5 {
        property::put(&mut body, properties);
    }
    for (filter, options) in filters {
        put_binary(&mut body, filter.as_bytes());
        body.push(*options);
    }
    framed(0x82, &body)
}

/// UNSUBSCRIBE.
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    put_u16(&mut body, id);
    if version == Version::V5 {
        property::put(&mut body, &[]);
    }
    for filter in filters {
        put_binary(&mut body, filter.as_bytes());
    }
    framed(0xa2, &body)
}

/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xc0, 0];

/// DISCONNECT, in the form that all versions know.
pub const DISCONNECT: [u8; 2] = [0xe0, 0];

/// PUBACK, PUBREC, PUBREL and PUBCOMP.
pub mod ack {
    /// QoS 1 is done.
    pub const PUBACK: u8 = 4;
    /// QoS 2: it is here.
    pub const PUBREC: u8 = 5;
    /// QoS 2: let go of the id.
    pub const PUBREL: u8 = 6;
    /// QoS 2 is done.
    pub const PUBCOMP: u8 = 7;

    /// In the short form, which means success in all versions.
    pub fn bytes(kind: u8, id: u16) -> [u8; 4] {
        let [high, low] = id.to_be_bytes();
        let flags = if kind == PUBREL { 2 } else { 0 };
        [kind << 4 | flags, 2, high, low]
    }

    /// As the specification prints it.
    pub const fn name(kind: u8) -> &'static str {
        match kind {
            PUBACK => "PUBACK",
            PUBREC => "PUBREC",
            PUBREL => "PUBREL",
            PUBCOMP => "PUBCOMP",
            _ => "?",
        }
    }
}
