//! Topic filters and subscription options (3.8.3, 4.7, 4.8.2).

use harness::mqtt::version::Version;

use crate::cases::{Case, Table};
use crate::write::{fresh, subscribe, unsubscribe};

pub(crate) fn cases(version: Version) -> Vec<Case> {
    let mut table = Table::new("filters", version);
    grammar(&mut table, version);
    options(&mut table, version);
    lists(&mut table, version);
    table.done()
}

/// 4.7.1, 4.7.3; shares are an invention of 5.0 that clients of 3.x may use, too.
fn grammar(table: &mut Table, version: Version) {
    let left = if version == Version::V5 { "UNSUBACK 1 11" } else { "UNSUBACK 1" };
    for filter in GOOD {
        table.good(
            format!("SUBSCRIBE {filter}"),
            subscribe(version, &[(filter.as_bytes(), 0)], &[]),
            "SUBACK 1 00",
        );
        table.good(format!("UNSUBSCRIBE {filter}"), unsubscribe(version, &[filter.as_bytes()], &[]), left);
    }
    for filter in BAD {
        let asks = subscribe(version, &[(filter.as_bytes(), 0)], &[]);
        let leaves = unsubscribe(version, &[filter.as_bytes()], &[]);
        if version == Version::V5 {
            // 3.9.3, 3.11.3: Topic Filter invalid.
            table.good(format!("SUBSCRIBE {filter}"), asks, "SUBACK 1 8f");
            table.good(format!("UNSUBSCRIBE {filter}"), leaves, "UNSUBACK 1 8f");
        } else {
            // [MQTT-4.7.1-2], [MQTT-4.7.1-3] of 3.1.1
            table.add(format!("SUBSCRIBE {filter}"), true, asks, "end");
            table.add(format!("UNSUBSCRIBE {filter}"), true, leaves, "end");
        }
    }
    for filter in BAD_SHARES {
        let asks = subscribe(version, &[(filter.as_bytes(), 0)], &[]);
        let leaves = unsubscribe(version, &[filter.as_bytes()], &[]);
        // [MQTT-4.8.2-1], [MQTT-4.8.2-2]; in 3.1 there is no code that says no.
        match version {
            Version::V5 => table.good(format!("SUBSCRIBE {filter}"), asks, "SUBACK 1 8f"),
            Version::V311 => table.good(format!("SUBSCRIBE {filter}"), asks, "SUBACK 1 80"),
            Version::V31 => table.add(format!("SUBSCRIBE {filter}"), true, asks, "end"),
        }
        let left = if version == Version::V5 { "UNSUBACK 1 8f" } else { "UNSUBACK 1" };
        table.good(format!("UNSUBSCRIBE {filter}"), leaves, left);
    }
    // [MQTT-4.7.3-1]: it can be read, and is not allowed.
    table.bad("SUBSCRIBE to nothing", subscribe(version, &[(b"", 0)], &[]), 0x82);
    table.bad("UNSUBSCRIBE from nothing", unsubscribe(version, &[b""], &[]), 0x82);
    table.bad("SUBSCRIBE without a filter", subscribe(version, &[], &[]), 0x82);
    table.bad("UNSUBSCRIBE without a filter", unsubscribe(version, &[], &[]), 0x82);
}

/// 3.8.3.1, [MQTT-3.8.3-5]; in 3.x six bits are reserved [MQTT-3.8.3-4 of 3.1.1].
fn options(table: &mut Table, version: Version) {
    let reserved = if version == Version::V5 { 0xc0 } else { 0xfc };
    for options in 0..=u8::MAX {
        let sends = subscribe(version, &[(fresh().as_bytes(), options)], &[]);
        let row = format!("options {options:08b}");
        if options & reserved != 0 {
            table.bad(row, sends, 0x81);
        } else if options & 3 == 3 || options & 0x30 == 0x30 {
            table.bad(row, sends, 0x82);
        } else {
            table.good(row, sends, &format!("SUBACK 1 {:02x}", options & 3));
        }
    }
    if version == Version::V5 {
        let share = format!("$share/g/{}", fresh());
        for options in 0..3 {
            // [MQTT-3.8.3-4]
            let sends = subscribe(version, &[(share.as_bytes(), 4 | options)], &[]);
            table.bad(format!("No Local on a share, QoS {options}"), sends, 0x82);
        }
    }
}

/// [MQTT-3.8.4-6], [MQTT-3.9.3-1], [MQTT-3.11.3-1]: one code for each, in order.
fn lists(table: &mut Table, version: Version) {
    let names: Vec<String> = (0..101).map(|_| fresh()).collect();
    let many: Vec<(&[u8], u8)> = names.iter().map(|name| (name.as_bytes(), 1)).collect();
    table.good(
        "100 filters",
        subscribe(version, &many[..100], &[]),
        &format!("SUBACK 1{}", " 01".repeat(100)),
    );
    let beyond = subscribe(version, &many, &[]);
    match version {
        Version::V5 => table.good("101 filters", beyond, &format!("SUBACK 1{}", " 97".repeat(101))),
        Version::V311 => table.good("101 filters", beyond, &format!("SUBACK 1{}", " 80".repeat(101))),
        Version::V31 => table.add("101 filters", true, beyond, "end"),
    }
    let name = fresh();
    let name = name.as_bytes();
    table.good("the same filter twice", subscribe(version, &[(name, 1), (name, 2)], &[]), "SUBACK 1 01 02");
    table.good(
        "three QoS",
        subscribe(version, &[(b"x/0", 0), (b"x/1", 1), (b"x/2", 2)], &[]),
        "SUBACK 1 00 01 02",
    );
    if version == Version::V5 {
        let mixed = subscribe(version, &[(name, 2), (b"a#", 0), (b"$share/g", 0), (b"b/+", 1)], &[]);
        table.good("good and bad filters", mixed, "SUBACK 1 02 8f 8f 01");
        let mixed = unsubscribe(version, &[name, b"a#", b"$share/g"], &[]);
        table.good("good and bad filters to be left", mixed, "UNSUBACK 1 11 8f 8f");
    }
    let both = [subscribe(version, &[(name, 0)], &[]), unsubscribe(version, &[name], &[])].concat();
    let left = if version == Version::V5 { "SUBACK 1 00, UNSUBACK 1 00" } else { "SUBACK 1 00, UNSUBACK 1" };
    table.good("in and out", both, left);
}

const GOOD: &[&str] = &[
    "a",
    "/",
    "//",
    "+",
    "#",
    "/#",
    "/+",
    "+/+",
    "a/+",
    "a/#",
    "+/#",
    "+/a/#",
    "a//b",
    "a/+/b/#",
    " ",
    "a b",
    "é",
    "$a",
    "$SYS/#",
    "$SYS/+/x",
    "$share/g/a",
    "$share/g/#",
    "$share/g/+/b",
    "$share/g//",
    "$share/g/$SYS/#",
    "$shared",
    "$shared/x",
    "$sharex/g/a",
    "a/$share/b",
    "$exchange/amq.topic/a/#",
];

const BAD: &[&str] = &[
    "a#", "#a", "##", "#/", "#/a", "a/#/b", "a/b#", "a+", "+a", "++", "a/+b", "a/b+/c", "/a+/", "+#", "#+",
    "a/+#", "$SYS/#/a",
];

const BAD_SHARES: &[&str] = &[
    "$share",
    "$share/",
    "$share//",
    "$share/g",
    "$share/g/",
    "$share//a",
    "$share/+/a",
    "$share/#/a",
    "$share/g+/a",
    "$share/a#/b",
    "$share/+",
    "$share/#",
];
