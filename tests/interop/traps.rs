//! Traps that brokers are known to fall into (docs/protocols/mqtt.md, "Known traps"), as far as no other test has them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, RECEIVE_MAXIMUM};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish, subscribe};
use harness::socket::Next;

#[test]
fn qos_2_publish_replayed_after_pubrel_is_a_new_message() -> Result<()> {
    // [MQTT-4.3.3-12]: after PUBCOMP the id stands for nothing any more, over a reconnect and a restart too.
    let mut broker = Broker::new()?;
    for version in Version::ALL {
        for between in ["nothing", "a reconnect", "a restart"] {
            let name = format!("replay-{version:?}-{}", between.len());
            let (mut sender, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
            let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, "heir"))?;
            heir.subscribe(&name, 2)?;
            drop(heir);
            let message = Publish::new(&name, b"x", 2).with_id(9);
            sender.send(&publish(version, &message))?;
            sender.expect_ack(ack::PUBREC, 9)?;
            sender.send(&ack::bytes(ack::PUBREL, 9))?;
            sender.expect_ack(ack::PUBCOMP, 9)?;
            if between == "a restart" {
                broker.kill();
                broker.start()?;
            }
            if between != "nothing" {
                sender = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?.0;
            }
            sender.send(&publish(version, &message.again()))?;
            sender.expect_ack(ack::PUBREC, 9)?;
            sender.send(&ack::bytes(ack::PUBREL, 9))?;
            sender.expect_ack(ack::PUBCOMP, 9)?;
            let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, "heir"))?;
            ensure!(heir.take()?.text() == "x" && heir.take()?.text() == "x", "{version:?}, {between}");
            drop(heir);
            Client::clean(broker.at(Door::Mqtt), version, "heir")?;
        }
    }
    Ok(())
}

#[test]
fn qos_2_pubrel_replayed_over_a_reconnect_and_a_restart_is_answered() -> Result<()> {
    // [MQTT-4.3.3-11]: PUBCOMP each time, and the message once.
    let mut broker = Broker::new()?;
    for version in Version::ALL {
        for restart in [false, true] {
            let name = format!("release-{version:?}-{restart}");
            let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, "heir"))?;
            heir.subscribe(&name, 2)?;
            drop(heir);
            let (mut sender, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
            sender.send(&publish(version, &Publish::new(&name, b"once", 2).with_id(9)))?;
            sender.expect_ack(ack::PUBREC, 9)?;
            drop(sender);
            if restart {
                broker.kill();
                broker.start()?;
            }
            let (mut sender, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
            for known in [true, false] {
                sender.send(&ack::bytes(ack::PUBREL, 9))?;
                let packet = sender.packet()?;
                let reason = if known || version != Version::V5 { 0 } else { 0x92 };
                let expected = Packet::Ack { kind: ack::PUBCOMP, id: 9, reason };
                ensure!(packet == expected, "{version:?}: {packet:?}");
            }
            sender.publish(&name, b"end", 2)?;
            let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, "heir"))?;
            ensure!(heir.take()?.text() == "once" && heir.take()?.text() == "end", "{version:?}, {restart}");
            drop(heir);
            Client::clean(broker.at(Door::Mqtt), version, "heir")?;
        }
    }
    Ok(())
}

#[test]
fn takeover_while_messages_are_in_flight_both_ways() -> Result<()> {
    // [MQTT-3.1.4-3], [MQTT-4.4.0-1], [MQTT-4.3.3-10]: the new connection goes on where the old one was, in both directions.
    let broker = Broker::new()?;
    for version in Version::ALL {
        let connect = Connect::lasting(version, "taken");
        let (mut old, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        old.subscribe("in", 2)?;
        let mut other = Client::clean(broker.at(Door::Mqtt), version, "other")?;
        other.subscribe("out", 2)?;
        other.publish("in", b"one", 1)?;
        other.publish("in", b"two", 2)?;
        let (one, two) = (old.publication()?, old.publication()?);
        old.send(&ack::bytes(ack::PUBREC, two.id))?;
        old.expect_ack(ack::PUBREL, two.id)?;
        let message = Publish::new("out", b"mine", 2).with_id(5);
        old.send(&publish(version, &message))?;
        old.expect_ack(ack::PUBREC, 5)?;
        let (mut new, connack) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        ensure!(connack.session_present || version == Version::V31, "{version:?}: the session is gone");
        if version == Version::V5 {
            let packet = old.packet()?;
            ensure!(matches!(packet, Packet::Disconnect { reason: 0x8e, .. }), "{packet:?}");
        }
        ensure!(old.closes(Duration::from_secs(10))?, "{version:?}: the old connection goes on");
        ensure!(new.publication()? == one.clone().again(), "{version:?}: QoS 1 does not come again");
        new.send(&ack::bytes(ack::PUBACK, one.id))?;
        new.expect_ack(ack::PUBREL, two.id).with_context(|| format!("{version:?}: QoS 2"))?;
        new.send(&ack::bytes(ack::PUBCOMP, two.id))?;
        new.send(&publish(version, &message.again()))?;
        new.expect_ack(ack::PUBREC, 5)?;
        new.send(&ack::bytes(ack::PUBREL, 5))?;
        new.expect_ack(ack::PUBCOMP, 5)?;
        new.publish("out", b"end", 1)?;
        ensure!(
            other.take()?.text() == "mine" && other.take()?.text() == "end",
            "{version:?}: twice or never"
        );
        drop(new);
        Client::clean(broker.at(Door::Mqtt), version, "taken")?;
    }
    Ok(())
}

#[test]
fn a_topic_of_65_535_bytes_and_one_of_65_535_levels() -> Result<()> {
    // No stack is overrun and no memory is eaten, with the limit raised and with topics and filters of all levels at once.
    let broker = Setup::new().config("[mqtt]\nmax_topic_levels = 65536\n").start()?;
    let long = "t".repeat(65_535);
    let deep = "/".repeat(65_534);
    let wild = "+/".repeat(32_767) + "#";
    for version in Version::ALL {
        let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
        for (number, filter) in (1..).zip([&long, &deep, &wild]) {
            client.send(&subscribe(version, number, &[(filter, 1)], &[]))?;
            let packet = client.packet()?;
            ensure!(
                matches!(&packet, Packet::Suback { codes, .. } if *codes == [1]),
                "{version:?}: {packet:?}"
            );
        }
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        for topic in [&long, &deep] {
            for _ in 0..20 {
                publisher.publish(topic, b"x", 1)?;
                let came = client.take()?;
                ensure!(came.topic == *topic, "{version:?}: {} bytes", came.topic.len());
            }
            let retained = Publish::new(topic, b"kept", 1).with_id(77).retained();
            publisher.send(&publish(version, &retained))?;
            publisher.expect_ack(ack::PUBACK, 77)?;
            client.take()?;
        }
        let mut late = Client::clean(broker.at(Door::Mqtt), version, "late")?;
        late.subscribe("#", 0)?;
        ensure!(late.take()?.text() == "kept" && late.take()?.text() == "kept", "{version:?}: not retained");
        for topic in [&long, &deep] {
            publisher.send(&publish(version, &Publish::new(topic, b"", 1).with_id(78).retained()))?;
            publisher.expect_ack(ack::PUBACK, 78)?;
        }
    }
    let pid = broker.pid().context("it runs")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
    let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse()?;
    ensure!(peak_kb < 512 * 1024, "{peak_kb} kB");
    Ok(())
}

#[test]
fn a_receive_maximum_of_1_with_qos_2() -> Result<()> {
    // [MQTT-4.9.0-1], [MQTT-4.9.0-2]: the place is taken until PUBCOMP, or until PUBREC with an error.
    let broker = Broker::new()?;
    let connect = Connect::new(Version::V5, "one").with(Property::Number(RECEIVE_MAXIMUM, 1));
    let (mut one, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    one.subscribe("one", 2)?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for number in 1..=4 {
        publisher.publish("one", &[number], 2)?;
    }
    let none = |client: &mut Client, when: &str| -> Result<()> {
        let next = client.next(Duration::from_millis(200))?;
        ensure!(next == Next::Silence, "{when}: {next:?}");
        Ok(())
    };
    let first = one.publication()?;
    none(&mut one, "before PUBREC")?;
    one.send(&ack::bytes(ack::PUBREC, first.id))?;
    one.expect_ack(ack::PUBREL, first.id)?;
    none(&mut one, "before PUBCOMP")?;
    one.send(&ack::bytes(ack::PUBCOMP, first.id))?;
    let second = one.publication()?;
    // Refused: over, and no PUBREL follows.
    let [high, low] = second.id.to_be_bytes();
    one.send(&[0x50, 3, high, low, 0x80])?;
    ensure!(one.take()?.payload == [3] && one.take()?.payload == [4], "a place was lost");
    none(&mut one, "after all")
}

#[test]
fn a_receive_maximum_of_1_towards_the_broker_with_qos_2() -> Result<()> {
    // [MQTT-3.3.4-7]
    let broker = Setup::new().config("[mqtt]\nreceive_max = 1\n").start()?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    client.publish("t", b"x", 2)?;
    client.publish("t", b"x", 2)?;
    client.send(&publish(Version::V5, &Publish::new("t", b"x", 2).with_id(1)))?;
    client.expect_ack(ack::PUBREC, 1)?;
    // A repetition takes no place of its own.
    client.send(&publish(Version::V5, &Publish::new("t", b"x", 2).with_id(1).again()))?;
    client.expect_ack(ack::PUBREC, 1)?;
    client.send(&publish(Version::V5, &Publish::new("t", b"x", 2).with_id(2)))?;
    let packet = client.packet()?;
    ensure!(matches!(packet, Packet::Disconnect { reason: 0x93, .. }), "{packet:?}");
    Ok(())
}
