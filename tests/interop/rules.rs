//! What a configuration denies, as each protocol tells it.

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::stomp::{self, Frame};

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
