//! The limits of the configuration, each below, at and beyond (docs/protocols/mqtt.md, "Limits").

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{CONTENT_TYPE, Property, REASON_STRING, RECEIVE_MAXIMUM, text};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT, ack, publish, subscribe, unsubscribe};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::SOON;

#[test]
fn a_packet_may_be_as_large_as_the_limit() -> Result<()> {
    // [MQTT-3.2.2-15]
    let broker = with("max_packet = \"4KiB\"")?;
    for version in Version::ALL {
        for (bytes, fits) in [(4095, true), (4096, true), (4097, false)] {
            let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
            let empty = publish(version, &Publish::new("t", &[0; 200], 1).with_id(1)).len() - 200;
            let message = Publish::new("t", &vec![0; bytes - empty], 1).with_id(1);
            let packet = publish(version, &message);
            ensure!(packet.len() == bytes, "{} bytes were made", packet.len());
            client.send(&packet)?;
            let answer = (fits, 0x95);
            ended(&mut client, version, answer, ack::PUBACK)
                .with_context(|| format!("{version:?}, {bytes}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_first_packet_has_64_kib_at_most() -> Result<()> {
    let broker = Broker::new()?;
    for (bytes, code) in [(65_535, 0x86), (65_536, 0x86), (65_537, 0x95)] {
        // So large only by a login; nobody knows it.
        let mut connect = Connect::new(Version::V5, "client");
        connect.login = Some(("u".repeat(40_000), String::new()));
        let more = bytes - connect.bytes().len();
        connect.login = Some(("u".repeat(40_000), "p".repeat(more)));
        ensure!(connect.bytes().len() == bytes, "{} bytes were made", connect.bytes().len());
        let mut client = Client::dial(broker.at(Door::Mqtt), Version::V5)?;
        client.send(&connect.bytes())?;
        let packet = client.packet()?;
        ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == code), "{bytes}: {packet:?}");
        ensure!(client.closes(SOON)?, "{bytes}: goes on");
    }
    Ok(())
}

#[test]
fn a_topic_may_be_as_long_and_as_deep_as_the_limits() -> Result<()> {
    let config = "[limits]\ntopic_bytes = \"40B\"\n[mqtt]\nmax_topic_levels = 4\n";
    let broker = Setup::new().config(config).start()?;
    let long = |bytes: usize| "t".repeat(bytes);
    let deep = |levels: usize| "/".repeat(levels - 1);
    for version in Version::ALL {
        for (topic, fits) in [
            (long(39), true),
            (long(40), true),
            (long(41), false),
            (deep(3), true),
            (deep(4), true),
            (deep(5), false),
        ] {
            let what = format!("{version:?} {topic}");
            let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
            let code = match (fits, version) {
                (true, _) => Some(1),
                (false, Version::V5) => Some(0x8f),
                (false, Version::V311) => Some(0x80),
                // It has no way to refuse a filter.
                (false, Version::V31) => None,
            };
            client.send(&subscribe(version, 7, &[(&topic, 1)], &[]))?;
            match code {
                Some(code) => {
                    let packet = client.packet()?;
                    let Packet::Suback { codes, properties, .. } = &packet else {
                        bail!("{what}: {packet:?}")
                    };
                    ensure!(*codes == [code], "{what}: {packet:?}");
                    let why = text(properties, REASON_STRING).unwrap_or_default();
                    let says = "the topic is longer than the 40 bytes of limits.topic_bytes";
                    ensure!((why == says) == (code == 0x8f && topic.len() > 40), "{what}: {packet:?}");
                }
                None => ensure!(client.closes(SOON)?, "{what}: goes on"),
            }
            let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
            client.send(&publish(version, &Publish::new(&topic, b"x", 1).with_id(1)))?;
            if fits || version == Version::V5 {
                let packet = client.packet()?;
                let Packet::Ack { reason, .. } = packet else { anyhow::bail!("{what}: {packet:?}") };
                ensure!(if fits { reason < 0x80 } else { reason == 0x90 }, "{what}: {reason:#04x}");
            } else {
                ensure!(client.closes(SOON)?, "{what}: goes on");
            }
        }
    }
    Ok(())
}

#[test]
fn a_client_id_may_be_as_long_as_the_limit() -> Result<()> {
    let broker = with("max_client_id = \"30B\"")?;
    for version in Version::ALL {
        for (bytes, fits) in [(23, true), (24, true), (30, true), (31, false)] {
            let mut client = Client::dial(broker.at(Door::Mqtt), version)?;
            client.send(&Connect::new(version, &"i".repeat(bytes)).bytes())?;
            let code = match (fits, version) {
                (true, _) => 0,
                (false, Version::V5) => 0x85,
                (false, Version::V31 | Version::V311) => 2,
            };
            let packet = client.packet()?;
            ensure!(
                matches!(&packet, Packet::Connack(connack) if connack.code == code),
                "{bytes}: {packet:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_session_may_have_as_many_subscriptions_as_the_limit() -> Result<()> {
    let config = "[limits]\nsubscriptions = 5\n[mqtt]\nsubscriptions_per_packet = 3\n";
    let broker = Setup::new().config(config).start()?;
    for (version, refused) in [(Version::V311, 0x80), (Version::V5, 0x97)] {
        let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
        let mut ask = |filters: &[&str]| -> Result<Vec<u8>> {
            let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (*filter, 1)).collect();
            client.send(&subscribe(version, 7, &filters, &[]))?;
            let packet = client.packet()?;
            let Packet::Suback { codes, .. } = packet else { anyhow::bail!("{packet:?}") };
            Ok(codes)
        };
        ensure!(ask(&["a", "b", "c", "d"])? == [refused; 4], "{version:?}: four in one packet");
        ensure!(ask(&["a", "b", "c"])? == [1, 1, 1], "{version:?}: three in one packet");
        ensure!(ask(&["d"])? == [1] && ask(&["e", "f"])? == [1, refused], "{version:?}: a sixth");
        // One that is there already takes no place.
        ensure!(ask(&["a"])? == [1], "{version:?}: again");
        client.send(&unsubscribe(version, 8, &["a"]))?;
        ensure!(matches!(client.packet()?, Packet::Unsuback { .. }), "{version:?}: no UNSUBACK");
        ensure!(client.subscribe("f", 1)? == [1], "{version:?}: a place that is free again");
    }
    Ok(())
}

#[test]
fn no_more_is_under_way_to_a_client_than_the_limit_whatever_it_takes() -> Result<()> {
    let broker = with("inflight_max = 2")?;
    for version in Version::ALL {
        let mut connect = Connect::new(version, "reader");
        if version == Version::V5 {
            connect = connect.with(Property::Number(RECEIVE_MAXIMUM, 10));
        }
        let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        reader.subscribe("busy", 2)?;
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        for number in 0..4 {
            publisher.publish("busy", &[number], 2)?;
        }
        let (first, second) = (reader.publication()?, reader.publication()?);
        let third = reader.next(Duration::from_millis(300))?;
        ensure!(third == Next::Silence, "{version:?}: {third:?}");
        for message in [first, second] {
            reader.send(&ack::bytes(ack::PUBREC, message.id))?;
            reader.expect_ack(ack::PUBREL, message.id)?;
            reader.send(&ack::bytes(ack::PUBCOMP, message.id))?;
        }
        ensure!(reader.take()?.payload == [2] && reader.take()?.payload == [3], "{version:?}: out of order");
    }
    Ok(())
}

#[test]
fn a_client_that_sends_more_than_the_receive_maximum_is_cut_off() -> Result<()> {
    // [MQTT-3.3.4-7], [MQTT-3.3.4-8]: QoS 1 and QoS 2 count together, a QoS 2 message until PUBCOMP.
    let broker = with("receive_max = 2")?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    for id in 1..=2 {
        client.send(&publish(Version::V5, &Publish::new("t", b"x", 2).with_id(id)))?;
        client.expect_ack(ack::PUBREC, id)?;
    }
    client.send(&ack::bytes(ack::PUBREL, 1))?;
    client.expect_ack(ack::PUBCOMP, 1)?;
    // One place is free: QoS 1 takes it and gives it back, QoS 0 needs none.
    for _ in 0..3 {
        client.publish("t", b"x", 0)?;
        client.publish("t", b"x", 1)?;
    }
    client.send(&publish(Version::V5, &Publish::new("t", b"x", 2).with_id(3)))?;
    client.expect_ack(ack::PUBREC, 3)?;
    client.send(&publish(Version::V5, &Publish::new("t", b"x", 1).with_id(4)))?;
    let packet = client.packet()?;
    ensure!(matches!(packet, Packet::Disconnect { reason: 0x93, .. }), "{packet:?}");
    ensure!(client.closes(SOON)?, "goes on");
    Ok(())
}

#[test]
fn properties_have_limits_in_number_and_size() -> Result<()> {
    let smaller =
        "[limits]\nuser_properties = 3\nuser_property_bytes = \"40B\"\nproperties_bytes = \"150B\"\n";
    for (config, [count, bytes, all]) in [("", [64, 8192, 65_535]), (smaller, [3, 40, 150])] {
        let broker = Setup::new().config(config).start()?;
        let pairs =
            |count: usize, bytes: usize| vec![Property::Pair("k".into(), "v".repeat(bytes - 1)); count];
        // Three bytes of another property are no text: its identifier and its length.
        let whole = |size: usize| vec![Property::Text(CONTENT_TYPE, "c".repeat(size - 3))];
        for (what, properties, fits) in [
            ("one less", pairs(count - 1, 2), true),
            ("as many as may be", pairs(count, 2), true),
            ("one more", pairs(count + 1, 2), false),
            ("a byte less", pairs(1, bytes - 1), true),
            ("as large as may be", pairs(1, bytes), true),
            ("a byte more", pairs(1, bytes + 1), false),
            ("a byte less in all", whole(all - 1), true),
            ("as many bytes as may be", whole(all), true),
            ("a byte more in all", [whole(all - 6), pairs(1, 2)].concat(), false),
        ] {
            let what = format!("{what}, {count}");
            let mut message = Publish { properties, ..Publish::new("t", b"x", 1).with_id(1) };
            let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
            client.send(&publish(Version::V5, &message))?;
            ended(&mut client, Version::V5, (fits, 0x97), ack::PUBACK).with_context(|| what.clone())?;
            // A CONNECT has 64 KiB at most.
            if all < 65_535 {
                let mut connect = Connect::new(Version::V5, "client");
                connect.will_properties = std::mem::take(&mut message.properties);
                let mut client = Client::dial(broker.at(Door::Mqtt), Version::V5)?;
                client.send(&connect.will(message).bytes())?;
                let packet = client.packet()?;
                let wanted = if fits { 0 } else { 0x97 };
                let is_so = matches!(&packet, Packet::Connack(connack) if connack.code == wanted);
                ensure!(is_so, "{what}: {packet:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_message_that_cannot_be_taken_now_ends_the_connection_in_3_x() -> Result<()> {
    // [MQTT-4.8.0-2] of 3.1.1: a transient error while a packet is processed. 5.0 has a code for it.
    let config = "[[queue]]\nname = \"jobs\"\nmax_length = 2\n";
    let broker = Setup::new().config(config).start()?;
    let mut full = Client::clean(broker.at(Door::Mqtt), Version::V311, "full")?;
    full.publish("$queue/jobs", b"1", 1)?;
    full.publish("$queue/jobs", b"2", 1)?;
    for version in Version::ALL {
        for qos in [1, 2] {
            let mut client = Client::clean(broker.at(Door::Mqtt), version, "client")?;
            client.send(&publish(version, &Publish::new("$queue/jobs", b"3", qos).with_id(1)))?;
            if version == Version::V5 {
                let packet = client.packet()?;
                ensure!(matches!(packet, Packet::Ack { reason: 0x97, .. }), "{packet:?}");
            } else {
                let next = client.next(SOON)?;
                ensure!(next == Next::Closed, "{version:?}, QoS {qos}: {next:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_named_queue_keeps_what_its_limits_allow() -> Result<()> {
    let config = "[limits]\nqueue_messages = 3\n[[queue]]\nname = \"jobs\"\n";
    let broker = Setup::new().config(config).start()?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    for (number, fits) in [(1, true), (2, true), (3, true), (4, false)] {
        client.send(&publish(Version::V5, &Publish::new("$queue/jobs", b"x", 1).with_id(number)))?;
        let answer = client.packet()?;
        taken(&answer, fits).with_context(|| format!("{number}"))?;
    }
    // And to STOMP in words.
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.send(&Frame::new("SEND").with("destination", "/queue/jobs").with("receipt", "r").body(b"x"))?;
    let error = stomp.expect("ERROR")?;
    ensure!(error.header("receipt-id") == Some("r") && error.text().contains("full"), "{error:?}");
    Ok(())
}

#[test]
fn a_queue_keeps_as_many_bytes_as_its_limits_allow() -> Result<()> {
    // Of keys and payloads: the second message is to make it a byte less, as many, and a byte more.
    for (limit, topic, key) in [("queue_bytes", "$queue/q", 1), ("session_queue_bytes", "t", 1)] {
        for (bytes, fits) in [(1023, true), (1024, true), (1025, false)] {
            let limits = format!("{limit} = \"1KiB\"\nsession_queue_overflow = \"reject-publish\"");
            let config = format!("[limits]\n{limits}\n[[queue]]\nname = \"q\"\n");
            let broker = Setup::new().config(&config).start()?;
            let mut session = away(&broker)?;
            session.subscribe("t", 1)?;
            session.send(&DISCONNECT)?;
            ensure!(session.closes(SOON)?, "it stays");
            let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
            client.publish(topic, &[b'x'; 500], 1)?;
            let rest = vec![b'x'; bytes - 500 - 2 * key];
            client.send(&publish(Version::V5, &Publish::new(topic, &rest, 1).with_id(7)))?;
            let answer = client.packet()?;
            taken(&answer, fits).with_context(|| format!("{limit}, {bytes}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_session_that_is_away_keeps_what_its_limits_allow() -> Result<()> {
    let cases: [(&str, [bool; 3], &[&str]); 3] = [
        ("drop-new", [true, true, true], &["1", "2"]),
        ("drop-oldest", [true, true, true], &["2", "3"]),
        ("reject-publish", [true, true, false], &["1", "2"]),
    ];
    for (overflow, taken, kept) in cases {
        let limits = format!("session_queue_messages = 2\nsession_queue_overflow = \"{overflow}\"");
        let broker = Setup::new().config(&format!("[limits]\n{limits}\n")).start()?;
        let mut session = away(&broker)?;
        session.subscribe("t", 1)?;
        session.send(&DISCONNECT)?;
        ensure!(session.closes(SOON)?, "{overflow}: it stays");
        let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
        for (body, taken) in ["1", "2", "3"].into_iter().zip(taken) {
            publisher.send(&publish(Version::V5, &Publish::new("t", body.as_bytes(), 1).with_id(1)))?;
            let packet = publisher.packet()?;
            let Packet::Ack { reason, .. } = packet else { anyhow::bail!("{overflow}: {packet:?}") };
            ensure!(if taken { reason < 0x80 } else { reason == 0x97 }, "{overflow}, {body}: {reason:#04x}");
        }
        let mut back = away(&broker)?;
        for body in kept {
            let message = back.take()?;
            ensure!(message.payload == body.as_bytes(), "{overflow}: {message:?}, not {body}");
        }
        ensure!(back.next(Duration::from_millis(300))? == Next::Silence, "{overflow}: one more");
    }
    Ok(())
}

#[test]
fn a_subscription_that_does_not_keep_up_keeps_what_its_limits_allow() -> Result<()> {
    let cases: [(&str, bool, &[&str]); 3] = [
        ("drop-new", true, &["waits 1", "waits 2"]),
        ("drop-oldest", true, &["too much", "at QoS 0"]),
        ("reject-publish", false, &["waits 1", "waits 2"]),
    ];
    for (overflow, taken, kept) in cases {
        let limits = format!("session_queue_messages = 2\nsession_queue_overflow = \"{overflow}\"");
        let broker = Setup::new().config(&format!("[limits]\n{limits}\n")).start()?;
        let mut slow = Stomp::new(broker.at(Door::Stomp))?;
        let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/topic/t");
        slow.request(subscribe.with("ack", "client-individual").with("prefetch-count", "1"))?;
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.publish("/topic/t", b"is being read")?;
        let mut message = slow.expect("MESSAGE")?;
        stomp.publish("/topic/t", b"waits 1")?;
        stomp.publish("/topic/t", b"waits 2")?;
        let mut mqtt = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
        if taken {
            stomp.publish("/topic/t", b"too much")?;
        } else {
            mqtt.send(&publish(Version::V5, &Publish::new("t", b"too much", 1).with_id(1)))?;
            let packet = mqtt.packet()?;
            ensure!(matches!(packet, Packet::Ack { reason: 0x97, .. }), "{packet:?}");
            let send = Frame::new("SEND").with("destination", "/topic/t").with("receipt", "r");
            stomp.send(&send.body(b"too much"))?;
            let error = stomp.expect("ERROR")?;
            ensure!(error.header("receipt-id") == Some("r"), "{error:?}");
        }
        // At QoS 0 nobody can be refused: there it is dropped.
        mqtt.publish("t", b"at QoS 0", 0)?;
        mqtt.publish("elsewhere", b"behind it", 1)?;
        for body in kept {
            slow.settle("ACK", &message)?;
            message = slow.expect("MESSAGE")?;
            ensure!(message.text() == *body, "{overflow}: {:?}, not {body}", message.text());
        }
        slow.settle("ACK", &message)?;
        ensure!(slow.next(Duration::from_millis(300))? == Next::Silence, "{overflow}: one more");
    }
    Ok(())
}

#[test]
fn what_waits_for_a_session_grows_no_older_than_its_limit() -> Result<()> {
    let broker = Setup::new().config("[limits]\nsession_queue_age = \"1s\"\n").start()?;
    let mut session = away(&broker)?;
    session.subscribe("t", 1)?;
    session.send(&DISCONNECT)?;
    ensure!(session.closes(SOON)?, "it stays");
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    publisher.publish("t", b"old", 1)?;
    std::thread::sleep(Duration::from_millis(1500));
    publisher.publish("t", b"new", 1)?;
    let mut back = away(&broker)?;
    let message = back.take()?;
    ensure!(message.payload == b"new"[..], "{message:?}");
    Ok(())
}

#[test]
fn as_much_is_retained_as_the_limits_allow() -> Result<()> {
    // Below, at and beyond; what takes no more than what it replaces has room.
    type Step = (&'static str, &'static str, bool);
    let by_count: &[Step] = &[
        ("a", "1", true),
        ("b", "1", true),
        ("c", "1", false),
        ("b", "22", true),
        ("a", "", true),
        ("c", "1", true),
        ("a", "1", false),
    ];
    let by_bytes: &[Step] = &[
        ("a", "1234567", true),
        ("b", "12345678901", true),
        ("c", "", true),
        ("c", "1", false),
        ("b", "123456789012", false),
        ("b", "1234567890", true),
        ("b", "12345678901", true),
        ("a", "", true),
        ("c", "1234567", true),
    ];
    for (limits, steps) in [("retained = 2", by_count), ("retained_bytes = \"20B\"", by_bytes)] {
        let broker = Setup::new().config(&format!("[limits]\n{limits}\n")).start()?;
        let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
        let mut kept = BTreeMap::new();
        for (topic, body, fits) in steps {
            let message = Publish::new(topic, body.as_bytes(), 1).with_id(1);
            client.send(&publish(Version::V5, &message.retained()))?;
            let packet = client.packet()?;
            let Packet::Ack { reason, .. } = packet else { anyhow::bail!("{limits}: {packet:?}") };
            ensure!(if *fits { reason < 0x80 } else { reason == 0x97 }, "{limits}, {topic}: {reason:#04x}");
            if *fits {
                kept.insert(*topic, *body);
            }
        }
        kept.retain(|_, body| !body.is_empty());
        // At QoS 0 nobody can be told, and what was kept stays.
        let (topic, beyond) = ("b", "x".repeat(100));
        let topic = if limits == "retained = 2" { "d" } else { topic };
        client.send(&publish(Version::V5, &Publish::new(topic, beyond.as_bytes(), 0).retained()))?;
        client.subscribe("+", 1)?;
        for (topic, body) in &kept {
            let message = client.take()?;
            ensure!((message.topic.as_str(), message.text().as_str()) == (*topic, *body), "{message:?}");
        }
        let mut other = Client::clean(broker.at(Door::Mqtt), Version::V311, "other")?;
        let message = Publish::new(topic, beyond.as_bytes(), 1).with_id(1);
        other.send(&publish(Version::V311, &message.retained()))?;
        ensure!(other.closes(SOON)?, "{limits}: 3.1.1 has no code for it");
    }
    Ok(())
}

/// Acknowledged; or the end, after DISCONNECT with that code in 5.0.
fn ended(client: &mut Client, version: Version, (fits, code): (bool, u8), kind: u8) -> Result<()> {
    if fits {
        return Ok(client.expect_ack(kind, 1)?);
    }
    if version == Version::V5 {
        let packet = client.packet()?;
        ensure!(matches!(packet, Packet::Disconnect { reason, .. } if reason == code), "{packet:?}");
    }
    ensure!(client.closes(SOON)?, "goes on");
    Ok(())
}

/// PUBACK, with success or with "quota exceeded".
fn taken(answer: &Packet, fits: bool) -> Result<()> {
    let Packet::Ack { reason, .. } = answer else { bail!("{answer:?}") };
    ensure!(if fits { *reason < 0x80 } else { *reason == 0x97 }, "{answer:?}");
    Ok(())
}

fn away(broker: &Broker) -> Result<Client> {
    Ok(Client::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, "away"))?.0)
}

fn with(mqtt: &str) -> Result<Broker> {
    Setup::new().config(&format!("[mqtt]\n{mqtt}\n")).start()
}
