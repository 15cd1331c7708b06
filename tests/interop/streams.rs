//! Streams: read by many, over either protocol, each from where it likes; and nothing is taken from them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Packet;
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, subscribe, unsubscribe};
use harness::socket::Next;
use harness::stomp::{Client, Frame};

#[test]
fn everybody_reads_all_of_a_stream_from_where_he_likes() -> Result<()> {
    let broker = Broker::new()?;
    let mut writer = Client::new(broker.at(Door::Stomp))?;
    declare(&mut writer, "log", &[])?;
    for number in 1..=20 {
        writer.publish("/queue/log", format!("{number}").as_bytes())?;
    }
    let mut readers = Vec::new();
    for (start, first) in
        [("first", 1), ("last", 20), ("last=5", 16), ("offset=7", 7), ("9", 9), ("timestamp=0", 1)]
    {
        let mut reader = read(&broker, "log", start)?;
        for number in first..=20_u64 {
            expect(&mut reader, number).with_context(|| format!("from {start}"))?;
        }
        readers.push(reader);
    }
    for start in ["next", "timestamp=2999-01-01T00:00:00Z"] {
        let mut late = read(&broker, "log", start)?;
        ensure!(late.next(Duration::from_millis(200))? == Next::Silence, "from {start}");
        if start == "next" {
            readers.push(late);
        }
    }
    // Without any, what comes from now on; and by its other name.
    let mut plain = Client::new(broker.at(Door::Stomp))?;
    plain.subscribe("0", "/amq/queue/log", "auto")?;
    readers.push(plain);
    for number in 21..=25 {
        writer.publish("/queue/log", format!("{number}").as_bytes())?;
    }
    for reader in &mut readers {
        (21..=25).try_for_each(|number| expect(reader, number).map(drop))?;
    }
    Ok(())
}

#[test]
fn acknowledgements_say_how_much_more_may_come_and_take_nothing_away() -> Result<()> {
    let broker = Broker::new()?;
    let mut writer = Client::new(broker.at(Door::Stomp))?;
    declare(&mut writer, "log", &[])?;
    for number in 1..=9 {
        writer.publish("/queue/log", format!("{number}").as_bytes())?;
    }
    let ask = reading("log", "first").with("ack", "client-individual");
    let refused = Client::new(broker.at(Door::Stomp))?.refused(ask.clone())?;
    ensure!(refused.contains("prefetch-count"), "{refused}");
    for command in ["ACK", "NACK"] {
        let mut reader = Client::new(broker.at(Door::Stomp))?;
        reader.request(ask.clone().with("prefetch-count", "2"))?;
        let mut under_way = vec![expect(&mut reader, 1)?, expect(&mut reader, 2)?];
        for number in 3..=9 {
            ensure!(reader.next(Duration::from_millis(50))? == Next::Silence, "more than two under way");
            // Whichever is settled, however.
            reader.settle(command, &under_way.remove(0))?;
            under_way.push(expect(&mut reader, number)?);
        }
    }
    // All that before one.
    let mut reader = Client::new(broker.at(Door::Stomp))?;
    reader.request(reading("log", "first").with("ack", "client").with("prefetch-count", "4"))?;
    (1..=3).try_for_each(|number| expect(&mut reader, number).map(drop))?;
    let fourth = expect(&mut reader, 4)?;
    reader.settle("ACK", &fourth)?;
    (5..=8).try_for_each(|number| expect(&mut reader, number).map(drop))
}

#[test]
fn what_is_in_a_stream_and_its_offsets_survive_kill_minus_nine_at_whatever_qos_it_came() -> Result<()> {
    // So few are held in memory that most is read back from the journal.
    let mut broker = Setup::new().config("[limits]\nresident_messages = 40\n").start()?;
    let mut writer = Client::new(broker.at(Door::Stomp))?;
    let stream = Frame::new("SUBSCRIBE").with("id", "s").with("destination", "/topic/room.*");
    let stream = stream.with("x-queue-name", "rooms").with("x-queue-type", "stream");
    writer.request(stream.with("ack", "client").with("prefetch-count", "1"))?;
    writer.request(Frame::new("UNSUBSCRIBE").with("id", "s"))?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "writer")?;
    for life in 0..3_u64 {
        for number in (life * 300 + 1)..=(life * 300 + 300) {
            let body = format!("{number}");
            match number % 3 {
                0 => mqtt.publish("room/a", body.as_bytes(), 0)?,
                1 => mqtt.publish("room/b", body.as_bytes(), 1)?,
                _ => writer.publish("/topic/room.c", body.as_bytes())?,
            }
            if number % 3 == 0 {
                // What was read of it is not another one later.
                let mut reader = read(&broker, "rooms", &format!("offset={number}"))?;
                expect(&mut reader, number)?;
            }
        }
        broker.kill();
        broker.start()?;
        let mut reader = read(&broker, "rooms", "first")?;
        (1..=(life * 300 + 300)).try_for_each(|number| expect(&mut reader, number).map(drop))?;
        writer = Client::new(broker.at(Door::Stomp))?;
        mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "writer")?;
    }
    ensure!(broker.stop()?.success(), "it did not stop in order");
    broker.start()?;
    for (start, first) in [("last=3", 898), ("offset=450", 450)] {
        let mut reader = read(&broker, "rooms", start)?;
        (first..=900).try_for_each(|number| expect(&mut reader, number).map(drop))?;
    }
    Ok(())
}

#[test]
fn what_is_too_much_or_too_old_goes_and_stays_away() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut writer = Client::new(broker.at(Door::Stomp))?;
    declare(&mut writer, "short", &[("x-max-length", "100")])?;
    declare(&mut writer, "light", &[("x-max-length-bytes", "100")])?;
    declare(&mut writer, "young", &[("x-max-age", "3s")])?;
    for number in 1..=300 {
        for queue in ["short", "light", "young"] {
            let send = Frame::new("SEND").with("destination", &format!("/queue/{queue}"));
            let send = send.body(format!("{number}").as_bytes());
            if number == 300 { writer.request(send)? } else { writer.send(&send)? }
        }
    }
    let first = |broker: &Broker, queue: &str| -> Result<u64> {
        let message = read(broker, queue, "first")?.expect("MESSAGE")?;
        offset(&message)
    };
    ensure!(first(&broker, "short")? == 201, "by count");
    // Each has three bytes of body, and the key, which is the name of the queue, five.
    ensure!(first(&broker, "light")? == 300 - 100 / 8 + 1, "by bytes");
    let mut old = read(&broker, "young", "first")?;
    expect(&mut old, 1)?;
    harness::wait::until("the old ones to go", Duration::from_secs(30), || {
        let mut reader = read(&broker, "young", "first").ok()?;
        (reader.next(Duration::from_millis(100)).ok()? == Next::Silence).then_some(())
    })?;
    writer.publish("/queue/young", b"301")?;
    ensure!(first(&broker, "young")? == 301, "by age");
    broker.kill();
    broker.start()?;
    ensure!(first(&broker, "short")? == 201 && first(&broker, "light")? == 289, "after a restart");
    Ok(())
}

#[test]
fn what_a_stream_does_not_have_is_refused_by_name() -> Result<()> {
    let broker = Broker::new()?;
    for (header, value) in [
        ("x-message-ttl", "1000"),
        ("x-expires", "1000"),
        ("x-overflow", "reject-publish"),
        ("x-dead-letter-exchange", "amq.fanout"),
        ("x-max-priority", "5"),
        ("x-delivery-limit", "5"),
        ("x-single-active-consumer", "true"),
        ("durable", "false"),
        ("exclusive", "true"),
        ("auto-delete", "true"),
    ] {
        let ask = reading("s", "first").with("x-queue-type", "stream").with(header, value);
        let refused = Client::new(broker.at(Door::Stomp))?.refused(ask)?;
        ensure!(refused.contains(header), "{header}: {refused}");
    }
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("q", "/queue/classic", "auto")?;
    declare(&mut client, "stream", &[("x-max-age", "7D")])?;
    for (queue, header, value, word) in [
        ("classic", "x-queue-type", "stream", "x-queue-type"),
        ("classic", "x-stream-offset", "first", "is no stream"),
        ("classic", "x-max-age", "1h", "x-max-age"),
        ("stream", "x-queue-type", "classic", "x-queue-type"),
        ("stream", "x-max-age", "1h", "'1h' but current is '7D'"),
        ("stream", "x-stream-offset", "-50", "last=COUNT"),
        ("stream", "x-stream-filter", "a", "x-stream-filter"),
        ("other", "x-max-age", "soon", "7D"),
    ] {
        let ask = Frame::new("SUBSCRIBE").with("id", "0").with("destination", &format!("/queue/{queue}"));
        let refused = Client::new(broker.at(Door::Stomp))?.refused(ask.with(header, value))?;
        ensure!(refused.contains(word), "{queue} {header}:{value}: {refused}");
    }
    Ok(())
}

#[test]
fn a_client_of_mqtt_5_reads_from_an_offset_and_is_told_the_offset_of_each_message() -> Result<()> {
    let broker = Broker::new()?;
    fill(&broker, 30)?;
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, "reader"))?;
    // Its session has something of its own at the same time, under ids of its own.
    client.subscribe("room/a", 1)?;
    let from = |start: &str| [Property::Pair("x-stream-offset".into(), start.into())];
    for (start, first) in [("first", 1), ("last=5", 26), ("offset=12", 12)] {
        client.send(&subscribe(Version::V5, 9, &[("$stream/room", 2)], &from(start)))?;
        // Messages may come before the answer [MQTT-3.8.4-3]. What QoS 2 could add, the offset does.
        let (mut granted, mut number) = (false, first);
        while !granted || number <= 30 {
            let packet = client.packet()?;
            if matches!(&packet, Packet::Suback { codes, .. } if codes == &[1] && !granted) {
                granted = true;
                continue;
            }
            let Packet::Publish(came) = packet else { anyhow::bail!("{packet:?}") };
            client.send(&ack::bytes(ack::PUBACK, came.id))?;
            let told = Property::Pair("x-stream-offset".into(), number.to_string());
            ensure!(came.text() == number.to_string() && came.properties.contains(&told), "{came:?}");
            ensure!(came.topic == "room/a" && came.qos == 1 && !came.retain, "{came:?}");
            number += 1;
        }
    }
    let mut writer = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "writer")?;
    writer.publish("room/a", b"31", 1)?;
    let both = [client.take()?, client.take()?];
    let offsets = both.iter().filter(|one| !one.properties.is_empty()).count();
    ensure!(
        offsets == 1 && both[0].id != both[1].id && both.iter().all(|one| one.text() == "31"),
        "{both:?}"
    );
    client.send(&unsubscribe(Version::V5, 10, &["$stream/room"]))?;
    let unsuback = client.packet()?;
    ensure!(matches!(&unsuback, Packet::Unsuback { codes, .. } if codes == &[0]), "{unsuback:?}");
    writer.publish("room/a", b"32", 1)?;
    ensure!(client.take()?.properties.is_empty(), "it goes on");
    ensure!(client.next(Duration::from_millis(200))? == Next::Silence, "it goes on");
    Ok(())
}

#[test]
fn a_client_of_mqtt_3_says_where_it_starts_behind_the_name() -> Result<()> {
    let broker = Broker::new()?;
    fill(&broker, 10)?;
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut client = Mqtt::clean(broker.at(Door::Mqtt), version, "reader")?;
        for (filter, first) in [("$stream/room/first", 1), ("$stream/room/last=3", 8), ("$stream/room/5", 5)]
        {
            ensure!(client.subscribe(filter, 1)? == [1], "{filter}");
            for number in first..=10 {
                let came = client.take()?;
                ensure!(came.text() == number.to_string() && came.topic == "room/a", "{filter}: {came:?}");
            }
        }
        ensure!(client.subscribe("$stream/room", 0)? == [0], "{version:?}");
        ensure!(client.next(Duration::from_millis(100))? == Next::Silence, "what is there, not what comes");
    }
    Ok(())
}

#[test]
fn no_more_is_under_way_to_a_reader_of_mqtt_than_it_takes() -> Result<()> {
    let broker = Broker::new()?;
    fill(&broker, 10)?;
    let maximum = Property::Number(harness::mqtt::property::RECEIVE_MAXIMUM, 2);
    let connect = Connect::new(Version::V5, "reader").with(maximum);
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    client.subscribe("$stream/room/first", 1)?;
    let mut under_way = vec![client.publication()?, client.publication()?];
    for number in 3..=10 {
        ensure!(client.next(Duration::from_millis(50))? == Next::Silence, "more than two under way");
        client.send(&ack::bytes(ack::PUBACK, under_way.remove(0).id))?;
        under_way.push(client.publication()?);
        ensure!(under_way[1].text() == number.to_string(), "{under_way:?}");
    }
    Ok(())
}

#[test]
fn what_mqtt_cannot_read_is_refused_with_the_reason() -> Result<()> {
    let broker = Broker::new()?;
    fill(&broker, 1)?;
    Client::new(broker.at(Door::Stomp))?.subscribe("q", "/queue/classic", "auto")?;
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "reader")?;
    for (filter, word) in [
        ("$stream/classic", "is no stream"),
        ("$stream/none", "does not exist"),
        ("$stream/+", "wildcards"),
        ("$stream/room/#", "wildcards"),
        ("$stream/", "name"),
        ("$share/g/$stream/room", ""),
    ] {
        client.send(&subscribe(Version::V5, 1, &[(filter, 1)], &[]))?;
        let Packet::Suback { codes, properties, .. } = client.packet()? else {
            anyhow::bail!("{filter}: no SUBACK");
        };
        let why = format!("{properties:?}");
        ensure!(codes[0] >= 0x80 && why.contains(word), "{filter}: {codes:?} {why}");
    }
    let start = [Property::Pair("x-stream-offset".into(), "yesterday".into())];
    client.send(&subscribe(Version::V5, 1, &[("$stream/room", 1), ("plain", 1)], &start))?;
    let Packet::Suback { codes, properties, .. } = client.packet()? else { anyhow::bail!("no SUBACK") };
    ensure!(
        codes[0] >= 0x80 && codes[1] == 1 && format!("{properties:?}").contains("last=COUNT"),
        "{codes:?}"
    );
    Ok(())
}

/// A stream that is bound to the topics of one room, with so many numbered messages in it.
fn fill(broker: &Broker, count: u64) -> Result<()> {
    let mut client = Client::new(broker.at(Door::Stomp))?;
    let stream = Frame::new("SUBSCRIBE").with("id", "s").with("destination", "/topic/room.#");
    client.request(stream.with("x-queue-name", "room").with("x-queue-type", "stream"))?;
    client.request(Frame::new("UNSUBSCRIBE").with("id", "s"))?;
    let mut writer = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "filler")?;
    for number in 1..=count {
        writer.publish("room/a", number.to_string().as_bytes(), 1)?;
    }
    Ok(())
}

fn declare(client: &mut Client, name: &str, arguments: &[(&str, &str)]) -> Result<()> {
    let ask = reading(name, "next").with("x-queue-type", "stream");
    let ask = arguments.iter().fold(ask, |ask, (name, value)| ask.with(name, value));
    client.request(ask)?;
    client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
    Ok(())
}

fn reading(stream: &str, start: &str) -> Frame {
    let ask = Frame::new("SUBSCRIBE").with("id", "0").with("destination", &format!("/queue/{stream}"));
    ask.with("x-stream-offset", start)
}

fn read(broker: &Broker, stream: &str, start: &str) -> Result<Client> {
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.send(&reading(stream, start))?;
    client.request(Frame::new("BEGIN").with("transaction", "t"))?;
    Ok(client)
}

/// The next message, which is the one of that number: so it says, and so does its offset.
fn expect(client: &mut Client, number: u64) -> Result<Frame> {
    let message = client.expect("MESSAGE").with_context(|| format!("number {number}"))?;
    let is_right = message.text() == number.to_string() && offset(&message)? == number;
    ensure!(is_right && message.header("redelivered") == Some("false"), "{number}: {message:?}");
    Ok(message)
}

fn offset(message: &Frame) -> Result<u64> {
    Ok(message.header("x-stream-offset").context("no offset")?.parse()?)
}

trait Refused {
    fn refused(self, ask: Frame) -> Result<String>;
}

impl Refused for Client {
    fn refused(mut self, ask: Frame) -> Result<String> {
        self.send(&ask)?;
        let error = self.expect("ERROR")?;
        Ok(format!("{} {}", error.header("message").unwrap_or_default(), error.text()))
    }
}
