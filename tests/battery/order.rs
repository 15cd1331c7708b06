//! Order: what may follow what, and what QoS 2 makes of repetitions (3.1.4, 3.14.4, 4.3.3).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{Connect, ack, block, field, fresh, packet, publish, subscribe};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("order", version);
    connect(&mut table, version);
    qos_2(&mut table, version);
    acks(&mut table, version);
    table.done()
}

fn connect(table: &mut Table, version: Version) {
    // [MQTT-3.1.0-2]
    table.bad("a second CONNECT", Connect::new(version).bytes(), 0x82);
    for other in Version::ALL.into_iter().filter(|other| *other != version) {
        table.bad(format!("a second CONNECT, of {other:?}"), Connect::new(other).bytes(), 0x82);
    }
    let connect = Connect::new(version).bytes();
    let twice = [connect.clone(), connect].concat();
    let hears = if version == Version::V5 { "CONNACK 00, DISCONNECT 82, end" } else { "CONNACK 00, end" };
    table.add("two CONNECTs at once", false, twice, hears);
    // 3.1.4: a client may say more before CONNACK, and it is done after.
    let more = [Connect::new(version).bytes(), subscribe(version, &[(fresh().as_bytes(), 1)], &[])].concat();
    table.add("SUBSCRIBE behind CONNECT", false, more, "CONNACK 00, SUBACK 1 01, on");
    let more = [Connect::new(version).bytes(), publish(version, 2, fresh(), &[])].concat();
    table.add("PUBLISH behind CONNECT", false, more, "CONNACK 00, PUBACK 7 ok, on");
    let more = [Connect::new(version).bytes(), vec![0xe0, 0]].concat();
    table.add("DISCONNECT behind CONNECT", false, more, "CONNACK 00, end");
    let more = [Connect::new(version).bytes(), vec![0xc0, 0], vec![0xc0, 0]].concat();
    table.add("PINGREQ behind CONNECT", false, more, "CONNACK 00, PINGRESP, PINGRESP, on");
    // [MQTT-3.1.4-6]
    let refused = Connect { id: vec![b'i'; 300], ..Connect::new(version) }.bytes();
    let hears = if version == Version::V5 { "CONNACK 85, end" } else { "CONNACK 02, end" };
    table.add(
        "PUBLISH behind a refused CONNECT",
        false,
        [refused, publish(version, 2, fresh(), &[])].concat(),
        hears,
    );
    // [MQTT-3.14.4-2]: nothing is done after DISCONNECT.
    table.add(
        "PUBLISH behind DISCONNECT",
        true,
        [vec![0xe0, 0], publish(version, 2, fresh(), &[])].concat(),
        "end",
    );
    table.add("PINGREQ behind DISCONNECT", true, vec![0xe0, 0, 0xc0, 0], "end");
    if version == Version::V5 {
        let reauth =
            packet(0xf0, &[&[0x19], &block(version, &[&[0x15][..], &field("SCRAM-SHA-256")].concat())]);
        table.bad("AUTH to a client that came without a method", reauth, 0x82);
        table.add("AUTH before CONNECT", false, vec![0xf0, 0], "end");
    }
}

/// [MQTT-4.3.3-10] to [MQTT-4.3.3-12]; 3.1.1, 4.3.3
fn qos_2(table: &mut Table, version: Version) {
    let first = publish(version, 4, fresh(), &[]);
    let again = publish(version, 0x0c, fresh(), &[]);
    let release = ack(0x62);
    let unknown = if version == Version::V5 { "PUBCOMP 7 92" } else { "PUBCOMP 7 ok" };
    table.good("PUBLISH, PUBREL", [first.clone(), release.clone()].concat(), "PUBREC 7 ok, PUBCOMP 7 ok");
    table.good("PUBLISH, again", [first.clone(), again.clone()].concat(), "PUBREC 7 ok, PUBREC 7 ok");
    table.good(
        "PUBLISH, again without DUP",
        [first.clone(), first.clone()].concat(),
        "PUBREC 7 ok, PUBREC 7 ok",
    );
    let twice = [first.clone(), release.clone(), release.clone()].concat();
    table.good("PUBLISH, PUBREL, PUBREL", twice, &format!("PUBREC 7 ok, PUBCOMP 7 ok, {unknown}"));
    let anew = [first.clone(), release.clone(), first.clone(), release.clone()].concat();
    table.good("an id that is used again", anew, "PUBREC 7 ok, PUBCOMP 7 ok, PUBREC 7 ok, PUBCOMP 7 ok");
    let late = [first.clone(), release.clone(), again, release.clone()].concat();
    table.good("again after PUBCOMP", late, "PUBREC 7 ok, PUBCOMP 7 ok, PUBREC 7 ok, PUBCOMP 7 ok");
    table.good("PUBREL for nothing", release.clone(), unknown);
    // The ids of QoS 1 are not remembered.
    let one = publish(version, 2, fresh(), &[]);
    table.good("QoS 1 twice under one id", [one.clone(), one.clone()].concat(), "PUBACK 7 ok, PUBACK 7 ok");
    table.good("PUBREL for a message of QoS 1", [one, release].concat(), &format!("PUBACK 7 ok, {unknown}"));
}

/// Acknowledgements that nobody waits for.
fn acks(table: &mut Table, version: Version) {
    for first in [0x40, 0x50, 0x62, 0x70] {
        let answer = crate::write::answer_to(first, version);
        let twice = if answer.is_empty() { String::new() } else { format!("{answer}, {answer}") };
        table.good(format!("{first:02x} twice"), [ack(first), ack(first)].concat(), &twice);
    }
    table.good("PINGREQ three times", vec![0xc0, 0, 0xc0, 0, 0xc0, 0], "PINGRESP, PINGRESP, PINGRESP");
}
