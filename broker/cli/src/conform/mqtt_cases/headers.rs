//! Fixed headers, lengths, packet ids and lists: what they must not be.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::packet::Packet;
use crate::conform::mqtt_cases::refused::{BROKEN, Said, each_refused, each_turned_away};
use crate::conform::mqtt_cases::row::{Row, row};
use crate::conform::mqtt_cases::write::{
    Connect, Message, ack, binary, framed, prop, properties, subscribe, unsubscribe,
};

pub(crate) const ROWS: &[Row] = &[
    row("flags_of_the_fixed_header_are_as_written", "2.1.3-1", "2.2.2-2", |target, version| {
        flags(target, version, "")
    }),
    row("flags_of_pubrel_are_as_written", "3.6.1-1", "3.6.1-1", |target, version| {
        flags(target, version, "PUBREL")
    }),
    row("flags_of_subscribe_are_as_written", "3.8.1-1", "3.8.1-1", |target, version| {
        flags(target, version, "SUBSCRIBE")
    }),
    row("flags_of_unsubscribe_are_as_written", "3.10.1-1", "3.10.1-1", |target, version| {
        flags(target, version, "UNSUBSCRIBE")
    }),
    row("flags_of_disconnect_are_as_written", "3.14.1-1", "3.14.1-1", |target, version| {
        flags(target, version, "DISCONNECT")
    }),
    row("flags_of_auth_are_as_written", "3.15.1-1", "", |target, version| flags(target, version, "AUTH")),
    row("a_packet_that_only_servers_send_ends_the_connection", "4.13.1-1", "4.8.0-1", of_servers),
    row("a_packet_with_bytes_left_over_or_missing_ends_the_connection", "4.13.1-1", "4.8.0-1", sizes),
    row("packet_id_0_ends_the_connection", "2.2.1-3", "2.3.1-1", id_zero),
    row("a_list_of_filters_is_not_empty", "3.8.3-2 3.10.3-2", "3.8.3-3 3.10.3-2", no_filters),
    row("reserved_bits_of_subscription_options_are_0", "3.8.3-5", "3.8.3-4", options),
    row("qos_3_ends_the_connection", "3.3.1-4", "3.3.1-4", qos_3),
    row("dup_with_qos_0_ends_the_connection", "3.3.1-2", "3.3.1-2", dup_0),
    row("a_length_has_four_bytes_at_most_and_none_to_spare", "1.5.5-1", "4.8.0-1", lengths),
    row("a_packet_that_is_too_large_ends_the_connection_by_its_header", "3.2.2-15", "", too_large),
];

/// Of all packets, or of those whose name begins so.
fn flags(target: &Target, version: Version, of: &str) -> Outcome {
    let name = target.fresh();
    let wrong = |first: u8, mut packet: Vec<u8>| {
        if let Some(byte) = packet.first_mut() {
            *byte = first;
        }
        packet
    };
    let filter = name.as_bytes();
    let mut packets: Vec<Said> = vec![
        ("PUBACK", ack(0x42, 1)),
        ("PUBREC", ack(0x51, 1)),
        ("PUBREL", ack(0x60, 1)),
        ("PUBREL with 3", ack(0x63, 1)),
        ("PUBCOMP", ack(0x72, 1)),
        ("SUBSCRIBE", wrong(0x80, subscribe(version, 1, &[], &[(filter, 0)]))),
        ("SUBSCRIBE with 3", wrong(0x83, subscribe(version, 1, &[], &[(filter, 0)]))),
        ("UNSUBSCRIBE", wrong(0xa0, unsubscribe(version, 1, &[filter]))),
        ("PINGREQ", vec![0xc1, 0]),
        ("PINGREQ with 8", vec![0xc8, 0]),
        ("DISCONNECT", vec![0xe1, 0]),
    ];
    if version.has_properties() {
        packets.push(("AUTH", vec![0xf1, 0]));
    }
    packets.retain(|(name, _)| name.starts_with(of));
    each_refused(target, version, BROKEN, &packets)?;
    if !of.is_empty() {
        return Ok(());
    }
    let connect = wrong(0x11, Connect::new(version, &name).bytes());
    each_turned_away(target, version, BROKEN, &[("CONNECT", connect)])
}

fn of_servers(target: &Target, version: Version) -> Outcome {
    let block = properties(version, &[]);
    let mut packets: Vec<Said> = vec![
        ("CONNACK", framed(0x20, &[&[0, 0], &block])),
        ("SUBACK", framed(0x90, &[&[0, 1], &block, &[0]])),
        ("UNSUBACK", framed(0xb0, &[&[0, 1], &block])),
        ("PINGRESP", vec![0xd0, 0]),
        ("type 0", vec![0, 0]),
    ];
    if !version.has_properties() {
        packets.push(("type 15", vec![0xf0, 0]));
    }
    each_refused(target, version, BROKEN, &packets)
}

fn sizes(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let topic = binary(name.as_bytes());
    let block = properties(version, &[]);
    let packets: Vec<Said> = vec![
        ("PINGREQ with a byte", vec![0xc0, 1, 0]),
        ("PUBACK of one byte", framed(0x40, &[&[1]])),
        ("PUBREL of nothing", framed(0x62, &[])),
        ("PUBLISH without its id", framed(0x32, &[&topic])),
        ("PUBLISH with half a topic", framed(0x30, &[&[0, 9], b"abc"])),
        ("PUBLISH of nothing", framed(0x30, &[])),
        ("SUBSCRIBE without options", framed(0x82, &[&[0, 1], &block, &topic])),
        ("UNSUBSCRIBE with half a filter", framed(0xa2, &[&[0, 1], &block, &[0, 9], b"abc"])),
    ];
    each_refused(target, version, BROKEN, &packets)
}

fn id_zero(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let filter = name.as_bytes();
    let packets: Vec<Said> = vec![
        ("PUBLISH QoS 1", Message::new(&name, b"x", 1, 0).bytes(version)),
        ("PUBLISH QoS 2", Message::new(&name, b"x", 2, 0).bytes(version)),
        ("SUBSCRIBE", subscribe(version, 0, &[], &[(filter, 0)])),
        ("UNSUBSCRIBE", unsubscribe(version, 0, &[filter])),
        ("PUBACK", ack(0x40, 0)),
        ("PUBREC", ack(0x50, 0)),
        ("PUBREL", ack(0x62, 0)),
        ("PUBCOMP", ack(0x70, 0)),
    ];
    each_refused(target, version, BROKEN, &packets)
}

fn no_filters(target: &Target, version: Version) -> Outcome {
    let packets =
        [("SUBSCRIBE", subscribe(version, 1, &[], &[])), ("UNSUBSCRIBE", unsubscribe(version, 1, &[]))];
    each_refused(target, version, BROKEN, &packets)
}

fn options(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let asked = |options| subscribe(version, 1, &[], &[(name.as_bytes(), options)]);
    let mut packets = vec![("bit 6", asked(0x40)), ("bit 7", asked(0x81)), ("QoS 3", asked(3))];
    if version.has_properties() {
        packets.push(("Retain Handling 3", asked(0x30)));
    } else {
        packets.extend([
            ("bit 2", asked(0x04)),
            ("bit 3", asked(0x08)),
            ("bit 4", asked(0x11)),
            ("bit 5", asked(0x20)),
        ]);
    }
    each_refused(target, version, BROKEN, &packets)
}

fn qos_3(target: &Target, version: Version) -> Outcome {
    let message = Message::new(&target.fresh(), b"x", 3, 1);
    let packets = [("QoS 3", message.bytes(version)), ("with DUP", message.again().bytes(version))];
    each_refused(target, version, BROKEN, &packets)
}

fn dup_0(target: &Target, version: Version) -> Outcome {
    let message = Message::new(&target.fresh(), b"x", 0, 0).again();
    let packets = [("DUP", message.bytes(version)), ("and RETAIN", message.retained().bytes(version))];
    each_refused(target, version, BROKEN, &packets)
}

fn lengths(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut packets: Vec<Said> =
        vec![("five bytes", [&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01][..], b"x"].concat())];
    if version.has_properties() {
        let topic = binary(name.as_bytes());
        packets.extend([
            ("PINGREQ, length 0 in two bytes", vec![0xc0, 0x80, 0x00]),
            ("property length 0 in two bytes", framed(0x30, &[&topic, &[0x80, 0x00], b"x"])),
            ("property length of five bytes", framed(0x30, &[&topic, &[0x80, 0x80, 0x80, 0x80, 0x01], b"x"])),
            (
                "subscription identifier in two bytes more than needed",
                subscribe(version, 1, &[prop::SUBSCRIPTION_ID, 0x81, 0x80, 0x00], &[(name.as_bytes(), 0)]),
            ),
        ]);
    }
    each_refused(target, version, BROKEN, &packets)
}

fn too_large(target: &Target, version: Version) -> Outcome {
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &target.fresh()))?;
    let maximum = connack.properties.number(prop::MAXIMUM_PACKET);
    let maximum =
        maximum.ok_or_else(|| Short::NotApplicable("the server takes packets of any size".to_owned()))?;
    if maximum >= LENGTH_MAX {
        return Err(Short::NotApplicable("the server takes packets of any size".to_owned()));
    }
    // Only the header: a server that waits for the rest would wait for ever.
    let size = usize::try_from(maximum).unwrap_or(usize::MAX);
    let mut header = vec![0x30];
    header.extend(crate::conform::mqtt_cases::write::variable(size));
    client.send(&header);
    let said = client.closed()?;
    expect(matches!(said.as_slice(), [] | [Packet::Disconnect { code: 0x95, .. }]), || {
        format!("the server says {said:?}, not DISCONNECT 0x95")
    })
}

const LENGTH_MAX: u32 = 268_435_455;
