//! Properties of 5.0: which may stand where, how often, with which values (2.2.2).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{Connect, answer_to, block, field, fresh, not_subscribed, packet};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("properties", version);
    if version != Version::V5 {
        return table.done();
    }
    for owner in OWNERS {
        for property in PROPERTIES {
            stands(&mut table, *owner, property);
        }
        lengths(&mut table, *owner);
        for id in (0..=0x7f_u8).filter(|id| !PROPERTIES.iter().any(|property| property.id == *id)) {
            // 2.2.2.2: an identifier that does not exist cannot be parsed.
            wrong(&mut table, *owner, format!("{owner:?} with {id:02x}"), &[id, 0, 0, 0, 0], 0x81);
        }
    }
    values(&mut table);
    table.done()
}

/// A packet of a client that has properties; the will has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Connect,
    Will,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
}
use Owner::{
    Auth, Connect as Con, Disconnect as Dis, Puback, Pubcomp, Publish, Pubrec, Pubrel, Subscribe,
    Unsubscribe, Will,
};

const OWNERS: &[Owner] =
    &[Con, Will, Publish, Puback, Pubrec, Pubrel, Pubcomp, Subscribe, Unsubscribe, Dis, Auth];

/// A row of Table 2-4: a value that is allowed, and those packets of clients that have it.
struct Property {
    id: u8,
    value: &'static [u8],
    owners: &'static [Owner],
}

const fn row(id: u8, value: &'static [u8], owners: &'static [Owner]) -> Property {
    Property { id, value, owners }
}

const PROPERTIES: &[Property] = &[
    row(0x01, &[1], &[Publish, Will]),
    row(0x02, &[0, 0, 0, 9], &[Publish, Will]),
    row(0x03, &[0, 2, b't', b't'], &[Publish, Will]),
    row(0x08, &[0, 2, b'r', b't'], &[Publish, Will]),
    row(0x09, &[0, 2, 0, 255], &[Publish, Will]),
    row(0x0b, &[0x81, 0x01], &[Subscribe]),
    row(0x11, &[0, 0, 0, 0], &[Con, Dis]),
    row(0x12, &[0, 1, b'i'], &[]),
    row(0x13, &[0, 9], &[]),
    row(0x15, &[0, 2, b'n', b'o'], &[Con, Auth]),
    row(0x16, &[0, 1, 7], &[Con, Auth]),
    row(0x17, &[1], &[Con]),
    row(0x18, &[0, 0, 0, 0], &[Will]),
    row(0x19, &[0], &[Con]),
    row(0x1a, &[0, 1, b'r'], &[]),
    row(0x1c, &[0, 1, b's'], &[Dis]),
    row(0x1f, &[0, 2, b'n', b'o'], &[Puback, Pubrec, Pubrel, Pubcomp, Dis, Auth]),
    row(0x21, &[0, 9], &[Con]),
    row(0x22, &[0, 9], &[Con]),
    row(0x23, &[0, 9], &[Publish]),
    row(0x24, &[1], &[]),
    row(0x25, &[1], &[]),
    row(0x26, &[0, 1, b'k', 0, 1, b'v'], OWNERS),
    row(0x27, &[0, 1, 0, 0], &[Con]),
    row(0x28, &[1], &[]),
    row(0x29, &[1], &[]),
    row(0x2a, &[1], &[]),
];

/// One property in one packet: as it is, twice, and cut off in its value.
fn stands(table: &mut Table, owner: Owner, property: &Property) {
    let once = [&[property.id][..], property.value].concat();
    let row = format!("{owner:?} with {:02x}", property.id);
    if !property.owners.contains(&owner) {
        // [MQTT-3.3.4-6] has it that a client may not send it, not that PUBLISH does not have it.
        let code = if (owner, property.id) == (Publish, 0x0b) { 0x82 } else { 0x81 };
        return wrong(table, owner, row, &once, code);
    }
    right(table, owner, row.clone(), &once, property.id);
    let twice = once.repeat(2);
    match (owner, property.id) {
        (_, 0x26) => right(table, owner, format!("{row}, twice"), &twice, property.id),
        // 2.2.2.2 and each property's own text: to include it more than once is a protocol error.
        _ => wrong(table, owner, format!("{row}, twice"), &twice, 0x82),
    }
    for length in 1..once.len() {
        wrong(table, owner, format!("{row}, cut after {length} bytes"), &once[..length], 0x81);
    }
}

fn right(table: &mut Table, owner: Owner, row: String, properties: &[u8], id: u8) {
    let sends = bytes(owner, &block(Version::V5, properties));
    match (owner, id) {
        // [MQTT-4.12.0-1]: no such method.
        (Con, 0x15) => table.refused(row, sends, 0x8c),
        // 3.1.2.11.10: data without a method.
        (Con, 0x16) => table.refused(row, sends, 0x82),
        (Con | Will, _) => table.admitted(row, sends),
        (Dis, _) => table.add(row, true, sends, "end"),
        (Auth, _) => table.bad(row, sends, 0x82),
        (Publish, _) => table.good(row, sends, "PUBACK 7 ok"),
        (Subscribe, _) => table.good(row, sends, "SUBACK 1 00"),
        (Unsubscribe, _) => table.good(row, sends, not_subscribed(Version::V5)),
        (Puback | Pubrec | Pubrel | Pubcomp, _) => {
            table.good(row, sends, answer_to(first(owner), Version::V5))
        }
    }
}

fn wrong(table: &mut Table, owner: Owner, row: String, properties: &[u8], code: u8) {
    wrong_block(table, owner, row, &block(Version::V5, properties), code);
}

fn wrong_block(table: &mut Table, owner: Owner, row: String, block: &[u8], code: u8) {
    let sends = bytes(owner, block);
    match owner {
        Con | Will => table.refused(row, sends, code),
        Publish | Puback | Pubrec | Pubrel | Pubcomp | Subscribe | Unsubscribe | Dis | Auth => {
            table.bad(row, sends, code);
        }
    }
}

/// 2.2.2.1: the property length is a variable byte integer, and fits into the packet.
fn lengths(table: &mut Table, owner: Owner) {
    wrong_block(
        table,
        owner,
        format!("{owner:?}: a property length of five bytes"),
        &[0x80, 0x80, 0x80, 0x80, 1],
        0x81,
    );
    wrong_block(table, owner, format!("{owner:?}: property length 0 in two bytes"), &[0x80, 0], 0x81);
    let long: &[u8] = &[0xff, 0x7f, 0x26];
    wrong_block(table, owner, format!("{owner:?}: a property length beyond the packet"), long, 0x81);
}

/// What the text of each property says of its values.
fn values(table: &mut Table) {
    for (owner, id) in [(Con, 0x17), (Con, 0x19), (Publish, 0x01), (Will, 0x01)] {
        for value in [2, 3, 0x7f, 0x80, 0xff] {
            wrong(table, owner, format!("{owner:?}: {id:02x} of {value:02x}"), &[id, value], 0x82);
        }
        right(table, owner, format!("{owner:?}: {id:02x} of 0"), &[id, 0], id);
    }
    wrong(table, Con, "Receive Maximum 0".into(), &[0x21, 0, 0], 0x82);
    wrong(table, Con, "Maximum Packet Size 0".into(), &[0x27, 0, 0, 0, 0], 0x82);
    wrong(table, Subscribe, "Subscription Identifier 0".into(), &[0x0b, 0], 0x82);
    wrong(table, Subscribe, "Subscription Identifier 0 in two bytes".into(), &[0x0b, 0x80, 0], 0x81);
    wrong(
        table,
        Subscribe,
        "Subscription Identifier of five bytes".into(),
        &[0x0b, 0xff, 0xff, 0xff, 0xff, 1],
        0x81,
    );
    right(
        table,
        Subscribe,
        "Subscription Identifier 268,435,455".into(),
        &[0x0b, 0xff, 0xff, 0xff, 0x7f],
        0x0b,
    );
    // [MQTT-3.3.2-8], [MQTT-3.3.2-9]
    wrong(table, Publish, "Topic Alias 0".into(), &[0x23, 0, 0], 0x94);
    wrong(table, Publish, "Topic Alias 33".into(), &[0x23, 0, 33], 0x94);
    wrong(table, Publish, "Topic Alias 65,535".into(), &[0x23, 0xff, 0xff], 0x94);
    right(table, Publish, "Topic Alias 32".into(), &[0x23, 0, 32], 0x23);
    right(table, Con, "Session Expiry Interval for ever".into(), &[0x11, 0xff, 0xff, 0xff, 0xff], 0x11);
    // 3.14.2.2.2: from zero it cannot be raised.
    wrong(table, Dis, "Session Expiry Interval above 0".into(), &[0x11, 0, 0, 0, 9], 0x82);
    wrong(table, Publish, "an identifier of two bytes".into(), &[0x80, 0x01, 0], 0x81);
    wrong(table, Publish, "an identifier of five bytes".into(), &[0x80, 0x80, 0x80, 0x80, 1], 0x81);
    // [MQTT-3.3.2-14]
    for topic in ["#", "+", "a/#", "a+b"] {
        wrong(
            table,
            Publish,
            format!("Response Topic {topic}"),
            &[&[0x08][..], &field(topic)].concat(),
            0x81,
        );
    }
}

const fn first(owner: Owner) -> u8 {
    match owner {
        Con | Will => 0x10,
        Publish => 0x32,
        Puback => 0x40,
        Pubrec => 0x50,
        Pubrel => 0x62,
        Pubcomp => 0x70,
        Subscribe => 0x82,
        Unsubscribe => 0xa2,
        Dis => 0xe0,
        Auth => 0xf0,
    }
}

/// The packet with this block, its length included, in the place of its properties.
fn bytes(owner: Owner, block: &[u8]) -> Vec<u8> {
    let first = first(owner);
    match owner {
        Con => around(Connect::new(Version::V5), block, false),
        Will => around(Connect { flags: 6, ..Connect::new(Version::V5) }, block, true),
        Publish => packet(first, &[&field(fresh()), &[0, 7], block, b"x"]),
        Puback | Pubrec | Pubrel | Pubcomp => packet(first, &[&[0, 7, 0], block]),
        Subscribe => packet(first, &[&[0, 1], block, &field(fresh()), &[0]]),
        Unsubscribe => packet(first, &[&[0, 1], block, &field(fresh())]),
        Dis | Auth => packet(first, &[&[0], block]),
    }
}

/// CONNECT with the block in its own place, or in the will's: both are empty before.
fn around(connect: Connect, block: &[u8], is_will: bool) -> Vec<u8> {
    let body = connect.body();
    let own = connect.protocol.len() + 3;
    let at = if is_will { own + 1 + 2 + connect.id.len() } else { own };
    packet(0x10, &[&body[..at], block, &body[at + 1..]])
}
