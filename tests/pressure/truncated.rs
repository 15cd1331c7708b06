//! Packets that end in the middle, and clients that say nothing more.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::socket::Socket;
use harness::stomp::Client as Stomp;
use harness::wait::SOON;

use crate::healthy::Pair;

#[test]
fn a_packet_that_ends_with_the_connection_is_told_with_peer_and_reason() -> Result<()> {
    // Whoever leaves before he is in is told of at debug only: health checks do so all day.
    let broker = Setup::new().argument("--log-level").argument("debug").start()?;
    let pair = Pair::new(&broker)?;
    let connect = Connect::new(Version::V5, "half").bytes();
    let stomp = b"CONNECT\naccept-version:1.2\nho".as_slice();
    let http = b"GET /ws HTTP/1.1\r\nUpgr".as_slice();
    let half = connect.get(..9).unwrap_or_default();
    for (door, bytes) in [
        (Door::Mqtt, half),
        (Door::Stomp, stomp),
        (Door::Web, http),
        (Door::Auto, half),
        (Door::Auto, stomp),
        (Door::Auto, http),
    ] {
        let mut socket = Socket::dial(broker.at(door))?;
        socket.write(bytes)?;
        socket.finish()?;
        gone(&broker, &mut socket).with_context(|| format!("half a packet to {door}"))?;
    }

    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "in")?;
    let whole = publish(Version::V311, &Publish::new("half", &[7; 1000], 1).with_id(1));
    client.send(whole.get(..500).unwrap_or_default())?;
    client.socket.finish()?;
    gone(&broker, &mut client.socket).context("half a PUBLISH")?;

    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    client.socket.write(b"SEND\ndestination:/topic/half\ncontent-length:1000\n\nhalf")?;
    client.socket.finish()?;
    gone(&broker, &mut client.socket).context("half a SEND")?;
    pair.part()
}

#[test]
fn whoever_connects_and_says_nothing_is_closed() -> Result<()> {
    let broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    let begin = Instant::now();
    let mut silent = Vec::new();
    for (door, said) in [
        (Door::Mqtt, &b""[..]),
        (Door::Mqtt, b"\x10\x20\0\x04MQ"),
        (Door::Stomp, b""),
        (Door::Stomp, b"CONNECT\n"),
        (Door::Web, b""),
        (Door::Web, b"GET /ws HT"),
        (Door::Auto, b""),
        (Door::Auto, b"C"),
    ] {
        let mut socket = Socket::dial(broker.at(door))?;
        socket.write(said)?;
        silent.push((door, said, socket));
    }
    for (door, said, mut socket) in silent {
        let what = format!("{:?} to {door}", String::from_utf8_lossy(said));
        gone(&broker, &mut socket).context(what)?;
    }
    ensure!(begin.elapsed() < Duration::from_secs(40), "it took {:?}", begin.elapsed());
    pair.part()
}

fn gone(broker: &Broker, socket: &mut Socket) -> Result<()> {
    let peer = socket.name();
    ensure!(socket.closes(Duration::from_secs(35))?, "{peer} was not closed");
    let line = broker.journal().wait_for(&[&peer, "reason="], SOON)?;
    println!("{line}");
    Ok(())
}
