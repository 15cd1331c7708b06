//! Reason codes of 5.0: every byte in every packet of a client that has one (2.4).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{answer_to, packet};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("reasons", version);
    if version != Version::V5 {
        return extra(table);
    }
    for (name, first, allowed) in ACKS {
        for code in 0..=u8::MAX {
            let sends = packet(*first, &[&[0, 7, code]]);
            let row = format!("{name} {code:02x}");
            // [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]: a code that can be read and is not one of them.
            if !allowed.contains(&code) {
                table.bad(row, sends, 0x82);
            } else if *first == 0x50 && code >= 0x80 {
                // 4.3.3: nothing is left to release.
                table.good(row, sends, "");
            } else {
                table.good(row, sends, answer_to(*first, version));
            }
        }
    }
    for code in (0..=u8::MAX).filter(|code| *code != UNDECIDED) {
        let sends = packet(0xe0, &[&[code]]);
        let row = format!("DISCONNECT {code:02x}");
        // [MQTT-3.14.2-1]
        if BY_CLIENT.contains(&code) {
            table.add(row, true, sends, "end")
        } else {
            table.bad(row, sends, 0x82)
        }
    }
    for code in 0..=u8::MAX {
        // [MQTT-4.12.0-7]: whatever it says.
        table.bad(format!("AUTH {code:02x}"), packet(0xf0, &[&[code]]), 0x82);
    }
    table.done()
}

/// In 3.x an acknowledgement has no code (3.1.1, 3.4 to 3.7, 3.14): a byte more is too much.
fn extra(mut table: Table) -> Vec<Case> {
    for (name, first, _) in ACKS {
        for code in [0x00, 0x10, 0x80] {
            table.bad(format!("{name} with a byte {code:02x}"), packet(*first, &[&[0, 7, code]]), 0x81);
        }
    }
    for code in [0x00, 0x04, 0x80] {
        table.bad(format!("DISCONNECT with a byte {code:02x}"), packet(0xe0, &[&[code]]), 0x81);
    }
    table.done()
}

const ACKS: &[(&str, u8, &[u8])] = &[
    ("PUBACK", 0x40, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    ("PUBREC", 0x50, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    ("PUBREL", 0x62, &[0x00, 0x92]),
    ("PUBCOMP", 0x70, &[0x00, 0x92]),
];

/// Table 3-10, those with "Client" in the column of senders.
const BY_CLIENT: &[u8] =
    &[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];

/// 0x8C stands in the list of 2.4 and not in Table 3-10.
const UNDECIDED: u8 = 0x8c;
