//! What a configuration denies, as each protocol tells it.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, SESSION_EXPIRY, WILL_DELAY};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::socket::Next;
use harness::stomp::{self, Frame};
use harness::wait::SOON;

const RULES: &str = r#"
[[access.deny]]
filter = "secret/#"
code = 0x83

[[access.deny]]
filter = "write/only"
actions = ["subscribe"]
code = 0x8F

[[access.deny]]
filter = "nobody/#"
user = "somebody"
"#;

#[test]
fn a_denied_message_is_refused_with_the_code_of_its_rule() -> Result<()> {
    let broker = Setup::new().config(RULES).start()?;
    let mut reader = client(&broker, Version::V5, "reader")?;
    reader.subscribe("+/a", 1)?;
    for (qos, expected) in [(1, 4), (2, 5)] {
        let mut client = client(&broker, Version::V5, "five")?;
        client.send(&publish(Version::V5, &Publish::new("secret/a", b"x", qos).with_id(1)))?;
        let packet = client.packet()?;
        ensure!(packet == Packet::Ack { kind: expected, id: 1, reason: 0x83 }, "{packet:?}");
        // The id is free again, and the connection as good as before.
        client.publish("secret/a", b"x", 0)?;
        client.publish("open/a", b"allowed", qos)?;
        // 3.1.1 has no word for it: acknowledged, and gone [MQTT-3.3.5-2].
        let mut client = self::client(&broker, Version::V311, "three")?;
        client.publish("secret/a", b"x", qos)?;
        let message = reader.publication()?;
        ensure!(message.payload == b"allowed", "{message:?}");
    }
    Ok(())
}

#[test]
fn a_denied_filter_is_refused_with_the_code_of_its_rule() -> Result<()> {
    let broker = Setup::new().config(RULES).start()?;
    let mut five = client(&broker, Version::V5, "five")?;
    let mut three = client(&broker, Version::V311, "three")?;
    for (filter, code) in
        [("secret/#", 0x83), ("secret/a", 0x83), ("write/only", 0x8f), ("$share/g/write/+", 0x8f)]
    {
        ensure!(five.subscribe(filter, 1)? == [code], "{filter}");
        if !filter.starts_with('$') {
            ensure!(three.subscribe(filter, 1)? == [0x80], "{filter}");
        }
    }
    ensure!(five.subscribe("#", 1)? == [1] && five.subscribe("nobody/a", 1)? == [1]);
    // What is denied may be published, and is in no wider subscription.
    three.publish("write/only", b"unseen", 1)?;
    three.publish("write/all", b"seen", 1)?;
    let message = five.publication()?;
    ensure!(message.payload == b"seen", "{message:?}");
    Ok(())
}

#[test]
fn a_denied_will_is_refused_at_connect() -> Result<()> {
    let broker = Setup::new().config(RULES).start()?;
    for (version, code) in [(Version::V5, 0x83), (Version::V311, 5)] {
        let mut client = Client::dial(broker.at(Door::Mqtt), version)?;
        let connect = Connect::new(version, "w").will(Publish::new("secret/will", b"x", 1));
        client.send(&connect.bytes())?;
        let packet = client.packet()?;
        ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == code), "{packet:?}");
    }
    Ok(())
}

#[test]
fn a_will_is_held_against_the_rules_of_the_day_when_it_is_due() -> Result<()> {
    let heir = Connect::lasting(Version::V311, "heir");
    let mut broker = Setup::new().config(RULES).start()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &heir)?;
    client.subscribe("will/#", 1)?;
    drop(client);
    // Due at the next start, with the end of the delay, and with the end of the session.
    let kinds = [("start", 0, 60), ("delay", 2, 60), ("session", 60, 2), ("gone", 0, 0)];
    let mut clients = Vec::new();
    for (kind, delay_s, expiry_s) in kinds {
        for right in ["denied", "allowed"] {
            let mut connect =
                Connect { clean: false, ..Connect::new(Version::V5, &format!("{kind}-{right}")) };
            connect.will_properties = vec![Property::Number(WILL_DELAY, delay_s)];
            let will = Publish::new(&format!("will/{right}"), kind.as_bytes(), 1);
            let connect = connect.with(Property::Number(SESSION_EXPIRY, expiry_s)).will(will);
            clients.push(Client::connect(broker.at(Door::Mqtt), &connect)?.0);
        }
    }
    broker.kill();
    drop(clients);
    let changed = "[[access.deny]]\nfilter = \"will/denied\"\nactions = [\"publish\"]\n";
    std::fs::write(broker.folder().join("duetmq.toml"), changed)?;
    broker.start()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &heir)?;
    let mut came = Vec::new();
    for _ in kinds {
        let will = client.take()?;
        ensure!(will.topic == "will/allowed", "{will:?}");
        came.push(will.text());
    }
    came.sort_unstable();
    ensure!(came == ["delay", "gone", "session", "start"], "{came:?}");
    for (kind, ..) in kinds {
        let name = format!("{kind}-denied");
        broker.journal().wait_for(&["WARN", "will.refused", &name, "will/denied"], SOON)?;
    }
    let more = client.next(Duration::from_millis(300))?;
    ensure!(more == Next::Silence, "{more:?}");
    // Gone is gone, whatever the rules say later.
    broker.kill();
    std::fs::write(broker.folder().join("duetmq.toml"), RULES)?;
    broker.start()?;
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &heir)?;
    client.publish("will/marker", b"marker", 1)?;
    loop {
        let next = client.take()?;
        ensure!(next.topic != "will/denied", "{next:?}");
        if next.topic == "will/marker" {
            return Ok(());
        }
    }
}

#[test]
fn stomp_names_the_rule_in_its_error() -> Result<()> {
    let broker = Setup::new().config(RULES).start()?;
    for command in ["SEND", "SUBSCRIBE"] {
        let mut client = stomp::Client::new(broker.at(Door::Stomp))?;
        client.send(&Frame::new(command).with("destination", "/topic/secret.a").with("id", "1"))?;
        let error = client.expect("ERROR")?;
        let text = error.text();
        ensure!(text.contains("access.deny") && text.contains("secret/#"), "{error:?}");
    }
    Ok(())
}

fn client(broker: &Broker, version: Version, id: &str) -> Result<Client> {
    Ok(Client::clean(broker.at(Door::Mqtt), version, id)?)
}
