//! PUBLISH: topics, ids, aliases, limits (3.3).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{Connect, block, field, fresh, packet, publish};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("publish", version);
    topics(&mut table, version);
    ids(&mut table, version);
    limits(&mut table, version);
    if version == Version::V5 {
        aliases(&mut table);
        receive_maximum(&mut table);
        payload_format(&mut table);
    }
    table.done()
}

fn topics(table: &mut Table, version: Version) {
    for (qos, flags) in [(0, 0), (1, 2), (2, 4)] {
        let taken = ["", "PUBACK 7 ok", "PUBREC 7 ok"][qos];
        for topic in ["a", "/", "//", "a/", "/a", "a b", " ", "é", "a//b", "\u{feff}a", "a/$SYS"] {
            table.good(
                format!("{topic} at QoS {qos}"),
                publish(version, flags, format!("{}{topic}", fresh()), &[]),
                taken,
            );
        }
        // [MQTT-3.3.2-2], [MQTT-4.7.0-1]: no wildcard, wherever it stands.
        for topic in ["#", "+", "a/#", "a/+", "+/a", "#/a", "a#", "a+b", "$SYS/#"] {
            table.bad(format!("{topic} at QoS {qos}"), publish(version, flags, topic, &[]), 0x81);
        }
        // 3.3.2.1: neither a topic nor an alias.
        table.bad(format!("no topic at QoS {qos}"), publish(version, flags, "", &[]), 0x82);
        // 4.7.2: the server's own. A refusal that has a code gets it [MQTT-3.3.5-2 of 3.1.1].
        for topic in ["$SYS/broker/uptime", "$share/g/a", "$x"] {
            let refused = if version == Version::V5 {
                ["", "PUBACK 7 87", "PUBREC 7 87"]
            } else {
                ["", "PUBACK 7 ok", "PUBREC 7 ok"]
            };
            table.good(format!("{topic} at QoS {qos}"), publish(version, flags, topic, &[]), refused[qos]);
        }
    }
}

/// [MQTT-2.2.1-3]; 3.1.1, [MQTT-2.3.1-1]: an id is never 0; it can be read, and is not allowed.
fn ids(table: &mut Table, version: Version) {
    let properties = block(version, &[]);
    for (name, first) in [("QoS 1", 0x32), ("QoS 1 again", 0x3a), ("QoS 2", 0x34), ("QoS 2 again", 0x3c)] {
        table.bad(
            format!("{name} with id 0"),
            packet(first, &[&field(fresh()), &[0, 0], &properties, b"x"]),
            0x82,
        );
        for id in [1_u16, 255, 256, 32_767, 32_768, 65_535] {
            let taken = if first & 4 == 0 { "PUBACK" } else { "PUBREC" };
            let sends = packet(first, &[&field(fresh()), &id.to_be_bytes(), &properties, b"x"]);
            table.good(format!("{name} with id {id}"), sends, &format!("{taken} {id} ok"));
        }
    }
    for (name, first) in [("PUBACK", 0x40), ("PUBREC", 0x50), ("PUBREL", 0x62), ("PUBCOMP", 0x70)] {
        table.bad(format!("{name} 0"), packet(first, &[&[0, 0]]), 0x82);
    }
    table.bad("SUBSCRIBE 0", packet(0x82, &[&[0, 0], &properties, &field(fresh()), &[0]]), 0x82);
    table.bad("UNSUBSCRIBE 0", packet(0xa2, &[&[0, 0], &properties, &field(fresh())]), 0x82);
}

/// The broker's own limits (docs/protocols/mqtt.md, "Limits"): at each, and beyond.
fn limits(table: &mut Table, version: Version) {
    table.good("65,535 bytes of topic", publish(version, 2, "t".repeat(65_535), &[]), "PUBACK 7 ok");
    table.good("128 levels", publish(version, 2, [fresh(), "/".repeat(127)].concat(), &[]), "PUBACK 7 ok");
    let beyond = publish(version, 2, "/".repeat(128), &[]);
    if version == Version::V5 {
        table.good("129 levels", beyond, "PUBACK 7 90");
    } else {
        table.add("129 levels", true, beyond, "end");
    }
    let head = [field(fresh()), vec![0, 7], block(version, &[])].concat();
    // One byte for the type, three for the length.
    let room = (1 << 20) - 4 - head.len();
    table.good("a packet of 1 MiB", packet(0x32, &[&head, &vec![b'x'; room]]), "PUBACK 7 ok");
    table.bad("a packet of 1 MiB and a byte", packet(0x32, &[&head, &vec![b'x'; room + 1]]), 0x95);
}

/// 3.3.2.3.4: an alias is defined with a topic, and stands for it after.
fn aliases(table: &mut Table) {
    let with = |topic: &str, alias: u8| publish(Version::V5, 2, topic, &[0x23, 0, alias]);
    let name = fresh();
    for alias in [1, 2, 31, 32] {
        let both = [with(&name, alias), with("", alias)].concat();
        table.good(format!("alias {alias}, defined and used"), both, "PUBACK 7 ok, PUBACK 7 ok");
        table.bad(format!("alias {alias}, never defined"), with("", alias), 0x82);
        let other = [with(&name, alias), with(&fresh(), alias), with("", alias)].concat();
        table.good(format!("alias {alias}, defined anew"), other, "PUBACK 7 ok, PUBACK 7 ok, PUBACK 7 ok");
    }
    let first = publish(Version::V5, 0, &name, &[0x23, 0, 1]);
    table.bad("another alias than was defined", [first, with("", 2)].concat(), 0x82);
    table.bad("no topic and alias 33", with("", 33), 0x94);
}

/// [MQTT-3.3.4-7], [MQTT-3.3.4-8]: 64 may be under way; a QoS 2 message is until PUBREL is answered.
fn receive_maximum(table: &mut Table) {
    let many = |count: u16| -> Vec<u8> {
        (1..=count).flat_map(|id| packet(0x34, &[&field(fresh()), &id.to_be_bytes(), &[0], b"x"])).collect()
    };
    let taken: Vec<String> = (1..=64).map(|id| format!("PUBREC {id} ok")).collect();
    table.good("64 at QoS 2", many(64), &taken.join(", "));
    let again = [many(64), many(64)].concat();
    table.good("64 at QoS 2, twice", again, &[taken.clone(), taken].concat().join(", "));
}

/// 3.3.2.3.2: what is announced as UTF-8 may be checked, and is.
fn payload_format(table: &mut Table) {
    let payloads: &[(&str, &[u8], bool)] = &[
        ("nothing", b"", true),
        ("text", "가 text\0".as_bytes(), true),
        ("a byte of FF", b"\xff", false),
        ("half a character", b"a\xe2\x82", false),
        ("a surrogate", b"\xed\xa0\x80", false),
    ];
    for (what, payload, is_text) in payloads {
        for format in [0, 1] {
            let is_fine = *is_text || format == 0;
            let code = if is_fine { "ok" } else { "99" };
            for (qos, first, id) in [(0, 0x30, &[][..]), (1, 0x32, &[0, 7]), (2, 0x34, &[0, 7])] {
                let sends = packet(first, &[&field(fresh()), id, &[2, 1, format], payload]);
                let hears = [String::new(), format!("PUBACK 7 {code}"), format!("PUBREC 7 {code}")];
                table.good(format!("{what} as format {format} at QoS {qos}"), sends, &hears[qos]);
            }
            let will = Connect {
                flags: 6,
                will_properties: vec![1, format],
                will_payload: payload.to_vec(),
                ..Connect::new(Version::V5)
            };
            let row = format!("{what} as format {format} in a will");
            if is_fine { table.admitted(row, will.bytes()) } else { table.refused(row, will.bytes(), 0x99) }
        }
    }
}
