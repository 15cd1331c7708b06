//! Codecs: packets and frames out of bytes, and back.

use std::hint::black_box;
use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use criterion::{BatchSize, Criterion, Throughput};
use model::qos::Qos;
use mqtt::codec::{self, PropertyLimits, Role, Rules};
use mqtt::packet::{Ack, Connect, Filter, Guarantee, Packet, PacketId, Properties, Publish, Subscribe};
use mqtt::topic::TopicName;
use mqtt::version::Version;
use stomp::decode::{self, Limits};
use stomp::encode;
use stomp::frame::{Command, Frame};

const ID: PacketId = PacketId(NonZeroU16::MIN);

/// So many packets stand behind one another in a buffer, as they come out of a socket.
const MANY: usize = 64;

pub(crate) fn mqtt(criterion: &mut Criterion) {
    let packets = [
        ("publish, 3.1.1, QoS 0", Version::V311, publish(Qos::AtMostOnce, None)),
        ("publish, 3.1.1, QoS 1", Version::V311, publish(Qos::AtLeastOnce, None)),
        ("publish, 5.0, QoS 1", Version::V5, publish(Qos::AtLeastOnce, None)),
        ("publish, 5.0, properties", Version::V5, publish(Qos::AtLeastOnce, Some(Box::new(properties())))),
        ("puback, 3.1.1", Version::V311, Packet::Puback(Ack::success(ID))),
        ("subscribe, 5.0", Version::V5, subscribe()),
        ("connect, 5.0", Version::V5, connect()),
    ];
    let mut group = criterion.benchmark_group("mqtt");
    group.throughput(Throughput::Elements(MANY as u64));
    for (name, version, packet) in packets {
        let mut written = BytesMut::new();
        (0..MANY).for_each(|_| codec::encode(&packet, version, &mut written));
        let rules = Rules {
            version: Some(version),
            role: Role::Server,
            packet_max: 1 << 20,
            properties: PropertyLimits::default(),
        };
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter_batched_ref(
                || written.clone(),
                |bytes| {
                    while let Some(packet) = codec::decode(bytes, &rules).unwrap() {
                        black_box(packet);
                    }
                },
                BatchSize::SmallInput,
            );
        });
        let mut out = BytesMut::with_capacity(written.len());
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                (0..MANY).for_each(|_| codec::encode(black_box(&packet), version, &mut out));
            });
        });
    }
    group.finish();
}

pub(crate) fn stomp(criterion: &mut Criterion) {
    let version = stomp::version::Version::V1_2;
    let frames =
        [("SEND", send()), ("MESSAGE", message()), ("ACK", Frame::new(Command::Ack).with("id", "q-1-1024"))];
    let mut group = criterion.benchmark_group("stomp");
    group.throughput(Throughput::Elements(MANY as u64));
    for (name, frame) in frames {
        let mut written = BytesMut::new();
        (0..MANY).for_each(|_| encode::encode(&frame, version, &mut written));
        let limits = Limits::default();
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter_batched_ref(
                || written.clone(),
                |bytes| {
                    while let Some(frame) = decode::decode(bytes, &limits, version).unwrap() {
                        black_box(frame);
                    }
                },
                BatchSize::SmallInput,
            );
        });
        let mut out = BytesMut::with_capacity(written.len());
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                (0..MANY).for_each(|_| encode::encode(black_box(&frame), version, &mut out));
            });
        });
    }
    group.finish();
}

fn publish(qos: Qos, properties: Option<Box<Properties>>) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        retain: false,
        delivery: Guarantee::new(qos, ID),
        topic: Some(TopicName::parse(ByteString::from_static("plant/7/line/3/temperature")).unwrap()),
        payload: Bytes::from_static(&[b'x'; 64]),
        properties,
    })
}

fn properties() -> Properties {
    Properties {
        message_expiry_s: Some(60),
        content_type: Some(ByteString::from_static("text/plain")),
        user: vec![(ByteString::from_static("region"), ByteString::from_static("kr"))],
        ..Properties::default()
    }
}

fn subscribe() -> Packet {
    let filters = ["plant/+/line/#", "plant/7/line/3/temperature"].map(ByteString::from_static);
    let filters = filters.into_iter().map(|text| Filter::plain(text, Qos::AtLeastOnce)).collect();
    Packet::Subscribe(Subscribe { id: ID, filters, properties: None })
}

fn connect() -> Packet {
    Packet::Connect(Box::new(Connect {
        version: Version::V5,
        is_bridge: false,
        clean_start: true,
        keep_alive_s: 60,
        client_id: ByteString::from_static("plant-7-line-3"),
        will: None,
        user: Some(ByteString::from_static("kim")),
        password: Some(Bytes::from_static(b"secret")),
        properties: None,
    }))
}

fn send() -> Frame {
    Frame::new(Command::Send)
        .with("destination", "/topic/plant.7.line.3.temperature")
        .with("content-type", "text/plain")
        .with("receipt", "message-1024")
        .with_body(Bytes::from_static(&[b'x'; 64]))
}

fn message() -> Frame {
    Frame::new(Command::Message)
        .with("subscription", "0")
        .with("message-id", "1-1-1024")
        .with("destination", "/topic/plant.7.line.3.temperature")
        .with("content-type", "text/plain")
        .with("ack", "0-1024")
        .with_body(Bytes::from_static(&[b'x'; 64]))
}
