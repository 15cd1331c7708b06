//! The packet table: bytes in, a packet or the named refusal out.

use bytes::BytesMut;
use mqtt::codec::{DecodeError, PropertyLimits, Role, Rules, decode};
use mqtt::packet::Kind;
use mqtt::reason::Reason;
use mqtt::topic::TopicError;
use mqtt::version::Version::{self, V5, V31, V311};

#[test]
fn a_topic_name_has_no_wildcard() {
    // [MQTT-3.3.2-2], [MQTT-4.7.0-1]
    let wildcard = DecodeError::Topic(TopicError::Wildcard);
    for version in [V31, V311] {
        refused(version, b"\x30\x05\x00\x03a/+", wildcard);
        refused(version, b"\x30\x05\x00\x03a/#", wildcard);
        accepted(version, b"\x30\x05\x00\x03a/b", Kind::Publish);
    }
    refused(V5, b"\x30\x06\x00\x03a/+\x00", wildcard);
    refused(V5, b"\x32\x08\x00\x03a/#\x00\x01\x00", wildcard);
    assert_eq!(wildcard.reason(), Reason::MalformedPacket);
}

#[test]
fn no_string_contains_nul() {
    // [MQTT-1.5.4-2], [MQTT-4.7.3-2]
    refused(V311, b"\x30\x05\x00\x03a\0b", DecodeError::Topic(TopicError::Nul));
    refused(V311, b"\x82\x08\x00\x01\x00\x03a\0b\x00", DecodeError::Nul);
    refused(V311, b"\xA2\x07\x00\x01\x00\x03a\0b", DecodeError::Nul);
    refused(V5, b"\x30\x0D\x00\x01a\x09\x26\x00\x01a\x00\x03b\0c", DecodeError::Nul);
    refused(V5, b"\x30\x0A\x00\x01a\x06\x03\x00\x03a\0b", DecodeError::Nul);
    first(b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x00\x00\x03a\0b", Err(DecodeError::Nul));
    first(b"\x10\x12\x00\x04MQTT\x04\x82\x00\x00\x00\x01a\x00\x03a\0b", Err(DecodeError::Nul));
    let will = b"\x10\x15\x00\x04MQTT\x04\x06\x00\x00\x00\x01a\x00\x03t\0t\x00\x01p";
    first(will, Err(DecodeError::Topic(TopicError::Nul)));
}

#[test]
fn every_packet_type_has_its_flags_and_no_others() {
    // [MQTT-2.1.3-1] and its like. Of every first byte, exactly these pass.
    let from_clients = |version: Version| -> Vec<u8> {
        let mut good: Vec<u8> = vec![0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xC0, 0xE0];
        // PUBLISH: no QoS 3, no DUP at QoS 0.
        good.extend([0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3A, 0x3B, 0x3C, 0x3D]);
        match version {
            V31 => good.extend([0x6A, 0x8A, 0xAA]),
            V311 => {}
            V5 => good.push(0xF0),
        }
        good
    };
    for version in [V31, V311, V5] {
        let good = from_clients(version);
        for byte in 0..=255_u8 {
            let mut bytes = BytesMut::from(&[byte][..]);
            let passes = decode(&mut bytes, &server(version)).is_ok();
            assert_eq!(passes, good.contains(&byte), "{version} {byte:02X}");
        }
    }
    let from_servers: &[u8] = &[
        0x20, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3A, 0x3B, 0x3C, 0x3D, 0x40, 0x50, 0x62, 0x70, 0x90, 0xB0,
        0xD0, 0xE0, 0xF0,
    ];
    for byte in 0..=255_u8 {
        let mut bytes = BytesMut::from(&[byte][..]);
        let passes = decode(&mut bytes, &client(V5)).is_ok();
        assert_eq!(passes, from_servers.contains(&byte), "{byte:02X}");
    }
    refused(V311, b"\xC1", DecodeError::Flags);
    refused(V5, b"\x41\x02\x00\x01", DecodeError::Flags);
    refused(V5, b"\x60\x02\x00\x01", DecodeError::Flags);
    refused(V5, b"\x80", DecodeError::Flags);
    refused(V5, b"\x36", DecodeError::PublishQos);
    refused(V5, b"\x38", DecodeError::DupAtMostOnce);
}

#[test]
fn a_client_never_sends_what_servers_send() {
    // [MQTT-4.13.1-1]
    for version in [V31, V311, V5] {
        for packet in [&b"\x20\x02\x00\x00"[..], b"\x90\x03\x00\x01\x00", b"\xB0\x02\x00\x01", b"\xD0\x00"] {
            refused(version, packet, DecodeError::WrongWay);
        }
        refused(version, b"\x00\x00", DecodeError::ReservedType);
    }
    refused(V311, b"\xF0\x00", DecodeError::ReservedType);
    refused(V31, b"\xF0\x00", DecodeError::ReservedType);
    accepted(V5, b"\xF0\x00", Kind::Auth);
    for packet in [0x10, 0x82, 0xA2, 0xC0] {
        let mut bytes = BytesMut::from(&[packet, 0][..]);
        assert_eq!(decode(&mut bytes, &client(V5)), Err(DecodeError::WrongWay));
    }
    assert_eq!(decode(&mut BytesMut::from(&b"\xE0\x00"[..]), &client(V311)), Err(DecodeError::WrongWay));
}

#[test]
fn names_and_filters_are_not_empty() {
    // [MQTT-4.7.3-1], [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    refused(V311, b"\x30\x02\x00\x00", DecodeError::Topic(TopicError::Empty));
    refused(V5, b"\x30\x03\x00\x00\x00", DecodeError::NoTopic);
    accepted(V5, b"\x30\x06\x00\x00\x03\x23\x00\x01", Kind::Publish);
    refused(V311, b"\x82\x05\x00\x01\x00\x00\x00", DecodeError::EmptyFilter);
    refused(V311, b"\xA2\x04\x00\x01\x00\x00", DecodeError::EmptyFilter);
    refused(V311, b"\x82\x02\x00\x01", DecodeError::NoFilter);
    refused(V311, b"\xA2\x02\x00\x01", DecodeError::NoFilter);
    refused(V5, b"\x82\x03\x00\x01\x00", DecodeError::NoFilter);
    refused(V5, b"\xA2\x03\x00\x01\x00", DecodeError::NoFilter);
}

#[test]
fn reserved_bits_of_the_subscription_options_are_zero() {
    // [MQTT-3.8.3-5], 3.8.3.1
    for bit in 2..8_u8 {
        let packet = [b"\x82\x06\x00\x01\x00\x01a", &[1 << bit][..]].concat();
        refused(V311, &packet, DecodeError::SubscribeReserved);
    }
    refused(V311, b"\x82\x06\x00\x01\x00\x01a\x03", DecodeError::SubscribeOptions);
    refused(V5, b"\x82\x07\x00\x01\x00\x00\x01a\x40", DecodeError::SubscribeReserved);
    refused(V5, b"\x82\x07\x00\x01\x00\x00\x01a\x80", DecodeError::SubscribeReserved);
    refused(V5, b"\x82\x07\x00\x01\x00\x00\x01a\x03", DecodeError::SubscribeOptions);
    refused(V5, b"\x82\x07\x00\x01\x00\x00\x01a\x30", DecodeError::SubscribeOptions);
    accepted(V5, b"\x82\x07\x00\x01\x00\x00\x01a\x2E", Kind::Subscribe);
    refused(V5, b"\x82\x10\x00\x01\x00\x00\x0A$share/g/a\x04", DecodeError::NoLocalShared);
}

#[test]
fn strings_are_well_formed_utf8() {
    // [MQTT-1.5.4-1], [MQTT-1.5.7-1], [MQTT-1.5.4-3]
    for bad in [&b"\xC3\x28"[..], b"\xED\xA0\x80", b"\xFF", b"\xC0\x80", b"\xF5\x80\x80\x80", b"\xE2\x82"] {
        let packet = [&[0x30, 2 + bad.len() as u8, 0, bad.len() as u8][..], bad].concat();
        refused(V311, &packet, DecodeError::Utf8);
    }
    refused(V5, b"\x30\x0B\x00\x01a\x07\x26\x00\x01\xFF\x00\x01b", DecodeError::Utf8);
    refused(V5, b"\x30\x0B\x00\x01a\x07\x26\x00\x01a\x00\x01\xFF", DecodeError::Utf8);
    accepted(V311, b"\x30\x05\x00\x03\xEF\xBB\xBF", Kind::Publish);
    accepted(V311, b"\x30\x06\x00\x04\xF0\x9F\x98\x80", Kind::Publish);
}

#[test]
fn a_packet_identifier_is_not_zero() {
    // [MQTT-2.2.1-3]
    for version in [V31, V311] {
        refused(version, b"\x32\x05\x00\x01a\x00\x00", DecodeError::PacketId);
        refused(version, b"\x34\x05\x00\x01a\x00\x00", DecodeError::PacketId);
        refused(version, b"\x82\x06\x00\x00\x00\x01a\x00", DecodeError::PacketId);
        refused(version, b"\xA2\x05\x00\x00\x00\x01a", DecodeError::PacketId);
    }
    for version in [V31, V311, V5] {
        for first in [0x40, 0x50, 0x62, 0x70] {
            refused(version, &[first, 2, 0, 0], DecodeError::PacketId);
        }
    }
}

#[test]
fn the_connect_flags_agree_with_each_other_and_with_the_payload() {
    // [MQTT-3.1.2-3], [MQTT-3.1.2-11..13], [MQTT-3.1.2-16..19]
    let connect = |version: u8, flags: u8, tail: &[u8]| {
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        let body = [b"\x00\x04MQTT", &[version, flags, 0, 60][..], properties, b"\x00\x01c", tail].concat();
        [&[0x10, body.len() as u8][..], &body[..]].concat()
    };
    let will5 = b"\x00\x00\x01t\x00\x01p";
    let will = b"\x00\x01t\x00\x01p";
    for version in [4, 5] {
        let will: &[u8] = if version == 5 { will5 } else { will };
        first(&connect(version, 0x02, b""), Ok(Kind::Connect));
        first(&connect(version, 0x03, b""), Err(DecodeError::ConnectReserved));
        first(&connect(version, 0x0A, b""), Err(DecodeError::WillFlags));
        first(&connect(version, 0x22, b""), Err(DecodeError::WillFlags));
        first(&connect(version, 0x1E, will), Err(DecodeError::WillQos));
        first(&connect(version, 0x36, will), Ok(Kind::Connect));
        first(&connect(version, 0x06, b""), Err(DecodeError::Truncated));
        first(&connect(version, 0x82, b""), Err(DecodeError::Truncated));
        first(&connect(version, 0xC2, b"\x00\x01u"), Err(DecodeError::Truncated));
        first(&connect(version, 0xC2, b"\x00\x01u\x00\x01\xFF"), Ok(Kind::Connect));
        first(&connect(version, 0x82, b"\x00\x01u\x00\x01p"), Err(DecodeError::LeftOver));
        first(&connect(version, 0x02, b"\x00"), Err(DecodeError::LeftOver));
    }
    first(&connect(4, 0x42, b"\x00\x01p"), Err(DecodeError::PasswordAlone));
    first(&connect(5, 0x42, b"\x00\x01p"), Ok(Kind::Connect));
    first(&connect(4, 0x06, b"\x00\x00\x00\x00"), Err(DecodeError::Topic(TopicError::Empty)));
    first(&connect(4, 0x06, b"\x00\x01+\x00\x00"), Err(DecodeError::Topic(TopicError::Wildcard)));
    first(&connect(4, 0x06, b"\x00\x01t\x00\x00"), Ok(Kind::Connect));
}

#[test]
fn the_protocol_is_told_by_name_and_level() {
    // [MQTT-3.1.2-1], [MQTT-3.1.2-2]
    let level = |name: &str, level: u8| {
        let name = [&[0, name.len() as u8], name.as_bytes()].concat();
        let properties: &[u8] = if level == 5 { &[0] } else { &[] };
        let body = [&name[..], &[level, 2, 0, 60], properties, b"\x00\x01c"].concat();
        [&[0x10, body.len() as u8][..], &body[..]].concat()
    };
    first(&level("MQIsdp", 3), Ok(Kind::Connect));
    first(&level("MQTT", 4), Ok(Kind::Connect));
    first(&level("MQTT", 5), Ok(Kind::Connect));
    // With the highest bit set: a bridge. In 5.0 it has options for what it wants.
    first(&level("MQIsdp", 0x83), Ok(Kind::Connect));
    first(&level("MQTT", 0x84), Ok(Kind::Connect));
    first(&level("MQTT", 0x83), Err(DecodeError::Protocol));
    first(&level("MQTT", 0x85), Err(DecodeError::Protocol));
    first(&level("MQIsdp", 0x84), Err(DecodeError::LevelOfMqisdp));
    first(&level("MQTT", 3), Err(DecodeError::LevelOfMqtt));
    first(&level("MQTT", 6), Err(DecodeError::LevelOfMqtt));
    first(&level("MQTT", 7), Err(DecodeError::Protocol));
    first(&level("MQIsdp", 4), Err(DecodeError::LevelOfMqisdp));
    first(&level("mqtt", 4), Err(DecodeError::Protocol));
    first(&level("HTTP", 4), Err(DecodeError::Protocol));
}

#[test]
fn connect_comes_first_and_once() {
    // [MQTT-3.1.0-1], [MQTT-3.1.0-2]. The first byte is enough.
    for byte in [0x30, 0xC0, 0x20, 0x82, 0xE0, 0xF0] {
        first(&[byte], Err(DecodeError::NotConnect));
    }
    first(b"GET / HTTP/1.1", Err(DecodeError::NotConnect));
    refused(V311, b"\x10", DecodeError::SecondConnect);
    refused(V5, b"\x10", DecodeError::SecondConnect);
}

#[test]
fn a_variable_byte_integer_has_its_shortest_form() {
    // [MQTT-1.5.5-1]
    for bad in
        [&b"\xC0\x80\x00"[..], b"\xC0\x80\x80\x80\x00", b"\x30\x80\x80\x80\x80\x01", b"\x30\xFF\xFF\xFF\xFF"]
    {
        refused(V311, bad, DecodeError::VariableByteInteger);
    }
    // A property length, and a subscription identifier.
    refused(V5, b"\x30\x05\x00\x01a\x80\x00", DecodeError::VariableByteInteger);
    refused(V5, b"\x82\x0A\x00\x01\x03\x0B\x80\x00\x00\x01a\x00", DecodeError::VariableByteInteger);
}

#[test]
fn the_size_is_judged_from_the_header_alone() {
    // [MQTT-3.2.2-15], [MQTT-3.1.2-24]
    let rules = Rules { packet_max: 100, ..server(V5) };
    let mut bytes = BytesMut::from(&b"\x30\x62"[..]);
    assert_eq!(decode(&mut bytes, &rules), Ok(None));
    let mut bytes = BytesMut::from(&b"\x30\x63"[..]);
    assert_eq!(decode(&mut bytes, &rules), Err(DecodeError::TooLarge));
    // A stranger's CONNECT: 64 KiB in all.
    first(b"\x10\x80\x80\x04", Err(DecodeError::TooLarge));
    let mut bytes = BytesMut::from(&b"\x10\xFC\xFF\x03"[..]);
    assert_eq!(decode(&mut bytes, &Rules { version: None, ..server(V5) }), Ok(None));
}

#[test]
fn a_packet_ends_where_its_fields_end() {
    // 1.2, "Malformed Packet"
    for bad in [&b"\xC0\x01\x00"[..], b"\xE0\x01\x00", b"\x40\x03\x00\x01\x00", b"\x62\x03\x00\x01\x00"] {
        refused(V311, bad, DecodeError::LeftOver);
    }
    for bad in
        [&b"\x40\x01\x00"[..], b"\x30\x01\x00", b"\x30\x03\x00\x05a", b"\x32\x03\x00\x01a", b"\x82\x01\x00"]
    {
        refused(V311, bad, DecodeError::Truncated);
    }
    refused(V311, b"\x82\x05\x00\x01\x00\x01a", DecodeError::Truncated);
    refused(V311, b"\xA2\x07\x00\x01\x00\x01a\x00\x05", DecodeError::Truncated);
    refused(V5, b"\x30\x04\x00\x01a\x05", DecodeError::Truncated);
    refused(V5, b"\x40\x05\x00\x01\x00\x00\x00", DecodeError::LeftOver);
    refused(V5, b"\xE0\x03\x00\x00\x00", DecodeError::LeftOver);
    accepted(V5, b"\xE0\x00", Kind::Disconnect);
    accepted(V5, b"\xE0\x01\x04", Kind::Disconnect);
    accepted(V5, b"\x40\x03\x00\x01\x10", Kind::Puback);
    accepted(V5, b"\x40\x04\x00\x01\x00\x00", Kind::Puback);
}

#[test]
fn a_reason_code_belongs_to_its_packet() {
    // 2.4, [MQTT-3.4.2-1], [MQTT-3.14.2-1]
    refused(V5, b"\x40\x03\x00\x01\x92", DecodeError::ReasonCode);
    refused(V5, b"\x62\x03\x00\x01\x10", DecodeError::ReasonCode);
    refused(V5, b"\x50\x03\x00\x01\x01", DecodeError::ReasonCode);
    refused(V5, b"\xE0\x01\x8E", DecodeError::ReasonCode);
    refused(V5, b"\xF0\x01\x80", DecodeError::ReasonCode);
    accepted(V5, b"\x62\x03\x00\x01\x92", Kind::Pubrel);
}

#[track_caller]
fn refused(version: Version, packet: &[u8], expected: DecodeError) {
    let mut bytes = BytesMut::from(packet);
    assert_eq!(decode(&mut bytes, &server(version)), Err(expected), "{version} {packet:02X?}");
}

#[track_caller]
fn accepted(version: Version, packet: &[u8], kind: Kind) {
    let mut bytes = BytesMut::from(packet);
    let read = decode(&mut bytes, &server(version)).map(|packet| packet.map(|packet| packet.kind()));
    assert_eq!(read, Ok(Some(kind)), "{version} {packet:02X?}");
    assert!(bytes.is_empty());
}

#[track_caller]
fn first(packet: &[u8], expected: Result<Kind, DecodeError>) {
    let mut bytes = BytesMut::from(packet);
    let rules = Rules { version: None, ..server(V5) };
    let read = decode(&mut bytes, &rules).map(|packet| packet.expect("a whole packet").kind());
    assert_eq!(read, expected, "{packet:02X?}");
}

fn server(version: Version) -> Rules {
    Rules {
        version: Some(version),
        role: Role::Server,
        packet_max: 1 << 20,
        properties: PropertyLimits::default(),
    }
}

fn client(version: Version) -> Rules {
    Rules { role: Role::Client, ..server(version) }
}
