//! Direct, topic, fanout and headers: a message goes to the queues that its exchange picks, whichever door it came through.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::SOON;

use crate::acl::OPEN;
use crate::exchanges_setup::{CONFIG, QUEUES, WAYS, WAYS_QUEUES};

#[test]
fn a_direct_exchange_compares_keys() -> Result<()> {
    let mut house = House::new()?;
    house.check("t.direct", "red", &[], &["direct-red", "direct-both"])?;
    house.check("t.direct", "blue", &[], &["direct-blue", "direct-both"])?;
    house.check("t.direct", "green", &[], &[])?;
    house.check("t.direct", "red.blue", &[], &[])
}

#[test]
fn a_topic_exchange_matches_patterns() -> Result<()> {
    let mut house = House::new()?;
    house.check("t.topic", "room.1", &[], &["topic-one", "topic-many", "topic-exact"])?;
    house.check("t.topic", "room.2", &[], &["topic-one", "topic-many"])?;
    house.check("t.topic", "room.1.2", &[], &["topic-many"])?;
    house.check("t.topic", "room", &[], &["topic-many"])?;
    house.check("t.topic", "방.1", &[], &[])
}

#[test]
fn the_empty_key_has_no_word_for_a_star() -> Result<()> {
    let patterns = ["", "*", "#", "#.#", "*.#", "#.*", "a"];
    let config: String = patterns
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let queue = format!("[[queue]]\nname = \"q{number}\"\n");
            format!("{queue}[[binding]]\nexchange = \"amq.topic\"\nqueue = \"q{number}\"\nkey = {key:?}\n")
        })
        .collect();
    let broker = Setup::new().config(&config).start()?;
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    for number in 0..patterns.len() {
        client.subscribe(&number.to_string(), &format!("/amq/queue/q{number}"), "auto")?;
    }
    client.publish("/exchange/amq.topic", b"x")?;
    for number in 0..patterns.len() {
        client.publish(&format!("/amq/queue/q{number}"), b"end")?;
    }
    let (mut came, mut ended) = (BTreeSet::new(), 0);
    while ended < patterns.len() {
        let message = client.expect("MESSAGE")?;
        let number: usize = message.header("subscription").unwrap_or_default().parse()?;
        if message.text() == "end" {
            ended += 1;
        } else {
            came.insert(patterns[number]);
        }
    }
    // As in RabbitMQ: the empty key has no word at all.
    ensure!(came == BTreeSet::from(["", "#", "#.#"]), "{came:?}");
    Ok(())
}

#[test]
fn a_fanout_exchange_takes_every_queue() -> Result<()> {
    let mut house = House::new()?;
    house.check("t.fanout", "anything", &[], &["fanout-a", "fanout-b"])?;
    house.check("t.fanout", "any.thing.else", &[("format", "pdf")], &["fanout-a", "fanout-b"])
}

#[test]
fn a_headers_exchange_compares_headers() -> Result<()> {
    let mut house = House::new()?;
    let pdf = ("format", "pdf");
    let report = ("kind", "report");
    house.check("t.headers", "k", &[pdf, report], &["headers-all", "headers-any"])?;
    house.check("t.headers", "k", &[pdf, report, ("more", "of it")], &["headers-all", "headers-any"])?;
    house.check("t.headers", "k", &[pdf], &["headers-any"])?;
    house.check("t.headers", "k", &[("kind", "letter"), pdf], &["headers-any"])?;
    house.check("t.headers", "k", &[("format", "PDF")], &[])?;
    house.check("t.headers", "k", &[("format", "한글")], &["headers-has"])?;
    house.check("t.headers", "k", &[], &[])
}

#[test]
fn the_exchanges_that_are_always_there_work_too() -> Result<()> {
    let broker = Broker::new()?;
    for (exchange, pattern, key, comes) in [
        ("amq.direct", "a.b", "a.b", true),
        ("amq.direct", "a.*", "a.b", false),
        ("amq.topic", "a.*", "a.b", true),
        ("amq.fanout", "x", "a.b", true),
    ] {
        let mut client = Stomp::new(broker.at(Door::Stomp))?;
        client.subscribe("s", &format!("/exchange/{exchange}/{pattern}"), "auto")?;
        client.send(
            &Frame::new("SEND").with("destination", &format!("/exchange/{exchange}/{key}")).body(b"x"),
        )?;
        let patience = if comes { SOON } else { Duration::from_millis(200) };
        let came = matches!(client.next(patience)?, Next::Some(frame) if frame.command == "MESSAGE");
        ensure!(came == comes, "{exchange} {pattern} {key}: a message came: {came}");
    }
    Ok(())
}

#[test]
fn a_message_goes_from_exchange_to_exchange_and_to_an_alternate() -> Result<()> {
    let mut house = House::of(WAYS, WAYS_QUEUES)?;
    // Through a circle of three, each visited once; the last one is internal.
    house.check("w.first", "a.b", &[], &["all", "some"])?;
    house.check("w.first", "x.b", &[], &["all"])?;
    house.check("w.second", "a.b", &[], &["all", "some"])?;
    // Nothing is bound for it: to the alternate of the alternate.
    house.check("w.strict", "wanted", &[], &["strict"])?;
    house.check("w.strict", "other", &[], &["lost"])?;
    // To a headers exchange on the way.
    house.check("w.to-headers", "k", &[("n", "1"), ("b", "true"), ("v", "anything")], &["typed", "void"])?;
    house.check("w.to-headers", "k", &[("n", "1"), ("b", "true")], &["typed"])?;
    house.check("w.to-headers", "k", &[("n", "1.0"), ("b", "true"), ("v", "")], &["void"])?;
    house.check("w.to-headers", "k", &[("n", "1"), ("b", "True")], &[])
}

#[test]
fn an_mqtt_client_is_told_a_topic_that_it_subscribed_to_however_the_message_came() -> Result<()> {
    // [MQTT-3.3.2-3]
    let broker = Setup::new().acl(OPEN).config(WAYS).start()?;
    let mut plain = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "plain")?;
    plain.subscribe("m/#", 1)?;
    let mut shared = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "shared")?;
    shared.subscribe("$share/g/m/+", 1)?;
    let mut named = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "named")?;
    named.subscribe("$exchange/w.to-mqtt/#", 1)?;
    let mut spy = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "spy")?;
    spy.subscribe("$SYS/broker/made/up", 1)?;
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    client.publish("$exchange/w.to-mqtt/$SYS/broker/made/up", b"spoof", 1)?;
    for body in ["one", "two"] {
        client.publish("$exchange/w.to-mqtt/m/1", body.as_bytes(), 1)?;
    }
    ensure!(named.take()?.text() == "spoof");
    for body in ["one", "two"] {
        for (client, topic) in
            [(&mut plain, "m/1"), (&mut shared, "m/1"), (&mut named, "$exchange/w.to-mqtt/m/1")]
        {
            let came = client.take()?;
            ensure!(came.topic == topic && came.text() == body, "{came:?}");
        }
    }
    ensure!(
        matches!(spy.next(Duration::from_millis(200))?, Next::Silence),
        "what only the broker says was said"
    );
    Ok(())
}

#[test]
fn a_client_is_told_that_an_exchange_is_missing_or_internal() -> Result<()> {
    let broker = Setup::new().config(WAYS).start()?;
    for (exchange, text, code) in
        [("none", "no exchange \"none\"", 0x90), ("w.third", "exchange \"w.third\" is internal", 0x87)]
    {
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.send(&Frame::new("SEND").with("destination", &format!("/exchange/{exchange}/k")).body(b"x"))?;
        let error = stomp.expect("ERROR")?;
        let told = error.header("message").unwrap_or_default().to_owned();
        ensure!(told.starts_with(text), "{told}");

        let topic = format!("$exchange/{exchange}/k");
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "told")?;
        let id = mqtt.id();
        mqtt.send(&publish(Version::V5, &Publish::new(&topic, b"x", 1).with_id(id)))?;
        let answer = mqtt.packet()?;
        ensure!(matches!(answer, Packet::Ack { reason, .. } if reason == code), "{exchange}: {answer:?}");

        // Before 5.0 an acknowledgement cannot say no: the connection ends, and nothing was acknowledged.
        for version in [Version::V31, Version::V311] {
            let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), version, "not-told")?;
            let id = mqtt.id();
            mqtt.send(&publish(version, &Publish::new(&topic, b"x", 1).with_id(id)))?;
            ensure!(mqtt.closes(SOON)?, "{exchange}: the connection of {version:?} goes on");
        }
    }
    Ok(())
}

/// A broker with the exchanges, a consumer of every queue, and a publisher at each door.
struct House {
    consumer: Stomp,
    stomp: Stomp,
    mqtt: Mqtt,
    queues: &'static [&'static str],
    // Last: it is stopped after its clients are gone.
    _broker: Broker,
}

impl House {
    fn new() -> Result<Self> {
        Self::of(CONFIG, &QUEUES)
    }

    fn of(config: &str, queues: &'static [&'static str]) -> Result<Self> {
        let broker = Setup::new().config(config).start()?;
        let mut consumer = Stomp::new(broker.at(Door::Stomp))?;
        for queue in queues {
            consumer.subscribe(queue, &format!("/amq/queue/{queue}"), "auto")?;
        }
        let stomp = Stomp::new(broker.at(Door::Stomp))?;
        let mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "exchanges")?;
        Ok(Self { consumer, stomp, mqtt, queues, _broker: broker })
    }

    /// Publishes by both doors, and compares the queues that got it: `key` is in STOMP's words.
    fn check(
        &mut self,
        exchange: &str,
        key: &str,
        headers: &[(&str, &str)],
        expected: &[&str],
    ) -> Result<()> {
        let mut send = Frame::new("SEND").with("destination", &format!("/exchange/{exchange}/{key}"));
        for (name, value) in headers {
            send = send.with(name, value);
        }
        self.stomp.request(send.body(b"by STOMP"))?;
        self.arrived("by STOMP", expected, &format!("SEND {exchange} {key} {headers:?}"))?;

        let topic = format!("$exchange/{exchange}/{}", key.replace('.', "/"));
        let id = self.mqtt.id();
        let mut message = Publish::new(&topic, b"by MQTT", 1).with_id(id);
        for (name, value) in headers {
            message = message.with(Property::Pair((*name).to_owned(), (*value).to_owned()));
        }
        self.mqtt.send(&publish(Version::V5, &message))?;
        self.mqtt.expect_ack(ack::PUBACK, id)?;
        self.arrived("by MQTT", expected, &format!("PUBLISH {topic} {headers:?}"))
    }

    /// Whoever published has its acknowledgement, so what is sent to each queue now comes behind it.
    fn arrived(&mut self, body: &str, expected: &[&str], what: &str) -> Result<()> {
        for queue in self.queues {
            let fence = Frame::new("SEND").with("destination", &format!("/amq/queue/{queue}"));
            self.stomp.request(fence.body(b"fence"))?;
        }
        let mut got = Vec::new();
        let mut fences = 0;
        while fences < self.queues.len() {
            let message = self.consumer.expect("MESSAGE")?;
            let queue = message.header("subscription").unwrap_or_default().to_owned();
            match message.text().as_str() {
                "fence" => fences += 1,
                other if other == body => got.push(queue),
                other => anyhow::bail!("{what}: {queue} got {other:?}"),
            }
        }
        let queues: BTreeSet<&str> = got.iter().map(String::as_str).collect();
        ensure!(queues.len() == got.len(), "{what}: a queue got it twice: {got:?}");
        ensure!(
            queues == expected.iter().copied().collect(),
            "{what} went to {queues:?} instead of {expected:?}"
        );
        Ok(())
    }
}
