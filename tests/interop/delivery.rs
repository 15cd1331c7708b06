//! QoS 0, 1 and 2 in all versions, both ways, and what stands in the packets.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::socket::Next;

#[test]
fn a_message_is_delivered_at_the_lesser_of_the_qos_published_and_granted() -> Result<()> {
    // MQTT 5.0, 3.8.4
    let broker = Broker::new()?;
    for (to, from) in Version::ALL.into_iter().flat_map(|to| Version::ALL.map(|from| (to, from))) {
        for granted in 0..=2 {
            let mut subscriber = Client::clean(broker.at(Door::Mqtt), to, "subscriber")?;
            ensure!(
                subscriber.subscribe("qos/test", granted)? == [granted],
                "{to:?} was not granted {granted}"
            );
            let mut publisher = Client::clean(broker.at(Door::Mqtt), from, "publisher")?;
            for published in 0..=2 {
                let body = format!("{from:?} {published} -> {to:?} {granted}: 안녕하세요");
                publisher.publish("qos/test", body.as_bytes(), published)?;
                let came = subscriber.take()?;
                ensure!(came.text() == body, "{came:?} instead of {body}");
                ensure!(came.qos == published.min(granted), "{body}: came at QoS {}", came.qos);
                ensure!(!came.dup && !came.retain && came.topic == "qos/test", "{body}: {came:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn messages_of_one_publisher_come_in_order_whatever_their_qos_is_on_the_way_out() -> Result<()> {
    // MQTT 5.0, 4.6
    let broker = Broker::new()?;
    let mut subscriber = Client::clean(broker.at(Door::Mqtt), Version::V311, "subscriber")?;
    subscriber.subscribe("order", 1)?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V311, "publisher")?;
    for number in 1..=500_u16 {
        let message = Publish::new("order", &number.to_be_bytes(), 1).with_id(number);
        publisher.send(&publish(Version::V311, &message))?;
        if number % 20 == 0 {
            for id in number - 19..=number {
                publisher.expect_ack(ack::PUBACK, id)?;
            }
        }
    }
    for number in 1..=500_u16 {
        ensure!(subscriber.take()?.payload == number.to_be_bytes(), "not {number}");
    }
    Ok(())
}

#[test]
fn a_qos_2_message_sent_twice_before_pubrel_is_delivered_once() -> Result<()> {
    // [MQTT-4.3.3-10]
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut subscriber = Client::clean(broker.at(Door::Mqtt), version, "subscriber")?;
        subscriber.subscribe("twice", 2)?;
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        let message = Publish::new("twice", b"once", 2).with_id(7);
        publisher.send(&publish(version, &message))?;
        publisher.expect_ack(ack::PUBREC, 7)?;
        // With DUP and without: a repetition is known by its id.
        for again in [message.clone().again(), message] {
            publisher.send(&publish(version, &again))?;
            publisher.expect_ack(ack::PUBREC, 7)?;
        }
        publisher.send(&ack::bytes(ack::PUBREL, 7))?;
        publisher.expect_ack(ack::PUBCOMP, 7)?;
        // The id is free: this is another message.
        publisher.send(&publish(version, &Publish::new("twice", b"another", 2).with_id(7)))?;
        publisher.expect_ack(ack::PUBREC, 7)?;
        ensure!(subscriber.take()?.text() == "once" && subscriber.take()?.text() == "another", "{version:?}");
    }
    Ok(())
}

#[test]
fn a_pubrel_for_nothing_is_answered() -> Result<()> {
    // [MQTT-4.3.3-11]: PUBCOMP, with 0x92 in 5.0.
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
        client.send(&ack::bytes(ack::PUBREL, 99))?;
        let expected = if version == Version::V5 { 0x92 } else { 0 };
        let packet = client.packet()?;
        ensure!(
            packet == Packet::Ack { kind: ack::PUBCOMP, id: 99, reason: expected },
            "{version:?}: {packet:?}"
        );
    }
    Ok(())
}

#[test]
fn a_message_for_nobody_is_acknowledged() -> Result<()> {
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
        for qos in [1, 2] {
            client.publish("nobody/listens", b"x", qos)?;
        }
    }
    Ok(())
}

#[test]
fn a_ping_is_answered_and_an_empty_or_large_payload_passes() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    client.send(&harness::mqtt::write::PINGREQ)?;
    ensure!(client.packet()? == Packet::Pingresp, "no PINGRESP");
    client.subscribe("size", 1)?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for size in [0, 1, 127, 128, 16_383, 16_384, 500_000] {
        let payload = harness::dice::Dice::new(size).bytes(usize::try_from(size)?);
        publisher.publish("size", &payload, 1)?;
        ensure!(client.take()?.payload == payload, "{size} bytes came back otherwise");
    }
    Ok(())
}

#[test]
fn no_more_messages_are_under_way_than_the_client_takes() -> Result<()> {
    // [MQTT-4.9.0-1], 3.1.2.11.3
    use harness::mqtt::property::{Property, RECEIVE_MAXIMUM};
    use harness::mqtt::write::Connect;
    let broker = Broker::new()?;
    let connect = Connect::new(Version::V5, "few").with(Property::Number(RECEIVE_MAXIMUM, 3));
    let (mut subscriber, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    subscriber.subscribe("few", 1)?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for number in 0..10 {
        publisher.publish("few", &[number], 1)?;
    }
    let first: Vec<Publish> = (0..3).map(|_| subscriber.publication()).collect::<std::io::Result<_>>()?;
    let more = subscriber.next(Duration::from_millis(200))?;
    ensure!(more == Next::Silence, "a fourth came: {more:?}");
    for message in first {
        subscriber.send(&ack::bytes(ack::PUBACK, message.id))?;
    }
    for number in 3..10 {
        ensure!(subscriber.take()?.payload == [number], "not {number}");
    }
    Ok(())
}
