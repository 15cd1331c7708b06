//! How a broker ends when it is asked to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;
use harness::stomp::Client as Stomp;
use harness::wait::SOON;

#[test]
fn sigterm_tells_everybody_and_ends_with_0_within_ten_seconds() -> Result<()> {
    // P13
    for signal in ["TERM", "INT"] {
        let mut broker = Broker::new()?;
        let mut new = Client::clean(broker.at(Door::Mqtt), Version::V5, "new")?;
        let mut old = Client::clean(broker.at(Door::Mqtt), Version::V311, "old")?;
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        let begin = Instant::now();
        broker.signal(signal)?;
        let packet = new.packet()?;
        ensure!(matches!(packet, Packet::Disconnect { reason: 0x8b, .. }), "{packet:?}");
        ensure!(
            new.closes(Duration::from_secs(10))? && old.closes(Duration::from_secs(10))?,
            "MQTT stays open"
        );
        stomp.expect("ERROR")?;
        ensure!(stomp.closes(Duration::from_secs(10))?, "STOMP stays open");
        let status = broker.wait(Duration::from_secs(10))?;
        ensure!(status.code() == Some(0), "{signal}: {status}");
        ensure!(begin.elapsed() < Duration::from_secs(10), "{signal}: it took {:?}", begin.elapsed());
    }
    Ok(())
}

#[test]
fn what_was_acknowledged_before_sigterm_is_there_after_it_and_qos_2_only_once() -> Result<()> {
    // P13
    let mut broker = Broker::new()?;
    let lasting = Connect::lasting(Version::V5, "heir");
    let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    heir.subscribe("kept", 2)?;
    drop(heir);
    let sender = Connect::lasting(Version::V5, "sender");
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &sender)?;
    client.send(&publish(Version::V5, &Publish::new("kept", b"1", 2).with_id(1)))?;
    client.expect_ack(ack::PUBREC, 1)?;
    broker.stop()?;
    broker.start()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &sender)?;
    client.send(&publish(Version::V5, &Publish::new("kept", b"1", 2).with_id(1).again()))?;
    client.expect_ack(ack::PUBREC, 1)?;
    client.send(&ack::bytes(ack::PUBREL, 1))?;
    client.expect_ack(ack::PUBCOMP, 1)?;
    let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(heir.take()?.text() == "1", "it is not there");
    let more = heir.next(Duration::from_millis(200))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn a_second_signal_ends_it_at_once() -> Result<()> {
    let mut broker = Broker::new()?;
    // It does not close its end, and so holds up an orderly stop for a while.
    let _client = Client::clean(broker.at(Door::Mqtt), Version::V311, "here")?;
    broker.signal("TERM")?;
    broker.journal().wait_for(&["stop.begin"], SOON)?;
    let begin = Instant::now();
    broker.signal("TERM")?;
    let status = broker.wait(Duration::from_secs(5)).context("it is still there")?;
    ensure!(begin.elapsed() < Duration::from_secs(1), "it took {:?}", begin.elapsed());
    ensure!(status.code() == Some(1), "{status}");
    Ok(())
}

#[test]
fn sighup_ends_nothing() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V311, "here")?;
    broker.signal("HUP")?;
    client.publish("still/here", b"x", 1)?;
    std::thread::sleep(Duration::from_millis(200));
    client.publish("still/here", b"x", 1)?;
    ensure!(broker.is_running(), "it is gone");
    Ok(())
}
