//! Publishing exactly once, by ids that publishers choose.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn a_send_under_an_id_that_was_there_gets_its_receipt_and_goes_nowhere() -> Result<()> {
    let broker = Broker::new()?;
    let mut subscriber = Stomp::new(broker.at(Door::Stomp))?;
    subscriber.subscribe("0", "/topic/once", "auto")?;
    for version in ["1.0", "1.1", "1.2"] {
        for attempt in ["first", "again", "and again"] {
            // Each time by a new connection: the answer to the one before was lost.
            let (mut sender, _) = Stomp::connect(broker.at(Door::Stomp), version)?;
            sender.request(send(attempt, version))?;
            sender.request(send(attempt, version))?;
        }
        let message = subscriber.expect("MESSAGE")?;
        ensure!(message.text() == "first", "{version}: {message:?}");
        ensure!(message.header("x-dedup-id") == Some(version), "a consumer may want to know it: {message:?}");
    }
    nothing_more(&mut subscriber)
}

#[test]
fn ids_of_stomp_and_mqtt_are_the_same_and_each_user_has_his_own() -> Result<()> {
    let broker = Broker::new()?;
    let mut subscriber = Stomp::new(broker.at(Door::Stomp))?;
    subscriber.subscribe("0", "/topic/once", "auto")?;
    // Of a client that has no user, the ids are those of what it calls itself.
    let mut stomp = named(&broker, "ann")?;
    stomp.request(send("by STOMP", "1"))?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "ann")?;
    ensure!(published(&mut mqtt, "by MQTT", "1", 1)? == 0, "the duplicate is a success");
    ensure!(published(&mut mqtt, "by MQTT", "2", 1)? == 0, "and so is the first of another");
    ensure!(published(&mut mqtt, "at QoS 2", "2", 2)? == 0, "whatever its QoS");
    stomp.request(send("by STOMP", "2"))?;
    let mut other = named(&broker, "bob")?;
    other.request(send("by bob", "1"))?;
    for expected in ["by STOMP", "by MQTT", "by bob"] {
        let message = subscriber.expect("MESSAGE")?;
        ensure!(message.text() == expected, "{message:?}");
    }
    nothing_more(&mut subscriber)
}

#[test]
fn ids_outlive_kill_minus_nine_and_an_orderly_restart() -> Result<()> {
    let mut broker = Broker::new()?;
    for end in ["kill -9", "an orderly stop"] {
        let mut sender = Stomp::new(broker.at(Door::Stomp))?;
        sender.request(to_queue(end, end))?;
        if end == "kill -9" {
            broker.kill();
        } else {
            broker.stop()?;
        }
        broker.start()?;
        let mut sender = Stomp::new(broker.at(Door::Stomp))?;
        sender.request(to_queue(end, end))?;
        let mut consumer = Stomp::new(broker.at(Door::Stomp))?;
        consumer.subscribe("0", "/queue/once", "auto")?;
        ensure!(consumer.expect("MESSAGE")?.text() == end, "after {end}");
        nothing_more(&mut consumer)?;
    }
    Ok(())
}

#[test]
fn in_a_transaction_only_what_is_new_is_sent_and_every_receipt_comes() -> Result<()> {
    let broker = Broker::new()?;
    let mut consumer = Stomp::new(broker.at(Door::Stomp))?;
    consumer.subscribe("0", "/queue/once", "auto")?;
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    sender.request(to_queue("one", "1"))?;
    for attempt in 0..2 {
        sender.request(Frame::new("BEGIN").with("transaction", "t"))?;
        for id in ["1", "2", "2", "3"] {
            let frame = to_queue(id, id).with("transaction", "t");
            sender.send(&frame.with("receipt", &format!("{attempt} {id}")))?;
        }
        sender.send(&Frame::new("COMMIT").with("transaction", "t").with("receipt", "commit"))?;
        for id in ["1", "2", "2", "3"] {
            let receipt = sender.expect("RECEIPT")?;
            ensure!(receipt.header("receipt-id") == Some(&format!("{attempt} {id}")), "{receipt:?}");
        }
        sender.expect("RECEIPT")?;
    }
    // What was aborted was not sent.
    sender.request(Frame::new("BEGIN").with("transaction", "t"))?;
    sender.send(&to_queue("4", "4").with("transaction", "t"))?;
    sender.request(Frame::new("ABORT").with("transaction", "t"))?;
    sender.request(to_queue("4", "4"))?;
    for expected in ["one", "2", "3", "4"] {
        ensure!(consumer.expect("MESSAGE")?.text() == expected, "not {expected}");
    }
    nothing_more(&mut consumer)
}

#[test]
fn an_id_that_is_none_is_refused_in_words() -> Result<()> {
    let broker = Broker::new()?;
    let longest = "x".repeat(256);
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    sender.request(send("fits", &longest))?;
    for id in ["", &format!("{longest}x")] {
        let mut sender = Stomp::new(broker.at(Door::Stomp))?;
        sender.send(&send("x", id).with("receipt", "7"))?;
        let error = sender.expect("ERROR")?;
        ensure!(error.text().contains("x-dedup-id"), "{error:?} {}", error.text());
        ensure!(error.header("receipt-id") == Some("7"), "{error:?}");
        ensure!(sender.closes(Duration::from_secs(5))?, "no close after ERROR");
    }
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    for id in ["", &format!("{longest}x")] {
        ensure!(published(&mut mqtt, "x", id, 1)? == 0x83, "PUBACK");
        ensure!(published(&mut mqtt, "x", id, 2)? == 0x83, "PUBREC");
    }
    Ok(())
}

/// Publishes at QoS 1 or 2; the reason code of PUBACK or PUBREC.
fn published(client: &mut Mqtt, text: &str, id: &str, qos: u8) -> Result<u8> {
    let packet_id = client.id();
    let message = Publish::new("once", text.as_bytes(), qos)
        .with_id(packet_id)
        .with(Property::Pair("x-dedup-id".to_owned(), id.to_owned()));
    client.send(&publish(Version::V5, &message))?;
    let packet = client.packet()?;
    let Packet::Ack { id, reason: code, .. } = packet else { anyhow::bail!("{packet:?}") };
    ensure!(id == packet_id, "{packet:?}");
    if qos == 2 && code < 0x80 {
        client.send(&ack::bytes(ack::PUBREL, packet_id))?;
        client.expect_ack(ack::PUBCOMP, packet_id)?;
    }
    Ok(code)
}

fn named(broker: &Broker, client: &str) -> Result<Stomp> {
    let mut stomp = Stomp::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    stomp.send(&connect.with("client-id", client))?;
    stomp.expect("CONNECTED")?;
    Ok(stomp)
}

fn send(text: &str, id: &str) -> Frame {
    Frame::new("SEND").with("destination", "/topic/once").with("x-dedup-id", id).body(text.as_bytes())
}

fn to_queue(text: &str, id: &str) -> Frame {
    let frame = Frame::new("SEND").with("destination", "/queue/once").with("persistent", "true");
    frame.with("x-dedup-id", id).body(text.as_bytes())
}

fn nothing_more(client: &mut Stomp) -> Result<()> {
    let more = client.next(Duration::from_millis(300))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}
