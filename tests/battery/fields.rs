//! Fields: every packet cut off at every place, and with a byte too many, its length being right (1.2, 4.13.1).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{Connect, block, field, fresh, packet};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("fields", version);
    let said = if version == Version::V5 { user("k", "v") } else { Vec::new() };
    acks(&mut table, version);
    publish(&mut table, version, &said);
    requests(&mut table, version, &said);
    connect(&mut table, version, &said);
    if version == Version::V5 {
        disconnect(&mut table);
    }
    table.done()
}

fn user(name: &str, value: &str) -> Vec<u8> {
    [vec![0x26], field(name), field(value)].concat()
}

/// Whether a packet of 5.0 may end there: before its properties, or before its reason code (3.4.2.1, 3.14.2.1).
fn acks(table: &mut Table, version: Version) {
    for (name, first) in [("PUBACK", 0x40), ("PUBCOMP", 0x70)] {
        let mut body = vec![0, 7];
        if version == Version::V5 {
            body.push(0);
            body.extend(block(version, &[&[0x1f][..], &field("why"), &user("k", "v")].concat()));
        }
        for length in 0..body.len() {
            let sends = packet(first, &[&body[..length]]);
            let row = format!("{name} cut after {length} bytes");
            if length == 2 || length == 3 { table.good(row, sends, "") } else { table.bad(row, sends, 0x81) }
        }
        table.good(format!("{name}, whole"), packet(first, &[&body]), "");
        table.bad(format!("{name} with a byte too many"), packet(first, &[&body, &[0]]), 0x81);
    }
}

fn publish(table: &mut Table, version: Version, said: &[u8]) {
    for (name, first, id) in [("PUBLISH", 0x30, &[][..]), ("PUBLISH QoS 2", 0x34, &[0, 7][..])] {
        let body = [&field(fresh())[..], id, &block(version, said)].concat();
        for length in 0..body.len() {
            table.bad(format!("{name} cut after {length} bytes"), packet(first, &[&body[..length]]), 0x81);
        }
        let answer = if id.is_empty() { "" } else { "PUBREC 7 ok" };
        table.good(format!("{name} without a payload"), packet(first, &[&body]), answer);
    }
}

fn requests(table: &mut Table, version: Version, said: &[u8]) {
    for (name, first) in [("SUBSCRIBE", 0x82), ("UNSUBSCRIBE", 0xa2)] {
        let options: &[u8] = if first == 0x82 { &[1] } else { &[] };
        let head = [&[0, 1][..], &block(version, said)].concat();
        let one = [&field(fresh())[..], options].concat();
        let body = [&head[..], &one, &field(fresh()), options].concat();
        for length in 0..body.len() {
            let sends = packet(first, &[&body[..length]]);
            let row = format!("{name} cut after {length} bytes");
            if length == head.len() {
                // [MQTT-3.8.3-2], [MQTT-3.10.3-2]: all there, and not allowed.
                table.bad(row, sends, 0x82);
            } else if length == head.len() + one.len() {
                table.good(row, sends, answer(first, version, 1));
            } else {
                table.bad(row, sends, 0x81);
            }
        }
        table.good(format!("{name}, whole"), packet(first, &[&body]), answer(first, version, 2));
        table.bad(format!("{name} with a byte too many"), packet(first, &[&body, &[0]]), 0x81);
    }
}

const fn answer(first: u8, version: Version, filters: usize) -> &'static str {
    match (first, version, filters) {
        (0x82, _, 1) => "SUBACK 1 01",
        (0x82, _, _) => "SUBACK 1 01 01",
        (_, Version::V5, 1) => "UNSUBACK 1 11",
        (_, Version::V5, _) => "UNSUBACK 1 11 11",
        (_, Version::V31 | Version::V311, _) => "UNSUBACK 1",
    }
}

/// [MQTT-3.1.4-1]: a client that has said which version it speaks is answered in it.
fn connect(table: &mut Table, version: Version, said: &[u8]) {
    let whole = Connect {
        flags: 0xee,
        properties: said.to_vec(),
        will_properties: said.to_vec(),
        ..Connect::new(version)
    };
    let body = whole.body();
    // In 3.1 fields at the end may be missing, whatever the flags say (3.1, 3.1, "Payload").
    let password_at = body.len() - (2 + whole.password.len());
    let user_at = password_at - (2 + whole.user.len());
    let known = whole.protocol.len();
    for length in 0..body.len() {
        let sends = packet(0x10, &[&body[..length]]);
        let row = format!("CONNECT cut after {length} bytes");
        if version == Version::V31 && length == user_at {
            table.admitted(row, sends);
        } else if version == Version::V31 && length == password_at {
            table.unknown(row, sends);
        } else if length < known {
            table.add(row, false, sends, "end");
        } else {
            table.refused(row, sends, 0x81);
        }
    }
    table.refused("CONNECT with a byte too many", packet(0x10, &[&body, &[0]]), 0x81);
    for (name, flag) in [("will", 4), ("user name", 0x80), ("password", 0xc0)] {
        let with = Connect { flags: 2 | flag, ..Connect::new(version) };
        let without = Connect { flags: 2, ..Connect::new(version) };
        let at = whole.protocol.len();
        let mut sends = with.body();
        sends[at] = without.flags;
        table.refused(format!("CONNECT with a {name} and no flag for it"), packet(0x10, &[&sends]), 0x81);
        let mut sends = without.body();
        sends[at] = with.flags;
        let sends = packet(0x10, &[&sends]);
        let row = format!("CONNECT with a flag for a {name} and none");
        if version == Version::V31 && flag != 4 {
            table.admitted(row, sends)
        } else {
            table.refused(row, sends, 0x81)
        }
    }
}

/// 3.14.2: reason and properties may be left out, from the end.
fn disconnect(table: &mut Table) {
    let body =
        [&[0][..], &block(Version::V5, &[&[0x1f][..], &field("bye"), &user("k", "v")].concat())].concat();
    for length in 0..=body.len() {
        let sends = packet(0xe0, &[&body[..length]]);
        let row = format!("DISCONNECT cut after {length} bytes");
        if length <= 1 || length == body.len() {
            table.add(row, true, sends, "end")
        } else {
            table.bad(row, sends, 0x81)
        }
    }
    table.bad("DISCONNECT with a byte too many", packet(0xe0, &[&body, &[0]]), 0x81);
    let body =
        [&[0x19][..], &block(Version::V5, &[&[0x15][..], &field("m"), &user("k", "v")].concat())].concat();
    for length in 0..=body.len() {
        let sends = packet(0xf0, &[&body[..length]]);
        let row = format!("AUTH cut after {length} bytes");
        // What can be read is not allowed either [MQTT-4.12.0-7].
        let is_whole = length <= 1 || length == body.len();
        table.bad(row, sends, if is_whole { 0x82 } else { 0x81 });
    }
}
