//! Words: what clients say, as bytes.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use model::qos::Qos;
use mqtt::codec;
use mqtt::packet::{Connect, Filter, Guarantee, Packet, PacketId, Publish, Subscribe};
use mqtt::topic::TopicName;
use mqtt::version::Version;

/// A payload of so many bytes.
const PAYLOAD_BYTES: usize = 64;

/// Id 1: what each SUBSCRIBE has, and what stands in a message until [`number`] puts its own there.
const FIRST: PacketId = PacketId(std::num::NonZeroU16::MIN);

pub(crate) fn connect(name: &str, version: Version) -> BytesMut {
    let connect = Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 0,
        client_id: ByteString::from(name),
        will: None,
        user: None,
        password: None,
        properties: None,
    };
    written(&Packet::Connect(Box::new(connect)), version)
}

pub(crate) fn subscribe(filters: &[String], qos: Qos, version: Version) -> BytesMut {
    let filters = filters.iter().map(|text| Filter::plain(ByteString::from(text.as_str()), qos)).collect();
    written(&Packet::Subscribe(Subscribe { id: FIRST, filters, properties: None }), version)
}

pub(crate) fn publish(topic: &str, qos: Qos, version: Version) -> anyhow::Result<BytesMut> {
    let publish = Publish {
        dup: false,
        retain: false,
        delivery: Guarantee::new(qos, FIRST),
        topic: Some(TopicName::parse(ByteString::from(topic))?),
        payload: Bytes::from_static(&[b'x'; PAYLOAD_BYTES]),
        properties: None,
    };
    Ok(written(&Packet::Publish(publish), version))
}

fn written(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    codec::encode(packet, version, &mut bytes);
    bytes
}

/// The same PUBLISH so many times, under packet ids from 1 on.
pub(crate) fn batch(publish: &[u8], count: u16, qos: Qos) -> Vec<u8> {
    let mut batch = Vec::new();
    for id in 1..=count {
        let start = batch.len();
        batch.extend_from_slice(publish);
        if qos != Qos::AtMostOnce {
            number(&mut batch[start..], id);
        }
    }
    batch
}

/// Writes a packet id into a PUBLISH.
fn number(publish: &mut [u8], id: u16) {
    if let Some((_, at)) = id_of(publish) {
        publish[at..at + 2].copy_from_slice(&id.to_be_bytes());
    }
}

/// The packet id of the packet at the front that has one and wants an answer, and where it is.
fn id_of(bytes: &[u8]) -> Option<([u8; 2], usize)> {
    let (head, _) = frame(bytes);
    let at = if bytes[0] >> 4 == 3 {
        head + 2 + usize::from(u16::from_be_bytes([bytes[head], bytes[head + 1]]))
    } else {
        head
    };
    (bytes[0] >> 4 != 3 || bytes[0] & 6 != 0).then(|| ([bytes[at], bytes[at + 1]], at))
}

/// How long the fixed header of the packet at the front is, and how long all of it.
fn frame(bytes: &[u8]) -> (usize, usize) {
    let (mut length, mut head) = (0, 1);
    loop {
        let byte = usize::from(bytes[head]);
        length |= (byte & 127) << (7 * (head - 1));
        head += 1;
        if byte < 128 {
            return (head, head + length);
        }
    }
}

/// What a client of MQTT answers to all that it heard, which is gone then.
pub(crate) fn answers(heard: &mut Vec<u8>) -> Vec<u8> {
    let mut answers = Vec::new();
    let mut rest = &heard[..];
    while !rest.is_empty() {
        let (_, length) = frame(rest);
        let kind = match rest[0] >> 4 {
            3 if rest[0] & 6 == 2 => Some(0x40),
            3 if rest[0] & 6 == 4 => Some(0x50),
            5 => Some(0x62),
            6 => Some(0x70),
            _ => None,
        };
        if let (Some(kind), Some((id, _))) = (kind, kind.and_then(|_| id_of(rest))) {
            answers.extend_from_slice(&[kind, 2, id[0], id[1]]);
        }
        rest = &rest[length..];
    }
    heard.clear();
    answers
}

pub(crate) const STOMP_CONNECT: &[u8] = b"CONNECT\naccept-version:1.2\nhost:/\n\n\0";

pub(crate) fn stomp_subscribe(destination: &str, ack: &str) -> Vec<u8> {
    format!("SUBSCRIBE\nid:1\ndestination:{destination}\nack:{ack}\n\n\0").into_bytes()
}

/// A SEND as clients write it; `headers` are lines of their own.
pub(crate) fn stomp_send(destination: &str, headers: &str) -> Vec<u8> {
    let body = "x".repeat(PAYLOAD_BYTES);
    format!(
        "SEND\ndestination:{destination}\ncontent-type:text/plain\n{headers}content-length:{PAYLOAD_BYTES}\n\n{body}\0"
    )
    .into_bytes()
}

/// What a client of STOMP says that acknowledges everything up to the last message it heard, which is gone then.
pub(crate) fn stomp_acknowledges(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let at = memchr::memmem::rfind(heard, b"\nack:")?;
    let value = heard.get(at + 5..)?;
    let value = &value[..memchr::memchr(b'\n', value)?];
    let ack = [b"ACK\nid:", value, b"\n\n\0"].concat();
    heard.clear();
    Some(ack)
}
