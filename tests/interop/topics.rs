//! Wildcards, overlapping subscriptions, and the same keys seen through both doors.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Packet;
use harness::mqtt::property::{Property, SUBSCRIPTION_IDENTIFIER};
use harness::mqtt::version::Version;
use harness::mqtt::write::{subscribe, unsubscribe};
use harness::stomp::Client as Stomp;

#[test]
fn a_filter_gets_the_topics_that_it_matches() -> Result<()> {
    // MQTT 5.0, 4.7
    let broker = Broker::new()?;
    let topics = ["a", "a/b", "a/b/c", "/a", "a/", "b/b", "방/오", "a//c"];
    for (filter, expected) in [
        ("a", vec!["a"]),
        ("a/+", vec!["a/b", "a/"]),
        ("a/#", vec!["a", "a/b", "a/b/c", "a/", "a//c"]),
        ("+/b", vec!["a/b", "b/b"]),
        ("+/+", vec!["a/b", "/a", "a/", "b/b", "방/오"]),
        ("#", topics.to_vec()),
        ("/+", vec!["/a"]),
        ("방/+", vec!["방/오"]),
        ("a/+/c", vec!["a/b/c", "a//c"]),
        ("b", vec![]),
    ] {
        let mut subscriber = Client::clean(broker.at(Door::Mqtt), Version::V311, "subscriber")?;
        subscriber.subscribe(filter, 1)?;
        subscriber.subscribe("end", 1)?;
        let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V311, "publisher")?;
        for topic in topics.iter().chain(&["end"]) {
            publisher.publish(topic, b"x", 1)?;
        }
        let mut came = Vec::new();
        loop {
            let message = subscriber.take()?;
            if message.topic == "end" {
                break;
            }
            came.push(message.topic);
        }
        ensure!(came == expected, "{filter} got {came:?} instead of {expected:?}");
    }
    Ok(())
}

#[test]
fn a_wildcard_at_the_front_does_not_see_topics_of_the_broker() -> Result<()> {
    // [MQTT-4.7.2-1]
    let broker = Broker::new()?;
    let mut subscriber = Client::clean(broker.at(Door::Mqtt), Version::V5, "subscriber")?;
    subscriber.subscribe("#", 1)?;
    subscriber.subscribe("+/direct/x", 1)?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    publisher.publish("$exchange/amq.direct/x", b"hidden", 1)?;
    publisher.publish("seen", b"x", 1)?;
    let first = subscriber.take()?;
    ensure!(first.topic == "seen", "{first:?}");
    Ok(())
}

#[test]
fn overlapping_subscriptions_bring_one_message_at_the_highest_qos() -> Result<()> {
    // [MQTT-3.3.4-2], 3.3.4: all identifiers are on it.
    let broker = Broker::new()?;
    let mut subscriber = Client::clean(broker.at(Door::Mqtt), Version::V5, "subscriber")?;
    for (id, filter, qos) in [(1, "over/#", 2), (2, "over/+", 1), (3, "over/lap", 0)] {
        let properties = [Property::Number(SUBSCRIPTION_IDENTIFIER, id)];
        subscriber.send(&subscribe(Version::V5, u16::try_from(id)?, &[(filter, qos)], &properties))?;
        ensure!(matches!(subscriber.packet()?, Packet::Suback { .. }), "no SUBACK");
    }
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    publisher.publish("over/lap", b"once", 2)?;
    publisher.publish("over/end/x", b"end", 0)?;
    let message = subscriber.take()?;
    let mut ids: Vec<&Property> = message.properties.iter().collect();
    ids.sort_by_key(|property| format!("{property:?}"));
    let expected = [1, 2, 3].map(|id| Property::Number(SUBSCRIPTION_IDENTIFIER, id));
    ensure!(message.qos == 2 && ids == expected.iter().collect::<Vec<_>>(), "{message:?}");
    ensure!(subscriber.take()?.text() == "end", "it came twice");
    Ok(())
}

#[test]
fn an_unsubscribed_filter_brings_nothing_more() -> Result<()> {
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
        client.subscribe("left", 1)?;
        client.subscribe("stays", 1)?;
        client.send(&unsubscribe(version, 9, &["left", "never"]))?;
        let expected = if version == Version::V5 { vec![0, 0x11] } else { vec![] };
        let answer = client.packet()?;
        ensure!(answer == Packet::Unsuback { id: 9, codes: expected }, "{version:?}: {answer:?}");
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        publisher.publish("left", b"x", 1)?;
        publisher.publish("stays", b"x", 1)?;
        ensure!(client.take()?.topic == "stays", "{version:?}");
    }
    Ok(())
}

#[test]
fn members_of_a_shared_subscription_get_each_message_once_among_them() -> Result<()> {
    // MQTT 5.0, 4.8.2
    let broker = Broker::new()?;
    let mut members = Vec::new();
    for name in ["one", "two"] {
        let mut member = Client::clean(broker.at(Door::Mqtt), Version::V5, name)?;
        member.subscribe("$share/workers/jobs/+", 1)?;
        members.push(member);
    }
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for number in 0..40_u8 {
        publisher.publish("jobs/new", &[number], 1)?;
    }
    let mut came = Vec::new();
    for member in &mut members {
        while let harness::socket::Next::Some(Packet::Publish(message)) =
            member.next(Duration::from_millis(200))?
        {
            member.send(&harness::mqtt::write::ack::bytes(4, message.id))?;
            came.extend(message.payload);
        }
    }
    came.sort_unstable();
    ensure!(came.iter().copied().eq(0..40), "{came:?}");
    Ok(())
}

#[test]
fn a_topic_and_a_destination_are_one_room() -> Result<()> {
    // S0.1, S2.1: `chat/room/5` is `/topic/chat.room.5`, wildcards too.
    let broker = Broker::new()?;
    let mut mqtt = Client::clean(broker.at(Door::Mqtt), Version::V311, "mqtt")?;
    mqtt.subscribe("chat/room/+", 1)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("all", "/topic/chat.room.*", "auto")?;
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V311, "publisher")?;
    for room in ["5", "다섯"] {
        sender.publish(&format!("/topic/chat.room.{room}"), "안녕 STOMP".as_bytes())?;
        publisher.publish(&format!("chat/room/{room}"), "안녕 MQTT".as_bytes(), 1)?;
        for body in ["안녕 STOMP", "안녕 MQTT"] {
            let message = mqtt.take()?;
            ensure!(message.topic == format!("chat/room/{room}") && message.text() == body);
            let frame = stomp.expect("MESSAGE")?;
            ensure!(frame.text() == body && frame.header("subscription") == Some("all"), "{frame:?}");
            ensure!(
                frame.header("destination").is_some_and(|name| name.starts_with("/topic/chat.room.")),
                "{frame:?}"
            );
        }
    }
    sender.publish("/topic/chat.lobby.5", b"elsewhere")?;
    sender.publish("/topic/chat.room.5", b"end")?;
    ensure!(
        mqtt.take()?.text() == "end" && stomp.expect("MESSAGE")?.text() == "end",
        "another room was heard"
    );
    Ok(())
}
