//! Text: what is no UTF-8, and what is and surprises (1.5.4; 3.1.1, 1.5.3).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{Connect, block, field, fresh, not_subscribed, packet, publish, subscribe, unsubscribe};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("text", version);
    for (fault, bytes) in FAULTS {
        for (place, sends) in places(version, bytes) {
            let row = format!("{fault} in {place}");
            // [MQTT-1.5.4-1], [MQTT-1.5.4-2]
            if sends[0] == 0x10 { table.refused(row, sends, 0x81) } else { table.bad(row, sends, 0x81) }
        }
    }
    for (what, bytes) in SURPRISES {
        // [MQTT-1.5.4-3], and what a receiver may refuse and need not.
        for (place, sends) in places(version, bytes) {
            let row = format!("{what} in {place}");
            match sends[0] {
                0x10 if place == "the user name" => table.unknown(row, sends),
                0x10 => table.admitted(row, sends),
                0x32 => table.good(row, sends, "PUBACK 7 ok"),
                0x82 => table.good(row, sends, "SUBACK 1 00"),
                0xa2 => table.good(row, sends, not_subscribed(version)),
                0xe0 => table.add(row, true, sends, "end"),
                _ => table.good(row, sends, ""),
            }
        }
    }
    binary(&mut table, version);
    table.done()
}

/// Binary data is not text (1.5.6; 3.1.1, 3.1.3.5).
fn binary(table: &mut Table, version: Version) {
    for (what, bytes) in FAULTS {
        let password = bytes.to_vec();
        table.unknown(
            format!("{what} in the password"),
            Connect { flags: 0xc2, password, ..Connect::new(version) }.bytes(),
        );
        let will_payload = bytes.to_vec();
        table.admitted(
            format!("{what} in the will's payload"),
            Connect { flags: 6, will_payload, ..Connect::new(version) }.bytes(),
        );
    }
}

/// Every place where a client writes text, with this text.
fn places(version: Version, text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let connect = || Connect::new(version);
    let name = [fresh().as_bytes(), text].concat();
    let mut places = vec![
        ("the client id", Connect { id: name.clone(), ..connect() }.bytes()),
        ("the will's topic", Connect { flags: 6, will_topic: name.clone(), ..connect() }.bytes()),
        ("the user name", Connect { flags: 0xc2, user: text.to_vec(), ..connect() }.bytes()),
        ("a topic", publish(version, 2, &name, &[])),
        ("a filter", subscribe(version, &[(&name, 0)], &[])),
        ("a filter to be left", unsubscribe(version, &[&name], &[])),
    ];
    if version == Version::V5 {
        let property = |id: u8| [&[id][..], &field(text)].concat();
        let key = [&[0x26][..], &field(text), &field("v")].concat();
        let value = [&[0x26][..], &field("k"), &field(text)].concat();
        let of_will = |will_properties: Vec<u8>| Connect { flags: 6, will_properties, ..connect() }.bytes();
        let of_publish = |properties: &[u8]| publish(version, 2, fresh(), properties);
        places.extend([
            ("a key of CONNECT", Connect { properties: key.clone(), ..connect() }.bytes()),
            ("a value of CONNECT", Connect { properties: value.clone(), ..connect() }.bytes()),
            ("a key of the will", of_will(key.clone())),
            ("the will's content type", of_will(property(3))),
            ("the will's response topic", of_will(property(8))),
            ("a key of PUBLISH", of_publish(&key)),
            ("a value of PUBLISH", of_publish(&value)),
            ("a content type", of_publish(&property(3))),
            ("a response topic", of_publish(&property(8))),
            ("a value of SUBSCRIBE", subscribe(version, &[(fresh().as_bytes(), 0)], &value)),
            ("a key of UNSUBSCRIBE", unsubscribe(version, &[fresh().as_bytes()], &key)),
            ("a reason string of PUBACK", packet(0x40, &[&[0, 7, 0], &block(version, &property(0x1f))])),
            ("a reason string of DISCONNECT", packet(0xe0, &[&[0], &block(version, &property(0x1f))])),
        ]);
    }
    places
}

const FAULTS: &[(&str, &[u8])] = &[
    ("U+0000", b"\0"),
    ("U+0000 at the end", b"a\0"),
    ("U+0000 in the middle", b"a\0b"),
    ("U+D800", b"\xed\xa0\x80"),
    ("U+DFFF", b"\xed\xbf\xbf"),
    ("a pair of surrogates", b"\xed\xa0\x81\xed\xb0\x80"),
    ("U+0000 in two bytes", b"\xc0\x80"),
    ("a slash in two bytes", b"\xc0\xaf"),
    ("a slash in three bytes", b"\xe0\x80\xaf"),
    ("U+110000", b"\xf4\x90\x80\x80"),
    ("a byte of F5", b"\xf5\x80\x80\x80"),
    ("a byte of FF", b"\xff"),
    ("a byte of 80", b"\x80"),
    ("half a character", b"\xe2\x82"),
    ("half a character in the middle", b"\xe2\x82a"),
];

const SURPRISES: &[(&str, &[u8])] = &[
    ("U+FEFF", b"\xef\xbb\xbf"),
    ("U+FFFF", b"\xef\xbf\xbf"),
    ("U+10FFFF", b"\xf4\x8f\xbf\xbf"),
    ("U+0001", b"\x01"),
    ("U+007F", b"\x7f"),
    ("four bytes", b"\xf0\xaa\x9b\x94"),
    ("Hangul", b"\xea\xb0\x80"),
];
