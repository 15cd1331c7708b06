//! Bridges: clients of 3.x that set the highest bit of the protocol level, as Mosquitto's do.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;

#[test]
fn a_bridge_gets_the_retain_flag_as_it_was_published_and_no_echo() -> Result<()> {
    let broker = Broker::new()?;
    for version in [Version::V31, Version::V311] {
        let mut bridge = bridge(&broker, version)?;
        let mut other = Client::clean(broker.at(Door::Mqtt), version, "other")?;
        for client in [&mut bridge, &mut other] {
            ensure!(client.subscribe("site/#", 1)? == [1], "{version:?}: not granted");
        }
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        let message = Publish::new("site/state", b"on", 1).with_id(3).retained();
        publisher.send(&publish(version, &message))?;
        publisher.expect_ack(ack::PUBACK, 3)?;
        let (of_bridge, of_other) = (bridge.take()?, other.take()?);
        ensure!(of_bridge.retain && of_bridge.text() == "on", "{version:?}: {of_bridge:?}");
        ensure!(!of_other.retain, "{version:?}: [MQTT-3.3.1-9] of 3.1.1, {of_other:?}");
        publisher.publish("site/live", b"x", 1)?;
        ensure!(!bridge.take()?.retain && !other.take()?.retain, "{version:?}: RETAIN out of nowhere");
        // Its own messages do not come back: two bridges would pass them on for ever.
        bridge.publish("site/own", b"mine", 1)?;
        ensure!(other.take()?.text() == "mine", "{version:?}: others hear it");
        let echo = bridge.next(Duration::from_millis(300))?;
        ensure!(echo == Next::Silence, "{version:?}: {echo:?}");
        publisher.send(&publish(version, &Publish::new("site/state", b"", 1).with_id(4).retained()))?;
        publisher.expect_ack(ack::PUBACK, 4)?;
    }
    Ok(())
}

#[test]
fn a_bridge_of_another_level_is_turned_away() -> Result<()> {
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut connect = Connect::new(version, "bridge").bytes();
        *level(&mut connect, version)? = 0x86;
        let mut client = Client::dial(broker.at(Door::Mqtt), version)?;
        client.send(&connect)?;
        ensure!(client.closes(Duration::from_secs(10))?, "{version:?}: let in");
    }
    Ok(())
}

fn bridge(broker: &Broker, version: Version) -> Result<Client> {
    let mut connect = Connect::new(version, "bridge").bytes();
    *level(&mut connect, version)? |= 0x80;
    let mut client = Client::dial(broker.at(Door::Mqtt), version)?;
    client.send(&connect)?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == 0), "{version:?}: {packet:?}");
    Ok(client)
}

/// The protocol level in CONNECT: behind the fixed header and the name.
fn level(connect: &mut [u8], version: Version) -> Result<&mut u8> {
    let name = if version == Version::V31 { "MQIsdp" } else { "MQTT" };
    connect.get_mut(2 + 2 + name.len()).context("a CONNECT")
}
