//! Packets larger than allowed, and WebSockets for something else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Packet;
use harness::mqtt::version::Version;
use harness::socket::Socket;
use harness::stomp::Client as Stomp;
use harness::wait::SOON;
use harness::websocket::upgrade;

use crate::healthy::Pair;

#[test]
fn an_mqtt_packet_that_announces_too_much_is_refused_by_its_header_alone() -> Result<()> {
    // [MQTT-3.1.2-24], [MQTT-3.2.2-15]; nothing is buffered for it.
    let broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    for version in Version::ALL {
        let mut client = Mqtt::clean(broker.at(Door::Mqtt), version, "giant")?;
        client.send(&[0x30, 0xff, 0xff, 0xff, 0x7f])?;
        if version == Version::V5 {
            let packet = client.packet()?;
            ensure!(matches!(packet, Packet::Disconnect { reason: 0x95, .. }), "{packet:?}");
        }
        told(&broker, &mut client.socket).with_context(|| format!("{version:?}"))?;
    }
    let mut first = Socket::dial(broker.at(Door::Mqtt))?;
    first.write(&[0x10, 0xff, 0xff, 0xff, 0x7f])?;
    told(&broker, &mut first).context("CONNECT")?;
    pair.part()
}

#[test]
fn a_stomp_frame_that_announces_or_brings_too_much_is_refused_in_words() -> Result<()> {
    let broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    let long_header = format!("SEND\ndestination:/topic/x\nlong:{}\n\nx\0", "x".repeat(1 << 20));
    let many_headers = format!("SEND\ndestination:/topic/x\n{}\nx\0", "a:b\n".repeat(100_000));
    let no_length = format!("SEND\ndestination:/topic/x\n\n{}", "x".repeat(300 << 20 >> 3));
    for (what, bytes) in [
        ("content-length", b"SEND\ndestination:/topic/x\ncontent-length:99999999999\n\n".to_vec()),
        ("a number that is none", b"SEND\ndestination:/topic/x\ncontent-length:-1\n\n\0".to_vec()),
        ("a long header", long_header.into_bytes()),
        ("many headers", many_headers.into_bytes()),
        ("a body without a length", no_length.into_bytes()),
    ] {
        let mut client = Stomp::new(broker.at(Door::Stomp))?;
        // It may be closed before all is written.
        let _ = client.socket.write(&bytes);
        told(&broker, &mut client.socket).context(what)?;
    }
    pair.part()
}

#[test]
fn a_websocket_for_a_protocol_that_is_not_spoken_is_refused() -> Result<()> {
    let broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    for (path, subprotocol, what) in
        [("/ws", "amqp", "subprotocol"), ("/ws", "wamp, soap", "subprotocol"), ("/none", "mqtt", "path")]
    {
        let (answer, mut socket) = upgrade(broker.at(Door::Web), path, subprotocol)?;
        let status = answer.lines().next().unwrap_or_default();
        ensure!(status.starts_with("HTTP/1.1 4"), "{what} {path} {subprotocol}: {status}");
        told(&broker, &mut socket).with_context(|| format!("{path} {subprotocol}"))?;
    }
    pair.part()
}

#[test]
fn a_websocket_frame_that_announces_too_much_or_is_not_masked_is_refused() -> Result<()> {
    let broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    for (what, frame) in [
        ("a giant", vec![0x82, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0, 1, 2, 3, 4]),
        ("not masked", vec![0x82, 0x02, 0xc0, 0x00]),
        ("reserved bits", vec![0xf2, 0x82, 1, 2, 3, 4, 5, 6]),
        ("an unknown opcode", vec![0x83, 0x82, 1, 2, 3, 4, 5, 6]),
        ("text for MQTT", [&[0x81, 0x82, 0, 0, 0, 0][..], b"hi"].concat()),
    ] {
        let (answer, mut socket) = upgrade(broker.at(Door::Web), "/ws", "mqtt")?;
        ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        socket.write(&frame)?;
        told(&broker, &mut socket).context(what)?;
    }
    pair.part()
}

/// It is closed by the broker, and a line says who it was and why.
fn told(broker: &Broker, socket: &mut Socket) -> Result<()> {
    let peer = socket.name();
    ensure!(socket.closes(Duration::from_secs(15))?, "{peer} was not closed");
    let line = broker.journal().wait_for(&[&peer, "reason="], SOON)?;
    println!("{line}");
    ensure!(line.contains("by=broker") || line.contains("conn.refused"), "somebody else is blamed: {line}");
    Ok(())
}
