//! Settings by which a broker is made to behave as a conformance suite expects (docs/protocols/mqtt.md, "Test profiles").

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, RECEIVE_MAXIMUM, SUBSCRIPTION_IDENTIFIER, number};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, subscribe};
use harness::socket::Next;

#[test]
fn aliases_each_way_have_a_limit_of_their_own() -> Result<()> {
    for (ours, theirs) in [(0, 5), (7, 0), (7, 1)] {
        let broker = with(&format!("topic_alias_max = {ours}\ntopic_alias_max_out = {theirs}"))?;
        let connect = Connect::new(Version::V5, "reader").with(Property::Number(ALIAS_MAXIMUM, 10));
        let (mut reader, connack) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        let said = number(&connack.properties, ALIAS_MAXIMUM).unwrap_or(0);
        ensure!(said == ours, "CONNACK says {said}, not {ours}");
        reader.subscribe("alias/#", 0)?;
        let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V311, "publisher")?;
        for topic in 0..7 {
            publisher.publish(&format!("alias/{topic}"), b"x", 0)?;
        }
        for topic in 0..7 {
            let alias = number(&reader.take()?.properties, ALIAS).unwrap_or(0);
            let expected = if topic < theirs { topic + 1 } else { 0 };
            ensure!(alias == expected, "at most {theirs}: topic {topic} came with alias {alias}");
        }
    }
    Ok(())
}

#[test]
fn overlapping_subscriptions_bring_one_message_each_where_that_is_asked_for() -> Result<()> {
    // MQTT 5.0, 3.3.4: "The Server might deliver further copies of the message, one for each additional matching subscription".
    let broker = with("overlapping = \"each\"")?;
    let mut reader = Client::clean(broker.at(Door::Mqtt), Version::V5, "reader")?;
    for (id, filter, qos) in [(1, "over/#", 2), (2, "over/+", 1), (3, "over/lap", 0)] {
        let properties = [Property::Number(SUBSCRIPTION_IDENTIFIER, id)];
        reader.send(&subscribe(Version::V5, u16::try_from(id)?, &[(filter, qos)], &properties))?;
        ensure!(matches!(reader.packet()?, Packet::Suback { .. }), "no SUBACK");
    }
    let mut old = Client::clean(broker.at(Door::Mqtt), Version::V311, "old")?;
    old.subscribe("over/#", 1)?;
    old.subscribe("over/lap", 0)?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    publisher.publish("over/lap", b"copies", 2)?;
    let copies: Vec<Publish> = (0..3).map(|_| reader.take()).collect::<std::io::Result<_>>()?;
    let mut seen: Vec<(Option<u32>, u8)> =
        copies.iter().map(|copy| (number(&copy.properties, SUBSCRIPTION_IDENTIFIER), copy.qos)).collect();
    seen.sort_unstable();
    ensure!(seen == [(Some(1), 2), (Some(2), 1), (Some(3), 0)], "{copies:?}");
    let mut seen = [old.take()?.qos, old.take()?.qos];
    seen.sort_unstable();
    ensure!(seen == [0, 1], "{seen:?}");
    for client in [&mut reader, &mut old] {
        let more = client.next(Duration::from_millis(200))?;
        ensure!(more == Next::Silence, "{more:?}");
    }
    Ok(())
}

#[test]
fn copies_for_each_subscription_survive_kill_minus_nine() -> Result<()> {
    let mut broker = with("overlapping = \"each\"")?;
    for version in Version::ALL {
        let connect = Connect::lasting(version, "copies");
        let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        reader.subscribe("copies/#", 2)?;
        reader.subscribe("copies/+", 1)?;
        drop(reader);
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        publisher.publish("copies/a", b"a", 2)?;
        publisher.publish("copies/b", b"b", 2)?;
        broker.kill();
        broker.start()?;
        let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        let mut seen = Vec::new();
        for _ in 0..4 {
            let copy = reader.take()?;
            seen.push((copy.text(), copy.qos));
        }
        seen.sort_unstable();
        let expected = [("a", 1), ("a", 2), ("b", 1), ("b", 2)].map(|(text, qos)| (text.to_owned(), qos));
        ensure!(seen == expected, "{version:?}: {seen:?}");
        let more = reader.next(Duration::from_millis(200))?;
        ensure!(more == Next::Silence, "{version:?}: {more:?}");
        drop(reader);
        Client::clean(broker.at(Door::Mqtt), version, "copies")?;
    }
    Ok(())
}

#[test]
fn the_servers_keep_alive_holds_for_a_client_that_wants_none() -> Result<()> {
    // 3.2.2.3.14: a 5.0 client is told; in 3.x there is no way to tell it, so nothing is changed.
    let broker = with("keep_alive_max = \"20s\"")?;
    for (asked, told) in [(0, Some(20)), (19, None), (20, None), (21, Some(20)), (65_535, Some(20))] {
        let connect = Connect { keep_alive_s: asked, ..Connect::new(Version::V5, "client") };
        let (_, connack) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        let said = number(&connack.properties, SERVER_KEEP_ALIVE);
        ensure!(said == told, "asked for {asked}, told {said:?}");
    }
    let broker = with("keep_alive_max = \"0s\"")?;
    let connect = Connect { keep_alive_s: 0, ..Connect::new(Version::V5, "client") };
    let (_, connack) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    ensure!(number(&connack.properties, SERVER_KEEP_ALIVE).is_none(), "{connack:?}");
    Ok(())
}

#[test]
fn the_receive_maximum_is_what_was_set() -> Result<()> {
    let broker = with("receive_max = 20")?;
    let (_, connack) = Client::connect(broker.at(Door::Mqtt), &Connect::new(Version::V5, "client"))?;
    ensure!(number(&connack.properties, RECEIVE_MAXIMUM) == Some(20), "{connack:?}");
    Ok(())
}

fn with(mqtt: &str) -> Result<Broker> {
    Setup::new().config(&format!("[mqtt]\n{mqtt}\n")).start()
}

const SERVER_KEEP_ALIVE: u8 = 0x13;
const ALIAS_MAXIMUM: u8 = 0x22;
const ALIAS: u8 = 0x23;
