//! Properties of 5.0: each in its packets, once, with values it can have.

use bytes::BytesMut;
use mqtt::codec::{DecodeError, PropertyLimits, Role, Rules, decode};
use mqtt::reason::Reason;
use mqtt::topic::TopicError;
use mqtt::version::Version;

/// The owners of properties, as letters: C onnect, c onnack, P ublish, W ill, A cks, S ubscribe, s uback, U nsubscribe,
/// u nsuback, D isconnect, X for AUTH. Copied from Table 2-4 by hand, apart from the decoder's own table.
const TABLE: &[(u8, &[u8], &str)] = &[
    (0x01, b"\x01", "PW"),
    (0x02, b"\0\0\0\x01", "PW"),
    (0x03, b"\0\x01a", "PW"),
    (0x08, b"\0\x01a", "PW"),
    (0x09, b"\0\x01\xFF", "PW"),
    (0x0B, b"\x01", "PS"),
    (0x11, b"\0\0\0\0", "CcD"),
    (0x12, b"\0\x01a", "c"),
    (0x13, b"\0\x01", "c"),
    (0x15, b"\0\x01a", "CcX"),
    (0x16, b"\0\x01a", "CcX"),
    (0x17, b"\x01", "C"),
    (0x18, b"\0\0\0\x01", "W"),
    (0x19, b"\x01", "C"),
    (0x1A, b"\0\x01a", "c"),
    (0x1C, b"\0\x01a", "cD"),
    (0x1F, b"\0\x01a", "cAsuDX"),
    (0x21, b"\0\x01", "Cc"),
    (0x22, b"\0\0", "Cc"),
    (0x23, b"\0\x01", "P"),
    (0x24, b"\x01", "c"),
    (0x25, b"\0", "c"),
    (0x26, b"\0\x01a\0\0", "CcPWASsUuDX"),
    (0x27, b"\0\0\0\x01", "Cc"),
    (0x28, b"\0", "c"),
    (0x29, b"\0", "c"),
    (0x2A, b"\0", "c"),
];

#[test]
fn a_property_stands_only_in_its_packets_and_once() {
    // 2.2.2.2
    for id in 0..=0x7F_u8 {
        let row = TABLE.iter().find(|(known, _, _)| *known == id);
        for owner in "CcPWASsUuDX".chars() {
            let Some((_, value, owners)) = row else {
                check(owner, &[id, 0, 0, 0, 0], Err(DecodeError::PropertyUnknown));
                continue;
            };
            let mut once = [&[id], *value].concat();
            // Data needs a method beside it.
            if id == 0x16 {
                once = [&once, &b"\x15\0\x01m"[..]].concat();
            }
            let twice = [&once[..], &[id], value].concat();
            if !owners.contains(owner) {
                check(owner, &[&[id], *value].concat(), Err(DecodeError::PropertyMisplaced));
                continue;
            }
            // What servers send, clients are not asked for: see below.
            if (id, owner) != (0x0B, 'P') {
                check(owner, &once, Ok(()));
            }
            match (id, owner) {
                (0x26, _) => check(owner, &twice, Ok(())),
                (0x0B, 'P') => check(owner, &once, Err(DecodeError::SubscriptionIdFromClient)),
                _ => check(owner, &twice, Err(DecodeError::PropertyTwice)),
            }
        }
    }
}

#[test]
fn values_outside_their_range_are_protocol_errors() {
    let zero: &[(char, &[u8])] = &[
        ('C', b"\x21\0\0"),
        ('C', b"\x27\0\0\0\0"),
        ('S', b"\x0B\0"),
        ('C', b"\x17\x02"),
        ('C', b"\x19\x02"),
        ('P', b"\x01\x02"),
        ('c', b"\x24\x02"),
        ('c', b"\x25\x02"),
        ('c', b"\x2A\xFF"),
    ];
    for (owner, value) in zero {
        check(*owner, value, Err(DecodeError::PropertyValue));
    }
    check('P', b"\x23\0\0", Err(DecodeError::TopicAlias));
    check('C', b"\x16\0\x01a", Err(DecodeError::AuthenticationDataAlone));
    check('X', b"\x16\0\x01a", Err(DecodeError::AuthenticationDataAlone));
    assert_eq!(DecodeError::PropertyValue.reason(), Reason::ProtocolError);
    assert_eq!(DecodeError::TopicAlias.reason(), Reason::TopicAliasInvalid);
}

#[test]
fn a_response_topic_is_a_topic_name() {
    // [MQTT-3.3.2-14]
    check('P', b"\x08\0\x03a/#", Err(DecodeError::Topic(TopicError::Wildcard)));
    check('W', b"\x08\0\x01+", Err(DecodeError::Topic(TopicError::Wildcard)));
    check('P', b"\x08\0\0", Err(DecodeError::Topic(TopicError::Empty)));
}

#[test]
fn properties_end_where_their_length_says() {
    check('P', b"\x02\0\0", Err(DecodeError::Truncated));
    check('P', b"\x03\0\x05a", Err(DecodeError::Truncated));
    check('C', b"\x26\0\x01a", Err(DecodeError::Truncated));
}

#[test]
fn one_packet_does_not_say_too_much_of_itself() {
    let many = |count: usize| b"\x26\0\x01a\0\0".repeat(count);
    check('P', &many(64), Ok(()));
    check('P', &many(65), Err(DecodeError::TooManyProperties));
    let long = [&b"\x09\xFF\xFF"[..], &vec![0; 65_535]].concat();
    check('P', &long, Err(DecodeError::TooManyProperties));
}

#[track_caller]
fn check(owner: char, properties: &[u8], expected: Result<(), DecodeError>) {
    let block = [length(properties.len()), properties.to_vec()].concat();
    let connect = |flags: u8, own: &[u8], will: &[u8]| {
        [b"\0\x04MQTT\x05", &[flags, 0, 0][..], own, b"\0\x01c", will].concat()
    };
    let (first, role, body) = match owner {
        'C' => (0x10, Role::Server, connect(2, &block, b"")),
        'W' => (0x10, Role::Server, connect(6, b"\0", &[&block[..], b"\0\x01t\0\0"].concat())),
        'c' => (0x20, Role::Client, [b"\0\0", &block[..]].concat()),
        'P' => (0x30, Role::Server, [b"\0\x01t", &block[..]].concat()),
        'A' => (0x40, Role::Server, [b"\0\x01\0", &block[..]].concat()),
        'S' => (0x82, Role::Server, [b"\0\x01", &block[..], b"\0\x01t\0"].concat()),
        's' => (0x90, Role::Client, [b"\0\x01", &block[..], b"\0"].concat()),
        'U' => (0xA2, Role::Server, [b"\0\x01", &block[..], b"\0\x01t"].concat()),
        'u' => (0xB0, Role::Client, [b"\0\x01", &block[..], b"\0"].concat()),
        'D' => (0xE0, Role::Server, [b"\0", &block[..]].concat()),
        _ => (0xF0, Role::Server, [b"\x18", &block[..]].concat()),
    };
    let version = if first == 0x10 { None } else { Some(Version::V5) };
    let rules = Rules { version, role, packet_max: 1 << 20, properties: PropertyLimits::default() };
    let packet = [vec![first], length(body.len()), body].concat();
    let read = decode(&mut BytesMut::from(&packet[..]), &rules).map(|packet| assert!(packet.is_some()));
    assert_eq!(read, expected, "{owner}: {properties:02X?}");
}

fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = value >= 0x80;
        bytes.push((value & 0x7F) as u8 | if more { 0x80 } else { 0 });
        value >>= 7;
        if !more {
            return bytes;
        }
    }
}
