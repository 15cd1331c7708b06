//! The battery: some thousand sequences of packets, legal and not, each with the one answer that the specification asks for.
//!
//! They are made from small tables, by an encoder that shares nothing with the broker's. What is expected is taken from the
//! specification, whose section stands beside each table: in 5.0 the exact reason code (0x81 for what cannot be parsed, 0x82 for
//! what can be and is not allowed, another one where there is one), in 3.x the end of the connection.

mod cases;
mod connect;
mod fields;
mod filters;
mod headers;
mod order;
mod properties;
mod publish;
mod reasons;
mod run;
mod text;
mod write;

use anyhow::Result;
use harness::broker::Setup;
use harness::door::Door;
use harness::mqtt::version::Version;

use crate::cases::Case;
use crate::run::{Way, run};

#[test]
fn every_sequence_of_packets_is_answered_as_the_specification_asks() -> Result<()> {
    let broker = Setup::new().config(CONFIG).acl(OPEN).start()?;
    let mut broken = Vec::new();
    let mut count = 0;
    for (way, door) in [(Way::Tcp, Door::Mqtt), (Way::Pieces, Door::Mqtt), (Way::WebSocket, Door::Web)] {
        // Made anew, for new names: sessions stay.
        let cases = wanted();
        count += cases.len();
        broken.extend(run(&cases, way, broker.at(door))?);
    }
    assert!(broken.is_empty(), "{} of {count} sequences:\n{}", broken.len(), broken.join("\n"));
    Ok(())
}

#[test]
fn there_are_thousands_of_sequences_and_no_two_have_one_name() {
    let mut names: Vec<String> = all().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 1_800, "{count} sequences");
}

/// All of them, or with the variable `BATTERY` those whose name has that in it.
fn wanted() -> Vec<Case> {
    let wanted = std::env::var("BATTERY").unwrap_or_default();
    all().into_iter().filter(|case| case.name.contains(&wanted)).collect()
}

fn all() -> Vec<Case> {
    let tables: &[fn(Version) -> Vec<Case>] = &[
        connect::cases,
        fields::cases,
        filters::cases,
        headers::cases,
        order::cases,
        properties::cases,
        publish::cases,
        reasons::cases,
        text::cases,
    ];
    Version::ALL.iter().flat_map(|version| tables.iter().flat_map(|table| table(*version))).collect()
}

/// `$SYS` is for those alone whom a rule allows it.
const OPEN: &str =
    "[[rule]]\nallow = [\"connect\", \"publish\", \"retain\", \"subscribe\", \"consume\", \"configure\"]\n";
/// The whole machine may be busy: a client that is slow to say CONNECT is not what is tested here.
const CONFIG: &str = "[mqtt]\nconnect_timeout = \"60s\"\n";
