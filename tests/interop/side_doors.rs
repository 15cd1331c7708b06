//! Ways around a rule, or into what is another's, that other brokers had: none is one.

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, RESPONSE_TOPIC};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::stomp::{Client as Stomp, Frame};

/// MQTT 5.0, 3.3.2.3.4.
const TOPIC_ALIAS: u8 = 0x23;

const RULES: &str = r#"[[rule]]
allow = ["connect", "subscribe", "retain"]

[[rule]]
allow = ["publish"]
topics = ["open/#"]

[[rule]]
allow = ["publish", "consume", "configure"]
users = ["sam"]
"#;

#[test]
fn an_alias_is_the_topic_that_it_stands_for() -> Result<()> {
    let broker = house()?;
    let mut kim = login(&broker, "kim", Connect::new(Version::V5, "kim"))?;
    let mut send = |topic: &str, alias: u16| -> Result<Packet> {
        let message =
            Publish::new(topic, b"x", 1).with_id(9).with(Property::Number(TOPIC_ALIAS, alias.into()));
        kim.send(&publish(Version::V5, &message))?;
        Ok(kim.packet()?)
    };
    let is_denied = |packet: &Packet| *packet == Packet::Ack { kind: 4, id: 9, reason: 0x87 };
    let packet = send("closed/a", 1)?;
    ensure!(is_denied(&packet), "{packet:?}");
    // It was defined by what was refused, and is refused whenever it is used.
    let packet = send("", 1)?;
    ensure!(is_denied(&packet), "{packet:?}");
    let packet = send("open/a", 1)?;
    ensure!(!is_denied(&packet), "{packet:?}");
    let packet = send("", 1)?;
    ensure!(!is_denied(&packet), "{packet:?}");
    Ok(())
}

#[test]
fn where_an_answer_is_to_go_gives_nobody_a_right() -> Result<()> {
    let broker = house()?;
    let mut sam = login(&broker, "sam", Connect::new(Version::V5, "sam"))?;
    let mut kim = login(&broker, "kim", Connect::new(Version::V5, "kim"))?;
    kim.subscribe("open/#", 1)?;
    let asked = Publish::new("open/question", b"?", 1).with_id(9);
    sam.send(&publish(Version::V5, &asked.with(Property::Text(RESPONSE_TOPIC, "closed/answer".into()))))?;
    sam.packet()?;
    let question = kim.take()?;
    ensure!(question.text() == "?", "{question:?}");
    kim.send(&publish(Version::V5, &Publish::new("closed/answer", b"!", 1).with_id(9)))?;
    let packet = kim.packet()?;
    ensure!(packet == Packet::Ack { kind: 4, id: 9, reason: 0x87 }, "{packet:?}");
    Ok(())
}

#[test]
fn no_name_of_a_topic_leads_past_the_rule_about_it() -> Result<()> {
    let broker = house()?;
    let mut kim = login(&broker, "kim", Connect::new(Version::V5, "kim"))?;
    for topic in [
        "closed/a",
        "/closed/a",
        "$exchange/amq.topic/closed/a",
        "$exchange/amq.fanout/open/a",
        "$queue/jobs",
        "$share/g/closed/a",
        "$SYS/broker/uptime",
        "$events/client/connected",
        "$CONTROL/dynamic-security/v1",
    ] {
        kim.send(&publish(Version::V5, &Publish::new(topic, b"x", 1).with_id(9)))?;
        let packet = kim.packet()?;
        ensure!(matches!(packet, Packet::Ack { kind: 4, id: 9, reason: 0x80.. }), "{topic}: {packet:?}");
    }
    for destination in [
        "/topic/closed.a",
        "/topic/closed%2Ea",
        "/exchange/amq.topic/closed.a",
        "/queue/jobs",
        "/amq/queue/jobs",
    ] {
        let mut client = Stomp::dial(broker.at(Door::Stomp))?;
        let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
        client.send(&connect.with("login", "kim").with("passcode", "kim"))?;
        client.expect("CONNECTED")?;
        client.send(&Frame::new("SEND").with("destination", destination).body(b"x"))?;
        client.expect("ERROR")?;
    }
    Ok(())
}

#[test]
fn who_guesses_a_client_id_gets_nothing_of_the_session_behind_it() -> Result<()> {
    let broker = house()?;
    for version in [Version::V5, Version::V311] {
        let name = format!("phone-{version:?}");
        let mut kim = login(&broker, "kim", Connect::lasting(version, &name))?;
        kim.subscribe("open/private", 1)?;
        for clean in [false, true] {
            let mut thief = Mqtt::dial(broker.at(Door::Mqtt), version)?;
            let login = Some(("sam".to_owned(), "sam".to_owned()));
            thief.send(&Connect { login, clean, ..Connect::lasting(version, &name) }.bytes())?;
            let packet = thief.packet()?;
            let code = if version == Version::V5 { 0x87 } else { 5 };
            ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == code), "{packet:?}");
        }
        // It stays as it is, and goes on.
        kim.publish("open/private", b"still here", 1)?;
        ensure!(kim.take()?.text() == "still here", "{version:?}");
    }
    Ok(())
}

fn house() -> Result<Broker> {
    Setup::new().acl(RULES).user("kim").user("sam").start()
}

fn login(broker: &Broker, user: &str, connect: Connect) -> Result<Mqtt> {
    let login = Some((user.to_owned(), user.to_owned()));
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &Connect { login, ..connect })?.0)
}
