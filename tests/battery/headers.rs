//! Fixed headers: types, flags, lengths (2.1; 3.1.1, 2.2).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{
    Connect, ack, answer_to, block, field, fresh, not_subscribed, packet, publish, subscribe, unsubscribe,
};

/// A packet as a version writes it.
type Written = fn(Version) -> Vec<u8>;

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("headers", version);
    flags(&mut table, version);
    publish_flags(&mut table, version);
    wrong_way(&mut table, version);
    strangers(&mut table, version);
    lengths(&mut table, version);
    table.done()
}

/// 2.1.3, [MQTT-2.1.3-1]: reserved flags have their values, others are malformed.
fn flags(table: &mut Table, version: Version) {
    let sends: &[(&str, u8, Written)] = &[
        ("PUBACK", 0x40, |_| ack(0x40)),
        ("PUBREC", 0x50, |_| ack(0x50)),
        ("PUBREL", 0x62, |_| ack(0x62)),
        ("PUBCOMP", 0x70, |_| ack(0x70)),
        ("SUBSCRIBE", 0x82, |version| subscribe(version, &[(fresh().as_bytes(), 0)], &[])),
        ("UNSUBSCRIBE", 0xa2, |version| unsubscribe(version, &[fresh().as_bytes()], &[])),
        ("PINGREQ", 0xc0, |_| vec![0xc0, 0]),
        ("DISCONNECT", 0xe0, |_| vec![0xe0, 0]),
    ];
    for (name, right, bytes) in sends {
        for flags in 0..16 {
            let first = right & 0xf0 | flags;
            let mut sends = bytes(version);
            sends[0] = first;
            let row = format!("{name} with flags {flags:04b}");
            // In 3.1 these are messages of QoS 1, and DUP says that they come again (3.1, 2.1).
            let is_again = version == Version::V31 && right & 0x0f == 2 && flags == 0b1010;
            match *name {
                _ if first != *right && !is_again => table.bad(row, sends, 0x81),
                "SUBSCRIBE" => table.good(row, sends, "SUBACK 1 00"),
                "UNSUBSCRIBE" => table.good(row, sends, not_subscribed(version)),
                "PINGREQ" => table.good(row, sends, "PINGRESP"),
                "DISCONNECT" => table.add(row, true, sends, "end"),
                _ => table.good(row, sends, answer_to(first, version)),
            }
        }
    }
    for flags in 1..16 {
        let mut sends = Connect::new(version).bytes();
        sends[0] = 0x10 | flags;
        table.refused(format!("CONNECT with flags {flags:04b}"), sends, 0x81);
    }
}

/// 3.3.1: DUP only from QoS 1 on [MQTT-3.3.1-2], never QoS 3 [MQTT-3.3.1-4].
fn publish_flags(table: &mut Table, version: Version) {
    for flags in 0..16 {
        let sends = publish(version, flags, fresh(), &[]);
        let row = format!("PUBLISH with flags {flags:04b}");
        match (flags >> 1 & 3, flags & 8 != 0) {
            (3, _) | (0, true) => table.bad(row, sends, 0x81),
            (0, false) => table.good(row, sends, ""),
            (1, _) => table.good(row, sends, "PUBACK 7 ok"),
            _ => table.good(row, sends, "PUBREC 7 ok"),
        }
    }
}

/// 2.1.2: what only servers send is a protocol error; types that do not exist cannot be parsed.
fn wrong_way(table: &mut Table, version: Version) {
    let properties = block(version, &[]);
    let suback: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    table.bad("CONNACK", packet(0x20, &[&[0, 0], &properties]), 0x82);
    table.bad("SUBACK", packet(0x90, &[&[0, 1], &properties, &[0]]), 0x82);
    table.bad("UNSUBACK", packet(0xb0, &[&[0, 1], &properties, suback]), 0x82);
    table.bad("PINGRESP", vec![0xd0, 0], 0x82);
    for flags in 0..16 {
        table.bad(format!("type 0 with flags {flags:04b}"), vec![flags, 0], 0x81);
        if version != Version::V5 {
            table.bad(format!("type 15 with flags {flags:04b}"), vec![0xf0 | flags, 0], 0x81);
        }
    }
    if version == Version::V5 {
        table.bad("AUTH without a method in CONNECT", vec![0xf0, 0], 0x82);
        for flags in 1..16 {
            table.bad(format!("AUTH with flags {flags:04b}"), vec![0xf0 | flags, 0], 0x81);
        }
    }
}

/// [MQTT-3.1.0-1]: the first packet is CONNECT; whoever says something else is not known to speak MQTT at all.
fn strangers(table: &mut Table, version: Version) {
    let properties = block(version, &[]);
    let firsts = [
        ("type 0", vec![0, 0]),
        ("CONNACK", packet(0x20, &[&[0, 0], &properties])),
        ("PUBLISH", publish(version, 0, fresh(), &[])),
        ("PUBLISH QoS 1", publish(version, 2, fresh(), &[])),
        ("PUBLISH QoS 2", publish(version, 4, fresh(), &[])),
        ("PUBACK", ack(0x40)),
        ("PUBREC", ack(0x50)),
        ("PUBREL", ack(0x62)),
        ("PUBCOMP", ack(0x70)),
        ("SUBSCRIBE", subscribe(version, &[(b"a", 0)], &[])),
        ("SUBACK", packet(0x90, &[&[0, 1], &properties, &[0]])),
        ("UNSUBSCRIBE", unsubscribe(version, &[b"a"], &[])),
        ("UNSUBACK", packet(0xb0, &[&[0, 1], &properties])),
        ("PINGREQ", vec![0xc0, 0]),
        ("PINGRESP", vec![0xd0, 0]),
        ("DISCONNECT", vec![0xe0, 0]),
        ("AUTH", vec![0xf0, 0]),
    ];
    for (name, sends) in firsts {
        table.add(format!("{name} before CONNECT"), false, sends, "end");
    }
}

/// 1.5.5, 2.1.4: a length has four bytes at most, in 5.0 no more than it needs, and is that of the packet.
fn lengths(table: &mut Table, version: Version) {
    let firsts = [0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0];
    for first in firsts {
        let name = format!("{first:02x}");
        table.bad(format!("{name}: a length of five bytes"), vec![first, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81);
        table.bad(format!("{name}: 0 in five bytes"), vec![first, 0x80, 0x80, 0x80, 0x80, 0x00], 0x81);
        table.bad(format!("{name}: four bytes that go on"), vec![first, 0x80, 0x80, 0x80, 0x80], 0x81);
        // [MQTT-3.2.2-15]: by its header alone.
        table.bad(format!("{name}: larger than the maximum"), vec![first, 0xff, 0xff, 0xff, 0x7f], 0x95);
        for count in 1..4 {
            table.cut(
                format!("{name}: a length of {count} bytes that goes on"),
                true,
                [vec![first], vec![0x80; count]].concat(),
            );
        }
        if version == Version::V5 {
            table.bad(format!("{name}: 0 in two bytes"), vec![first, 0x80, 0x00], 0x81);
            table.bad(format!("{name}: 2 in three bytes"), vec![first, 0x82, 0x80, 0x00], 0x81);
        }
    }
    table.bad("PINGREQ with a byte", vec![0xc0, 1, 0], 0x81);
    table.bad("PINGREQ with a property length", vec![0xc0, 2, 0, 0], 0x81);
    table.add("CONNECT: a length of five bytes", false, vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x01], "end");
    table.add("CONNECT: larger than 64 KiB", false, vec![0x10, 0x80, 0x80, 0x04], "end");
    table.cut("CONNECT: only its first byte", false, vec![0x10]);
    let whole = subscribe(version, &[(fresh().as_bytes(), 0)], &[]);
    for length in 1..whole.len() {
        table.cut(format!("SUBSCRIBE of which {length} bytes come"), true, whole[..length].to_vec());
    }
    let whole = packet(0x32, &[&field(fresh()), &[0, 7], &block(version, &[])]);
    for length in 1..whole.len() {
        table.cut(format!("PUBLISH of which {length} bytes come"), true, whole[..length].to_vec());
    }
}
