//! Retained messages: the last of a topic, for whoever comes later.

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Publish;
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};

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

fn retain(client: &mut Client, version: Version, topic: &str, body: &str) -> Result<()> {
    let id = client.id();
    client.send(&publish(version, &Publish::new(topic, body.as_bytes(), 1).with_id(id).retained()))?;
    Ok(client.expect_ack(ack::PUBACK, id)?)
}
