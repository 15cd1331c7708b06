//! Retained messages: the last of a topic, for whoever comes later.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Publish;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::stomp::{self, Frame};

#[test]
fn the_last_retained_message_comes_to_a_new_subscriber_with_its_flag() -> Result<()> {
    // 3.3.1.3
    let broker = Broker::new()?;
    for version in Version::ALL {
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        let mut here = Client::clean(broker.at(Door::Mqtt), version, "here")?;
        here.subscribe("kept/#", 1)?;
        for body in ["first", "last"] {
            retain(&mut publisher, version, "kept/a", body)?;
            let live = here.take()?;
            ensure!(live.text() == body && !live.retain, "a live message has no RETAIN flag: {live:?}");
        }
        let mut late = Client::clean(broker.at(Door::Mqtt), version, "late")?;
        late.subscribe("kept/+", 1)?;
        let kept = late.take()?;
        ensure!(kept.text() == "last" && kept.retain && kept.topic == "kept/a", "{kept:?}");

        // An empty one takes it away, and is delivered to who is here.
        retain(&mut publisher, version, "kept/a", "")?;
        ensure!(here.take()?.payload.is_empty() && late.take()?.payload.is_empty(), "{version:?}");
        let mut later = Client::clean(broker.at(Door::Mqtt), version, "later")?;
        later.subscribe("kept/+", 1)?;
        retain(&mut publisher, version, "kept/b", "new")?;
        ensure!(later.take()?.text() == "new", "{version:?}");
        retain(&mut publisher, version, "kept/b", "")?;
    }
    Ok(())
}

#[test]
fn retained_messages_survive_kill_minus_nine() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    retain(&mut publisher, Version::V5, "방/5", "남은 말")?;
    retain(&mut publisher, Version::V5, "방/6", "x")?;
    retain(&mut publisher, Version::V5, "방/6", "")?;
    broker.kill();
    broker.start()?;
    let mut late = Client::clean(broker.at(Door::Mqtt), Version::V5, "late")?;
    late.subscribe("방/#", 1)?;
    let kept = late.take()?;
    ensure!(
        (kept.topic.as_str(), kept.text().as_str(), kept.retain) == ("방/5", "남은 말", true),
        "{kept:?}"
    );
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    publisher.publish("방/7", b"end", 1)?;
    ensure!(late.take()?.text() == "end", "what was taken away came back");
    Ok(())
}

#[test]
fn more_than_the_queue_of_a_session_may_hold_comes_all_the_same() -> Result<()> {
    // 3.3.1.3: all of them, once each, however little may wait; and whoever is slow loses nothing of what is published.
    const MANY: usize = 50_000;
    let broker = Setup::new().config("[limits]\nsession_queue_messages = 1000\n").start()?;
    let mut publisher = Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    retain_many(&mut publisher, MANY)?;
    for (version, qos, lasts) in [(Version::V5, 1, true), (Version::V311, 0, false)] {
        let connect =
            if lasts { Connect::lasting(version, "lasting") } else { Connect::new(version, "transient") };
        let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
        client.subscribe("#", qos)?;
        publisher.publish("live/1", b"live", 1)?;
        let (mut seen, mut live) = (vec![0_u8; MANY], 0);
        for _ in 0..=MANY {
            let message = client.take()?;
            match message.topic.strip_prefix("kept/") {
                Some(number) => *seen.get_mut(number.parse::<usize>()?).context("a number")? += 1,
                None => live += 1,
            }
            ensure!(message.retain == (message.topic != "live/1"), "{message:?}");
        }
        ensure!(live == 1 && seen.iter().all(|count| *count == 1), "{version:?}");
        publisher.publish("live/2", b"end", 1)?;
        ensure!(client.take()?.text() == "end", "{version:?}: one came twice");
    }
    Ok(())
}

#[test]
fn a_stomp_subscription_gets_more_than_its_queue_may_hold() -> Result<()> {
    const MANY: usize = 3_000;
    let broker = Setup::new().config("[limits]\nsession_queue_messages = 100\n").start()?;
    retain_many(&mut Client::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?, MANY)?;
    for ack in ["auto", "client-individual"] {
        let mut client = stomp::Client::new(broker.at(Door::Stomp))?;
        let subscribe = Frame::new("SUBSCRIBE").with("id", "all").with("destination", "/topic/kept.#");
        client.request(subscribe.with("ack", ack).with("retained", "true"))?;
        let mut seen = BTreeSet::new();
        while seen.len() < MANY {
            let message = client.expect("MESSAGE")?;
            ensure!(message.header("retain") == Some("true"), "{message:?}");
            ensure!(seen.insert(message.text()), "twice: {message:?}");
            if ack != "auto" {
                client.settle("ACK", &message)?;
            }
        }
    }
    Ok(())
}

/// One message for each number, at QoS 0 and 1 by turns, as many at a time as the broker allows.
fn retain_many(client: &mut Client, count: usize) -> Result<()> {
    let numbers: Vec<_> = (0..count).collect();
    for some in numbers.chunks(64) {
        let (mut bytes, mut ids) = (Vec::new(), Vec::new());
        for number in some {
            let qos = u8::from(number % 2 == 1);
            let id = if qos > 0 { client.id() } else { 0 };
            ids.extend((qos > 0).then_some(id));
            let message = Publish::new(&format!("kept/{number}"), number.to_string().as_bytes(), qos);
            bytes.extend(publish(Version::V5, &message.with_id(id).retained()));
        }
        client.send(&bytes)?;
        for id in ids {
            client.expect_ack(ack::PUBACK, id)?;
        }
    }
    Ok(())
}

fn retain(client: &mut Client, version: Version, topic: &str, body: &str) -> Result<()> {
    let id = client.id();
    client.send(&publish(version, &Publish::new(topic, body.as_bytes(), 1).with_id(id).retained()))?;
    Ok(client.expect_ack(ack::PUBACK, id)?)
}
