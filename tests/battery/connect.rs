//! CONNECT: protocols, flags, names, wills (3.1; 3.1.1, 3.1).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{Connect, field};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("connect", version);
    flags(&mut table, version);
    ids(&mut table, version);
    wills(&mut table, version);
    if version == Version::V5 {
        protocols(&mut table);
    }
    for keep_alive_s in [0, 1, 60, 601, 65_535] {
        table.admitted(
            format!("keep alive {keep_alive_s}"),
            Connect { keep_alive_s, ..Connect::new(version) }.bytes(),
        );
    }
    let (user, password) = ("u".repeat(10_000).into_bytes(), "p".repeat(10_000).into_bytes());
    table.unknown("a long login", Connect { flags: 0xc2, user, password, ..Connect::new(version) }.bytes());
    let (user, password) = (Vec::new(), Vec::new());
    table
        .admitted("an empty login", Connect { flags: 0xc2, user, password, ..Connect::new(version) }.bytes());
    table.done()
}

/// 3.1.2.3: every combination of flags, with the fields that it announces.
fn flags(table: &mut Table, version: Version) {
    for flags in 0..=u8::MAX {
        let sends = Connect { flags, ..Connect::new(version) }.bytes();
        let row = format!("flags {flags:08b}");
        let flag = |bit: u8| flags & bit != 0;
        // [MQTT-3.1.2-3], [MQTT-3.1.2-11] to [MQTT-3.1.2-13]
        let is_malformed = flag(1) || flags & 0x18 == 0x18 || (!flag(4) && flags & 0x38 != 0);
        // [MQTT-3.1.2-22] of 3.1.1; 5.0 allows it.
        let is_alone = version != Version::V5 && flag(0x40) && !flag(0x80);
        if is_malformed || is_alone {
            table.refused(row, sends, 0x81);
        } else if flag(0x80) && !flag(0x40) {
            // A user name without its password.
            table.unknown(row, sends);
        } else {
            table.admitted(row, sends);
        }
    }
}

/// 3.1.3.1; the longest is a limit of the broker's (docs/protocols/mqtt.md, "Limits").
fn ids(table: &mut Table, version: Version) {
    for clean in [true, false] {
        let empty =
            Connect { id: Vec::new(), flags: if clean { 2 } else { 0 }, ..Connect::new(version) }.bytes();
        let row = format!("no client id, clean {clean}");
        // [MQTT-3.1.3-6]; 3.1.1, [MQTT-3.1.3-8]: 0x02; in 3.1 it has at least one character.
        let is_refused = version == Version::V31 || (version == Version::V311 && !clean);
        if is_refused { table.add(row, false, empty, "CONNACK 02, end") } else { table.admitted(row, empty) }
    }
    let unique = Connect::new(version).id;
    for length in [8, 22, 23, 24, 100, 255, 256] {
        let id = [&unique[..], &vec![b'i'; length - unique.len()]].concat();
        table.admitted(
            format!("a client id of {length} bytes"),
            Connect { id, ..Connect::new(version) }.bytes(),
        );
    }
    for length in [257, 1_000, 65_000] {
        let id = vec![b'i'; length];
        let sends = Connect { id, ..Connect::new(version) }.bytes();
        let refused = if version == Version::V5 { "CONNACK 85, end" } else { "CONNACK 02, end" };
        table.add(format!("a client id of {length} bytes"), false, sends, refused);
    }
    for id in ["a b", "+", "#", "a/b", "$SYS", "\"'", "../.."] {
        let id = [&Connect::new(version).id[..], id.as_bytes()].concat();
        table.admitted(
            format!("a client id that ends in {}", String::from_utf8_lossy(&id[8..])),
            Connect { id, ..Connect::new(version) }.bytes(),
        );
    }
}

fn wills(table: &mut Table, version: Version) {
    let with = |topic: &str, payload: &[u8]| {
        Connect {
            flags: 6,
            will_topic: topic.into(),
            will_payload: payload.to_vec(),
            ..Connect::new(version)
        }
        .bytes()
    };
    table.admitted("an empty will", with("a", b""));
    table.admitted("a will of 60,000 bytes", with("a", &[0; 60_000]));
    for topic in ["#", "+", "a/#", "a+"] {
        // [MQTT-4.7.0-1]
        table.refused(format!("a will for {topic}"), with(topic, b"x"), 0x81);
    }
    // [MQTT-4.7.3-1]: a topic has at least one character; it can be read.
    table.refused("a will for no topic", with("", b"x"), 0x82);
    for topic in ["$SYS/x", "$share/g/a"] {
        // 3.2.2.2: Topic Name invalid; in 3.x not authorised comes nearest.
        let refused = if version == Version::V5 { "CONNACK 90, end" } else { "CONNACK 05, end" };
        table.add(format!("a will for {topic}"), false, with(topic, b"x"), refused);
    }
    let deep = with(&"/".repeat(128), b"x");
    table.add(
        "a will for 129 levels",
        false,
        deep,
        if version == Version::V5 { "CONNACK 90, end" } else { "CONNACK 05, end" },
    );
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-2]: near misses are answered in the form that their sender may know, others not at all.
fn protocols(table: &mut Table) {
    for name in ["MQTT", "MQIsdp", "MQTt", "mqtt", "MQTT ", "MQT", "MQTTT", "", "M", "HTTP", "MQTT\0", "AMQP"]
    {
        for level in [0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x7f, 0x80, 0x82, 0x83, 0x84, 0x85, 0xff] {
            let version = match (name, level) {
                ("MQIsdp", 3 | 0x83) => Version::V31,
                ("MQTT", 5) => Version::V5,
                _ => Version::V311,
            };
            let protocol = [field(name), vec![level]].concat();
            let sends = Connect { protocol, ..Connect::new(version) }.bytes();
            let hears = match (name, level) {
                // With the highest bit set: a bridge.
                ("MQIsdp", 3 | 0x83) | ("MQTT", 4 | 5 | 0x84) => "CONNACK 00, on",
                ("MQTT", 0..=6) => "CONNACK 84, end",
                ("MQIsdp", _) => "CONNACK 01, end",
                _ => "end",
            };
            table.add(format!("{name:?} with level {level:02x}"), false, sends, hears);
            if let Some(case) = table.last() {
                case.version = version;
            }
        }
    }
}
