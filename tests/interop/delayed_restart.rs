//! Messages that wait for their time, over the end of the broker: killed, or stopped as it should be.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{MESSAGE_EXPIRY, Property};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn what_is_due_while_the_broker_is_down_comes_at_once_in_its_order_and_none_comes_twice() -> Result<()> {
    for is_killed in [true, false] {
        let mut broker = Broker::new()?;
        drop(away(&broker)?);
        let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        let published = Instant::now();
        // At QoS 0 nothing was promised.
        publisher.publish("$delayed/3/a/qos0", b"x", 0)?;
        for number in 0..20 {
            let topic = format!("a/{number:02}");
            let (seconds, qos) = if number < 10 { (4, 1) } else { (20, 2) };
            publisher.publish(&format!("$delayed/{seconds}/{topic}"), topic.as_bytes(), qos)?;
        }
        let send = Frame::new("SEND").with("destination", "/topic/a.stomp").with("persistent", "true");
        stomp.request(send.with("x-delay", "4000").body(b"a/stomp"))?;
        ensure!(published.elapsed() < Duration::from_secs(3), "too slow to say anything");
        if is_killed {
            broker.kill();
        } else {
            ensure!(broker.stop()?.success());
        }
        sleep(Duration::from_secs(5).saturating_sub(published.elapsed()));
        broker.start()?;
        let mut listener = away(&broker)?;
        for number in 0..10 {
            let came = listener.take()?;
            ensure!(came.topic == format!("a/{number:02}"), "{came:?}, not {number}");
        }
        let came = listener.take()?;
        ensure!(came.topic == "a/stomp", "{came:?}");
        ensure!(published.elapsed() < Duration::from_secs(20), "too slow to say anything");
        // What was acknowledged is on disk before the answer to whatever is asked then.
        listener.subscribe("and/then", 1)?;
        broker.kill();
        broker.start()?;
        let mut listener = away(&broker)?;
        sleep(Duration::from_secs(18).saturating_sub(published.elapsed()));
        for number in 10..20 {
            let came = listener.take()?;
            ensure!(came.topic == format!("a/{number:02}"), "{came:?}, not {number}");
            ensure!(published.elapsed() >= Duration::from_secs(20), "{number} is early");
        }
        let more = listener.next(Duration::from_millis(500))?;
        ensure!(more == Next::Silence, "{more:?}");
    }
    Ok(())
}

#[test]
fn a_broker_that_is_killed_while_messages_become_due_loses_none_and_doubles_none() -> Result<()> {
    let mut broker = Broker::new()?;
    drop(away(&broker)?);
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for number in 0..COUNT {
        // One becomes due every few milliseconds, from soon until long after the last kill.
        let delay = Property::Pair("x-delay".into(), (1500 + number * 10).to_string());
        let topic = format!("a/{number}");
        let message = Publish::new(&topic, b"x", 2).with_id(1).with(delay);
        publisher.send(&publish(Version::V5, &message))?;
        publisher.expect_ack(ack::PUBREC, 1)?;
        publisher.send(&ack::bytes(ack::PUBREL, 1))?;
        publisher.expect_ack(ack::PUBCOMP, 1)?;
    }
    drop(publisher);
    for _ in 0..5 {
        sleep(Duration::from_millis(700));
        broker.kill();
        broker.start()?;
    }
    // Nobody has taken any of them until now.
    let mut listener = away(&broker)?;
    let mut came: BTreeMap<String, usize> = BTreeMap::new();
    while came.values().sum::<usize>() < usize::try_from(COUNT)? {
        *came.entry(listener.take()?.topic).or_default() += 1;
    }
    let twice: Vec<_> = came.iter().filter(|(_, count)| **count != 1).collect();
    ensure!(twice.is_empty() && came.len() == usize::try_from(COUNT)?, "{twice:?} of {}", came.len());
    let more = listener.next(Duration::from_millis(500))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn what_has_waited_and_expired_while_the_broker_was_down_does_not_come() -> Result<()> {
    let mut broker = Broker::new()?;
    drop(away(&broker)?);
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for (id, topic, expiry_s) in [(1, "a/short", 1), (2, "a/long", 600)] {
        let message = Publish::new(&format!("$delayed/1/{topic}"), b"x", 1).with_id(id);
        let message = message.with(Property::Number(MESSAGE_EXPIRY, expiry_s));
        publisher.send(&publish(Version::V5, &message))?;
        publisher.expect_ack(ack::PUBACK, id)?;
    }
    broker.kill();
    sleep(Duration::from_secs(3));
    broker.start()?;
    let mut listener = away(&broker)?;
    let came = listener.take()?;
    ensure!(came.topic == "a/long", "{came:?}");
    let more = listener.next(Duration::from_millis(300))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn a_will_that_waits_comes_once_after_a_kill_whether_it_was_published_before_or_is_then() -> Result<()> {
    let mut broker = Broker::new()?;
    drop(away(&broker)?);
    let dying = |broker: &Broker, id: &str| -> Result<Mqtt> {
        let will = Publish::new("a/x", id.as_bytes(), 1);
        let mut connect = Connect::lasting(Version::V5, id).will(will);
        connect.will_properties = vec![Property::Pair("x-delay".into(), "5000".into())];
        Ok(Mqtt::connect(broker.at(Door::Mqtt), &connect)?.0)
    };
    let lost = Instant::now();
    drop(dying(&broker, "lost")?);
    let admin = harness::admin::Admin::owner(&broker);
    harness::wait::until("the will to wait", harness::wait::SOON, || {
        let page = admin.get("/api/v1/delayed").ok()?.json().ok()?;
        (page["items"].as_array()?.len() == 1 && page["items"][0]["durable"] == true).then_some(())
    })?;
    // The other one is in when the broker dies, and lost with it.
    let _there = dying(&broker, "there")?;
    broker.kill();
    let killed = Instant::now();
    broker.start()?;
    let mut listener = away(&broker)?;
    for (id, since) in [("lost", lost), ("there", killed)] {
        let came = listener.take()?;
        ensure!(came.text() == id && since.elapsed() >= Duration::from_secs(5), "{came:?}, not {id}");
    }
    // And that they came is known after another death.
    listener.subscribe("and/then", 1)?;
    broker.kill();
    broker.start()?;
    let mut listener = away(&broker)?;
    let more = listener.next(Duration::from_millis(500))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn a_message_that_was_taken_away_stays_away() -> Result<()> {
    let mut broker = Broker::new()?;
    drop(away(&broker)?);
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "publisher")?;
    publisher.publish("$delayed/2/a/first", b"x", 1)?;
    publisher.publish("$delayed/2/a/second", b"x", 1)?;
    let admin = harness::admin::Admin::owner(&broker);
    let page = admin.get("/api/v1/delayed?limit=1")?.json()?;
    let id = page["items"][0]["id"].as_str().unwrap_or_default().to_owned();
    ensure!(admin.ask("DELETE", &format!("/api/v1/delayed/{id}"), None)?.status == 200);
    broker.kill();
    broker.start()?;
    let mut listener = away(&broker)?;
    let came = listener.take()?;
    ensure!(came.topic == "a/second", "{came:?}");
    Ok(())
}

#[test]
fn what_lasts_less_than_the_broker_says_so_by_not_coming_back() -> Result<()> {
    // A level below the disk holds for what waits as for what is in a queue.
    let config = "[durability]\nlevel = \"memory\"\n";
    let mut broker = Setup::new().config(config).start()?;
    drop(away(&broker)?);
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    publisher.publish("$delayed/2/a/x", b"x", 1)?;
    broker.kill();
    broker.start()?;
    let page = harness::admin::Admin::owner(&broker).get("/api/v1/delayed")?.json()?;
    ensure!(page["items"].as_array().is_some_and(Vec::is_empty), "{page}");
    Ok(())
}

/// A client with a session that outlives the broker, subscribed to `a/+`.
fn away(broker: &Broker) -> Result<Mqtt> {
    let (mut client, connack) =
        Mqtt::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, "listener"))?;
    if !connack.session_present {
        client.subscribe("a/+", 2)?;
    }
    Ok(client)
}

const COUNT: u64 = 300;
