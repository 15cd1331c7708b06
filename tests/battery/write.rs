//! Packets as bytes, right and wrong: nothing is checked, nothing is counted that is not asked for.

use std::sync::atomic::{AtomicU32, Ordering};

use harness::mqtt::bytes::{put_binary, put_variable};
use harness::mqtt::version::Version;

/// A name that nobody else uses, of eight characters.
pub(crate) fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("b{:07}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A packet with this first byte.
pub(crate) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![first];
    put_variable(&mut out, body.len());
    out.extend_from_slice(&body);
    out
}

/// Text or binary data, its length in front.
pub(crate) fn field(value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    put_binary(&mut out, value.as_ref());
    out
}

/// Properties, their length in front; in 3.x nothing.
pub(crate) fn block(version: Version, properties: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if version == Version::V5 {
        put_variable(&mut out, properties.len());
        out.extend_from_slice(properties);
    }
    out
}

/// CONNECT as its fields, so that each can be wrong.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) protocol: Vec<u8>,
    pub(crate) flags: u8,
    pub(crate) keep_alive_s: u16,
    pub(crate) properties: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) will_properties: Vec<u8>,
    pub(crate) will_topic: Vec<u8>,
    pub(crate) will_payload: Vec<u8>,
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Connect {
    /// Clean, with a name of its own, and values for all that flags may ask for.
    pub(crate) fn new(version: Version) -> Self {
        let (name, level) = match version {
            Version::V31 => ("MQIsdp", 3),
            Version::V311 => ("MQTT", 4),
            Version::V5 => ("MQTT", 5),
        };
        let id = fresh();
        Self {
            version,
            protocol: [field(name), vec![level]].concat(),
            flags: 2,
            keep_alive_s: 60,
            properties: Vec::new(),
            will_properties: Vec::new(),
            will_topic: format!("{id}/will").into(),
            id: id.into(),
            will_payload: b"lost".to_vec(),
            // The one user that is always there.
            user: b"guest".to_vec(),
            password: b"guest".to_vec(),
        }
    }

    /// What follows the fixed header, with those fields that the flags announce.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut out = self.protocol.clone();
        out.push(self.flags);
        out.extend_from_slice(&self.keep_alive_s.to_be_bytes());
        out.extend(block(self.version, &self.properties));
        out.extend(field(&self.id));
        if self.flags & 4 != 0 {
            out.extend(block(self.version, &self.will_properties));
            out.extend(field(&self.will_topic));
            out.extend(field(&self.will_payload));
        }
        if self.flags & 0x80 != 0 {
            out.extend(field(&self.user));
        }
        if self.flags & 0x40 != 0 {
            out.extend(field(&self.password));
        }
        out
    }

    /// As a packet.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        packet(0x10, &[&self.body()])
    }
}

/// PUBLISH with these flags; an id from QoS 1 on.
pub(crate) fn publish(version: Version, flags: u8, topic: impl AsRef<[u8]>, properties: &[u8]) -> Vec<u8> {
    let id: &[u8] = if flags & 6 == 0 { &[] } else { &[0, 7] };
    packet(0x30 | flags, &[&field(topic), id, &block(version, properties), b"x"])
}

/// SUBSCRIBE 1.
pub(crate) fn subscribe(version: Version, filters: &[(&[u8], u8)], properties: &[u8]) -> Vec<u8> {
    let filters: Vec<u8> =
        filters.iter().flat_map(|(filter, options)| [field(filter), vec![*options]].concat()).collect();
    packet(0x82, &[&[0, 1], &block(version, properties), &filters])
}

/// UNSUBSCRIBE 1.
pub(crate) fn unsubscribe(version: Version, filters: &[&[u8]], properties: &[u8]) -> Vec<u8> {
    let filters: Vec<u8> = filters.iter().flat_map(field).collect();
    packet(0xa2, &[&[0, 1], &block(version, properties), &filters])
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP 7 in its short form.
pub(crate) fn ack(first: u8) -> Vec<u8> {
    packet(first, &[&[0, 7]])
}

/// How the versions answer an acknowledgement for an id that is not in use (4.3.3; 3.x has no codes).
pub(crate) fn answer_to(first: u8, version: Version) -> &'static str {
    match (first & 0xf0, version) {
        (0x50, Version::V5) => "PUBREL 7 92",
        (0x50, _) => "PUBREL 7 ok",
        (0x60, Version::V5) => "PUBCOMP 7 92",
        (0x60, _) => "PUBCOMP 7 ok",
        _ => "",
    }
}

/// What UNSUBACK says of a filter that was not subscribed to.
pub(crate) const fn not_subscribed(version: Version) -> &'static str {
    match version {
        Version::V5 => "UNSUBACK 1 11",
        Version::V31 | Version::V311 => "UNSUBACK 1",
    }
}
