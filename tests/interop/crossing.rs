//! What crosses from one protocol to the other, and what must not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{CORRELATION_DATA, MESSAGE_EXPIRY, Property, RESPONSE_TOPIC, number, text};
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

use crate::acl::OPEN;

#[test]
fn what_is_left_of_its_time_crosses_both_ways() -> Result<()> {
    let broker = Broker::new()?;
    let (mut mqtt, mut stomp) = both(&broker, "time")?;
    stomp.request(send("/topic/time").with("expiration", "90000").body(b"x"))?;
    let left = number(&mqtt.take()?.properties, MESSAGE_EXPIRY).context("no expiry in MQTT")?;
    ensure!((1..=90).contains(&left), "{left} s are left of 90");
    stomp.expect("MESSAGE")?;
    say(&mut mqtt, Publish::new("time", b"y", 1).with(Property::Number(MESSAGE_EXPIRY, 90)))?;
    let message = stomp.expect("MESSAGE")?;
    let left: u64 = message.header("expiration").context("no expiration in STOMP")?.parse()?;
    ensure!((1..=90_000).contains(&left), "{left} ms are left of 90,000");
    Ok(())
}

#[test]
fn where_an_answer_goes_crosses_both_ways_and_the_answer_arrives() -> Result<()> {
    let broker = Broker::new()?;
    let (mut mqtt, mut stomp) = both(&broker, "ask")?;
    for (reply_to, response_topic) in [
        ("/topic/answers.1", "answers/1"),
        ("/topic/a%2Fb.c", "a.b/c"),
        ("/queue/answers", "$queue/answers"),
        ("/exchange/amq.direct/k", "$exchange/amq.direct/k"),
    ] {
        stomp.request(send("/topic/ask").with("reply-to", reply_to).body(b"x"))?;
        let asked = mqtt.take()?;
        ensure!(text(&asked.properties, RESPONSE_TOPIC) == Some(response_topic), "{reply_to}: {asked:?}");
        stomp.expect("MESSAGE")?;
        let ask =
            Publish::new("ask", b"y", 1).with(Property::Text(RESPONSE_TOPIC, response_topic.to_owned()));
        say(&mut mqtt, ask)?;
        let asked = stomp.expect("MESSAGE")?;
        ensure!(asked.header("reply-to") == Some(reply_to), "{response_topic}: {asked:?}");
        mqtt.take()?;
    }
    // Where the other protocol is told to answer, the answer comes.
    stomp.subscribe("answers", "/queue/answers", "auto")?;
    mqtt.publish("$queue/answers", b"answer", 1)?;
    let answer = stomp.expect("MESSAGE")?;
    ensure!(answer.text() == "answer" && answer.header("subscription") == Some("answers"), "{answer:?}");
    Ok(())
}

#[test]
fn correlation_data_cross_both_ways_whatever_bytes_they_are() -> Result<()> {
    let broker = Broker::new()?;
    let (mut mqtt, mut stomp) = both(&broker, "corr")?;
    for data in [&b"c-7"[..], "번호: 5\n".as_bytes(), b"\xff\x00\xfe", b"hex:00", b"hex:ff", b"hex:6869"] {
        let there = Publish::new("corr", b"x", 1).with(Property::Binary(CORRELATION_DATA, data.to_vec()));
        say(&mut mqtt, there)?;
        mqtt.take()?;
        let message = stomp.expect("MESSAGE")?;
        let said = message.header("correlation-id").context("no correlation-id")?.to_owned();
        stomp.request(send("/topic/corr").with("correlation-id", &said).body(b"y"))?;
        stomp.expect("MESSAGE")?;
        let back = mqtt.take()?;
        let expected = data.to_vec();
        ensure!(
            back.properties.contains(&Property::Binary(CORRELATION_DATA, expected)),
            "{data:?}: {back:?}"
        );
    }
    Ok(())
}

#[test]
fn every_name_is_the_same_place_in_both_protocols() -> Result<()> {
    let broker = Broker::new()?;
    for (topic, destination) in [
        ("chat/room/5", "/topic/chat.room.5"),
        ("a.b/c", "/topic/a%2Fb.c"),
        ("/a//b/", "/topic/.a..b."),
        ("채팅/방/1", "/topic/채팅.방.1"),
        ("100%", "/topic/100%"),
        ("%2F", "/topic/%252F"),
        ("a b:c\\d", "/topic/a b:c\\d"),
        ("star/*", "/topic/star.*"),
        ("dollar/$x", "/topic/dollar.$x"),
        ("$queue/q.r", "/queue/q.r"),
        ("$queue/q/r", "/queue/q%2Fr"),
        ("$exchange/amq.direct/k/l", "/exchange/amq.direct/k.l"),
    ] {
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.subscribe("0", destination, "auto")?;
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
        mqtt.publish(topic, b"from MQTT", 1).with_context(|| topic.to_owned())?;
        let message = stomp.expect("MESSAGE").with_context(|| topic.to_owned())?;
        ensure!(message.header("destination") == Some(destination), "{topic}: {message:?}");
        if topic.starts_with("$queue/") {
            continue;
        }
        mqtt.subscribe(topic, 1)?;
        stomp.publish(destination, b"from STOMP").with_context(|| destination.to_owned())?;
        ensure!(mqtt.take()?.topic == topic, "{destination}");
    }
    Ok(())
}

#[test]
fn topics_of_the_broker_are_out_of_reach_of_wildcards_and_of_send() -> Result<()> {
    // [MQTT-4.7.2-1]; RabbitMQ delivers them to `#`. The broker is told to say nothing of itself, so that the lie would be seen.
    let broker = Setup::new().acl(OPEN).config("[node]\nsys_interval = \"0s\"\n").start()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/topic/#", "auto")?;
    stomp.subscribe("1", "/topic/*.direct.x", "auto")?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("$SYS/#", 1)?;
    mqtt.publish("$exchange/amq.direct/x", b"hidden", 1)?;
    let mut liar = Stomp::new(broker.at(Door::Stomp))?;
    liar.send(&send("/topic/$SYS.broker.uptime").body(b"lie"))?;
    liar.expect("ERROR")?;
    mqtt.publish("end", b"end", 1)?;
    ensure!(stomp.expect("MESSAGE")?.text() == "end", "a topic of the broker came to a wildcard");
    mqtt.subscribe("end", 1)?;
    mqtt.publish("end", b"end", 1)?;
    ensure!(mqtt.take()?.text() == "end", "somebody spoke for the broker");
    Ok(())
}

#[test]
fn no_user_property_of_mqtt_poses_as_a_header_or_breaks_a_frame() -> Result<()> {
    let broker = Broker::new()?;
    let hostile = [
        ("receipt", "7"),
        ("receipt-id", "7"),
        ("destination", "/queue/admin"),
        ("subscription", "other"),
        ("message-id", "forged"),
        ("ack", "forged"),
        ("content-length", "1"),
        ("redelivered", "true"),
        ("transaction", "t"),
        ("persistent", "true"),
        ("retain", "true"),
        ("content-type", "forged/type"),
        ("correlation-id", "forged"),
        ("reply-to", "/queue/admin"),
        ("passcode", "s3cret"),
        ("line\nfeed", "a\nb"),
        ("colon:name", "a:b"),
        ("carriage\rreturn", "a\rb"),
        ("back\\slash", "a\\nb\\"),
        ("\n\nMESSAGE", "\n\nbody"),
        ("control\u{1}", "\u{7f}\u{1b}[0m"),
        ("", "no name"),
        (" padded ", " a "),
    ];
    for version in ["1.0", "1.1", "1.2"] {
        let (mut stomp, _) = Stomp::connect(broker.at(Door::Stomp), version)?;
        stomp.subscribe("mine", "/topic/hostile", "auto")?;
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "hostile")?;
        let properties = hostile.map(|(name, value)| Property::Pair(name.to_owned(), value.to_owned()));
        let message = properties.into_iter().fold(Publish::new("hostile", b"the body", 1), Publish::with);
        say(&mut mqtt, message)?;
        let message = stomp.expect("MESSAGE").with_context(|| version.to_owned())?;
        ensure!(message.text() == "the body", "{version}: {message:?}");
        for (name, value) in [
            ("subscription", Some("mine")),
            ("destination", Some("/topic/hostile")),
            ("content-length", Some("8")),
            ("redelivered", Some("false")),
            ("persistent", Some("true")),
        ] {
            let all: Vec<_> = message.headers.iter().filter(|(known, _)| known == name).collect();
            ensure!(all.len() == 1 && message.header(name) == value, "{version}, {name}: {message:?}");
        }
        for gone in
            ["receipt", "receipt-id", "transaction", "retain", "content-type", "correlation-id", "reply-to"]
        {
            ensure!(message.header(gone).is_none(), "{version}, {gone}: {message:?}");
        }
        ensure!(message.header("message-id").is_some_and(|id| id != "forged"), "{message:?}");
        ensure!(message.header("ack").is_none(), "{version}: {message:?}");
        // What has escapes arrives as it was; where there are none, nothing becomes a line of its own.
        if version == "1.2" {
            ensure!(message.header("line\nfeed") == Some("a\nb"), "{message:?}");
            ensure!(message.header("colon:name") == Some("a:b"), "{message:?}");
            ensure!(message.header("back\\slash") == Some("a\\nb\\"), "{message:?}");
        }
        ensure!(stomp.next(Duration::from_millis(100))? == Next::Silence, "{version}: one frame became two");
    }
    Ok(())
}

/// A client of each protocol that hears one topic.
fn both(broker: &Broker, topic: &str) -> Result<(Mqtt, Stomp)> {
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe(topic, 1)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", &format!("/topic/{topic}"), "auto")?;
    Ok((mqtt, stomp))
}

/// Publishes at QoS 1, and waits for PUBACK; what comes before it is kept.
fn say(mqtt: &mut Mqtt, message: Publish) -> Result<()> {
    let id = mqtt.id();
    mqtt.send(&publish(Version::V5, &message.with_id(id)))?;
    Ok(mqtt.expect_ack(ack::PUBACK, id)?)
}

fn send(destination: &str) -> Frame {
    Frame::new("SEND").with("destination", destination)
}
