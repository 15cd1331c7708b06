//! A mebibyte of random bytes to every door.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::dice::Dice;
use harness::door::Door;
use harness::socket::Socket;
use harness::wait::SOON;

use crate::healthy::Pair;

#[test]
fn random_bytes_are_refused_at_every_door_with_a_line_that_names_peer_and_reason() -> Result<()> {
    // P14
    let mut broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    let mut dice = Dice::new(1);
    for door in [Door::Mqtt, Door::Stomp, Door::Web, Door::Auto] {
        for _ in 0..3 {
            refused(&broker, door, &dice.bytes(1 << 20))
                .with_context(|| format!("random bytes to {door}"))?;
        }
    }
    ensure!(broker.is_running(), "the broker died");
    pair.part()
}

#[test]
fn the_right_protocol_at_the_wrong_door_is_refused() -> Result<()> {
    let mut broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    let http = b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".as_slice();
    let mqtt = harness::mqtt::write::Connect::new(harness::mqtt::version::Version::V311, "lost").bytes();
    let stomp = b"CONNECT\naccept-version:1.2\nhost:/\n\n\0".as_slice();
    let amqp = b"AMQP\0\0\x09\x01".as_slice();
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 600]].concat();
    for (door, strangers) in [
        (Door::Mqtt, vec![http, stomp, amqp, &tls]),
        (Door::Stomp, vec![http, &mqtt, amqp, &tls]),
        (Door::Web, vec![&mqtt, amqp, &tls]),
        (Door::Auto, vec![amqp, &tls]),
    ] {
        for bytes in strangers {
            let shown = String::from_utf8_lossy(bytes.get(..8).unwrap_or(bytes)).into_owned();
            refused(&broker, door, bytes).with_context(|| format!("{shown:?} to {door}"))?;
        }
    }
    ensure!(broker.is_running(), "the broker died");
    pair.part()
}

/// The broker closes, and says who it was and what was wrong.
fn refused(broker: &Broker, door: Door, bytes: &[u8]) -> Result<()> {
    let mut socket = Socket::dial(broker.at(door))?;
    let peer = socket.name();
    // It may be closed before all is written.
    let _ = socket.write(bytes);
    let _ = socket.finish();
    ensure!(socket.closes(Duration::from_secs(15))?, "{peer} was not closed");
    let line = broker.journal().wait_for(&[&peer, "reason="], SOON)?;
    println!("{line}");
    ensure!(line.contains("by=broker") || line.contains("conn.refused"), "somebody else is blamed: {line}");
    Ok(())
}
