//! What lasts over kill -9 beside the messages: options of subscriptions, properties of messages, and time that goes by.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, PAYLOAD_FORMAT, Property, RESPONSE_TOPIC, SESSION_EXPIRY,
    SUBSCRIPTION_IDENTIFIER, number,
};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish, subscribe};
use harness::socket::Next;

#[test]
fn the_options_of_a_subscription_survive_kill_minus_nine() -> Result<()> {
    // [MQTT-3.8.3-3], [MQTT-3.3.1-13], [MQTT-3.3.4-3]: No Local compares client ids, so it must know them after a restart too.
    let mut broker = Broker::new()?;
    let connect = Connect::lasting(Version::V5, "lasting");
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    let identifier = [Property::Number(SUBSCRIPTION_IDENTIFIER, 4711)];
    client.send(&subscribe(Version::V5, 1, &[("own/#", NO_LOCAL | RETAIN_AS_PUBLISHED | 1)], &identifier))?;
    ensure!(matches!(client.packet()?, Packet::Suback { .. }), "no SUBACK");
    drop(client);
    broker.kill();
    broker.start()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    client.publish("own/echo", b"mine", 1)?;
    let mut other = Client::clean(broker.at(Door::Mqtt), Version::V5, "other")?;
    other.send(&publish(Version::V5, &Publish::new("own/kept", b"theirs", 1).with_id(3).retained()))?;
    other.expect_ack(ack::PUBACK, 3)?;
    let came = client.take()?;
    ensure!(came.text() == "theirs" && came.retain && came.qos == 1, "{came:?}");
    ensure!(number(&came.properties, SUBSCRIPTION_IDENTIFIER) == Some(4711), "{came:?}");
    let more = client.next(Duration::from_millis(300))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn the_properties_of_a_message_survive_kill_minus_nine() -> Result<()> {
    // [MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-20], from a session's queue and from what is retained.
    let mut broker = Broker::new()?;
    let connect = Connect::lasting(Version::V5, "lasting");
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    client.subscribe("queued", 2)?;
    drop(client);
    let properties = vec![
        Property::Number(PAYLOAD_FORMAT, 1),
        Property::Text(CONTENT_TYPE, "text/plain".into()),
        Property::Text(RESPONSE_TOPIC, "answers/to/me".into()),
        Property::Binary(CORRELATION_DATA, vec![0, 255, 7]),
        Property::Pair("same".into(), "first".into()),
        Property::Pair("same".into(), "second".into()),
        Property::Pair(String::new(), "안녕".into()),
    ];
    let mut sender = Client::clean(broker.at(Door::Mqtt), Version::V5, "sender")?;
    for (topic, id) in [("queued", 1), ("kept", 2)] {
        let message = Publish { properties: properties.clone(), ..Publish::new(topic, b"x", 1).with_id(id) };
        let message = if topic == "kept" { message.retained() } else { message };
        sender.send(&publish(Version::V5, &message))?;
        sender.expect_ack(ack::PUBACK, id)?;
    }
    broker.kill();
    broker.start()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    let queued = client.take()?;
    ensure!(queued.topic == "queued" && queued.properties == properties, "{queued:?}");
    client.subscribe("kept", 1)?;
    let kept = client.take()?;
    ensure!(kept.topic == "kept" && kept.properties == properties, "{kept:?}");
    Ok(())
}

#[test]
fn the_time_of_a_message_runs_while_the_broker_is_down() -> Result<()> {
    // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
    let mut broker = Broker::new()?;
    let connect = Connect::lasting(Version::V5, "lasting");
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    client.subscribe("timed/#", 1)?;
    drop(client);
    let mut sender = Client::clean(broker.at(Door::Mqtt), Version::V5, "sender")?;
    for (id, topic, expiry_s) in [(1, "timed/short", 2), (2, "timed/long", 1000)] {
        let message =
            Publish::new(topic, b"x", 1).with_id(id).with(Property::Number(MESSAGE_EXPIRY, expiry_s));
        for retained in [false, true] {
            let message = if retained { message.clone().retained() } else { message.clone() };
            sender.send(&publish(Version::V5, &message))?;
            sender.expect_ack(ack::PUBACK, id)?;
        }
    }
    broker.kill();
    sleep(Duration::from_millis(2500));
    broker.start()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    for what in ["queued", "queued as well"] {
        let came = client.take()?;
        let left = number(&came.properties, MESSAGE_EXPIRY).context("no expiry")?;
        ensure!(came.topic == "timed/long" && (800..=998).contains(&left), "{what}: {came:?}");
    }
    let mut late = Client::clean(broker.at(Door::Mqtt), Version::V5, "late")?;
    late.subscribe("timed/#", 1)?;
    let came = late.take()?;
    ensure!(came.topic == "timed/long" && came.retain, "{came:?}");
    for client in [&mut client, &mut late] {
        let more = client.next(Duration::from_millis(300))?;
        ensure!(more == Next::Silence, "{more:?}");
    }
    Ok(())
}

#[test]
fn a_session_without_end_is_there_after_a_restart() -> Result<()> {
    // 3.1.2.11.2: 0xFFFFFFFF is for ever, and no sum overflows by it.
    let mut broker = Setup::new().config("[mqtt]\nsession_expiry_max = \"never\"\n").start()?;
    let mut connect = Connect::new(Version::V5, "for-ever");
    connect.clean = false;
    let connect = connect.with(Property::Number(SESSION_EXPIRY, u32::MAX));
    for restart in [false, true] {
        let (_, connack) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        ensure!(connack.session_present == restart, "{connack:?}");
        ensure!(number(&connack.properties, SESSION_EXPIRY).is_none(), "{connack:?}");
        broker.kill();
        broker.start()?;
    }
    Ok(())
}

#[test]
fn a_keep_alive_that_the_broker_shortened_is_kept() -> Result<()> {
    // [MQTT-3.2.2-21]; in 3.x it cannot be told, so it is not shortened.
    let broker = Setup::new().config("[mqtt]\nkeep_alive_max = \"1s\"\n").start()?;
    for asked in [0, 60] {
        let connect = Connect { keep_alive_s: asked, ..Connect::new(Version::V5, "new") };
        let (mut new, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        let connect = Connect { keep_alive_s: asked, ..Connect::new(Version::V311, "old") };
        let (mut old, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        let packet = new.packet()?;
        ensure!(matches!(packet, Packet::Disconnect { reason: 0x8d, .. }), "asked {asked}: {packet:?}");
        let next = old.next(Duration::from_secs(1))?;
        ensure!(next == Next::Silence, "asked {asked}: {next:?}");
    }
    Ok(())
}

const NO_LOCAL: u8 = 4;
const RETAIN_AS_PUBLISHED: u8 = 8;
