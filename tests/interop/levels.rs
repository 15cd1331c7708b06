//! Levels of durability: what an acknowledged message outlives, by whichever way that was asked for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish, subscribe};
use harness::socket::Next;
use harness::stomp::{Client, Frame};
use harness::wait::{SOON, until};

use crate::acl::OPEN;

#[test]
fn what_is_acknowledged_below_disk_outlives_kill_minus_nine_if_it_is_os_and_is_never_written_if_it_is_memory()
-> Result<()> {
    let mut broker = Setup::new().config(CONFIG).start()?;
    let at = broker.at(Door::Stomp);
    for (queue, level) in [("said", "os"), ("also-said", "memory")] {
        let subscribe =
            Frame::new("SUBSCRIBE").with("id", "0").with("destination", &format!("/queue/{queue}"));
        Client::new(at)?.request(subscribe.with("x-durability", level))?;
    }
    let mut client = Client::new(at)?;
    for (queue, body, header) in [
        ("plain", "plain disk", None),
        ("plain", "plain os", Some(("x-durability", "os"))),
        ("plain", "plain memory", Some(("x-durability", "memory"))),
        // Nor does it choose for the queue that it makes.
        ("made", "made by memory", Some(("x-durability", "memory"))),
        ("made", "made disk", None),
        ("os", "queue os", None),
        // A message lowers, and never raises.
        ("os", "queue os that asks for disk", Some(("x-durability", "disk"))),
        ("os", "queue os memory", Some(("x-durability", "memory"))),
        ("memory", "queue memory", None),
        ("memory", "queue memory that asks for disk", Some(("x-durability", "disk"))),
        ("said", "said os", None),
        ("also-said", "said memory", None),
        // By the rules, of which the more specific one holds.
        ("rule.os", "rule os", None),
        ("rule.memory", "rule memory", None),
    ] {
        let send = send(&format!("/queue/{queue}"), body);
        client.request(match header {
            Some((name, value)) => send.with(name, value),
            None => send,
        })?;
    }
    broker.kill();
    let lacks = |body: &str| Ok::<_, anyhow::Error>(!is_written(&broker.data(), body.as_bytes())?);
    for body in
        ["plain memory", "made by memory", "queue os memory", "queue memory", "said memory", "rule memory"]
    {
        ensure!(lacks(body)?, "{body} is in the data directory");
    }
    broker.start()?;
    for (queue, expected) in [
        ("plain", &["plain disk", "plain os"][..]),
        ("made", &["made disk"]),
        ("os", &["queue os", "queue os that asks for disk"]),
        ("memory", &[]),
        ("said", &["said os"]),
        ("also-said", &[]),
        ("rule.os", &["rule os"]),
        ("rule.memory", &[]),
    ] {
        let found = drain(&broker, &format!("/queue/{queue}"))?;
        ensure!(found == expected, "{queue}: {found:?}");
    }
    Ok(())
}

#[test]
fn a_message_that_goes_to_several_places_outlives_in_each_what_that_one_says() -> Result<()> {
    let mut broker = Setup::new().config(CONFIG).start()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    for body in ["one", "two"] {
        client.request(send("/topic/all.x", body))?;
    }
    // And a transaction with both.
    client.send(&Frame::new("BEGIN").with("transaction", "t"))?;
    for (queue, body) in [("memory", "three"), ("os", "three"), ("plain", "three")] {
        client.send(&send(&format!("/queue/{queue}"), body).with("transaction", "t"))?;
    }
    client.request(Frame::new("COMMIT").with("transaction", "t"))?;
    broker.kill();
    broker.start()?;
    for (queue, expected) in
        [("plain", &["one", "two", "three"][..]), ("os", &["one", "two", "three"]), ("memory", &[])]
    {
        let found = drain(&broker, &format!("/queue/{queue}"))?;
        ensure!(found == expected, "{queue}: {found:?}");
    }
    Ok(())
}

#[test]
fn messages_of_memory_do_not_outlive_an_orderly_stop_either_and_what_else_there_is_does() -> Result<()> {
    let mut broker = Setup::new().config("[durability]\nlevel = \"memory\"\n").start()?;
    let connect = Connect::lasting(Version::V5, "lasting");
    let (mut lasting, _) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    lasting.subscribe("a/+", 1)?;
    drop(lasting);
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "publisher")?;
    publisher.publish("a/b", b"gone with the process", 1)?;
    publisher.publish("a/b", b"so is this", 2)?;
    let (mut lasting, connack) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    ensure!(connack.session_present, "{connack:?}");
    for expected in ["gone with the process", "so is this"] {
        let came = lasting.publication()?;
        ensure!(came.text() == expected, "{came:?}");
    }
    drop(lasting);
    ensure!(broker.stop()?.success());
    ensure!(!is_written(&broker.data(), b"gone with the process")?, "it was written");
    broker.start()?;
    let (mut lasting, connack) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    ensure!(connack.session_present, "{connack:?}");
    // The session lasts, and its subscription.
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "publisher")?;
    publisher.publish("a/b", b"new", 1)?;
    let came = lasting.take()?;
    ensure!(came.text() == "new", "{came:?}");
    Ok(())
}

#[test]
fn a_subscription_may_ask_for_less_and_at_qos_2_it_gets_disk_all_the_same() -> Result<()> {
    let mut broker = Broker::new()?;
    let connect = Connect::lasting(Version::V5, "lasting");
    let (mut lasting, _) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    for (id, filter, qos, level) in [
        (1, "disk/+", 1, "disk"),
        (2, "os/+", 1, "os"),
        (3, "memory/+", 1, "memory"),
        (4, "exactly/+", 2, "memory"),
        // Two that match: the stricter one.
        (5, "both/+", 1, "memory"),
        (6, "both/#", 1, "os"),
    ] {
        lasting.send(&subscribe(Version::V5, id, &[(filter, qos)], &[level_of(level)]))?;
        let packet = lasting.packet()?;
        ensure!(matches!(&packet, Packet::Suback { codes, .. } if codes == &[qos]), "{packet:?}");
    }
    drop(lasting);
    broker.kill();
    broker.start()?;
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for topic in ["disk/1", "os/1", "memory/1", "exactly/1", "both/1"] {
        publisher.publish(topic, topic.as_bytes(), 2)?;
    }
    broker.kill();
    ensure!(!is_written(&broker.data(), b"memory/1")?, "it was written");
    broker.start()?;
    let (mut lasting, connack) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    ensure!(connack.session_present, "{connack:?}");
    for topic in ["disk/1", "os/1", "exactly/1", "both/1"] {
        let came = lasting.take()?;
        ensure!(came.topic == topic, "{topic}: {came:?}");
    }
    let more = lasting.next(QUIET)?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn an_id_outlives_what_its_message_outlives() -> Result<()> {
    // Were the id known and the message lost, what is sent again would be swallowed.
    let mut broker = Setup::new().config(CONFIG).start()?;
    let connect = Connect::lasting(Version::V5, "publisher");
    let (mut publisher, _) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    let qos_2 = |queue: &str, id| Publish::new(&format!("$queue/{queue}"), b"qos 2", 2).with_id(id);
    for (queue, id) in [("memory", 7), ("os", 8)] {
        publisher.send(&publish(Version::V5, &qos_2(queue, id)))?;
        publisher.expect_ack(ack::PUBREC, id)?;
        let named = send(&format!("/queue/{queue}"), "named").with("x-dedup-id", queue);
        Client::new(broker.at(Door::Stomp))?.request(named)?;
    }
    broker.kill();
    broker.start()?;
    let (mut publisher, _) = Mqtt::connect(broker.at(Door::Mqtt), &connect)?;
    for (queue, id) in [("memory", 7), ("os", 8)] {
        publisher.send(&publish(Version::V5, &Publish { dup: true, ..qos_2(queue, id) }))?;
        publisher.expect_ack(ack::PUBREC, id)?;
        publisher.send(&ack::bytes(ack::PUBREL, id))?;
        publisher.expect_ack(ack::PUBCOMP, id)?;
        let named = send(&format!("/queue/{queue}"), "named").with("x-dedup-id", queue);
        Client::new(broker.at(Door::Stomp))?.request(named)?;
        let found = drain(&broker, &format!("/queue/{queue}"))?;
        ensure!(found.len() == 2 && found.iter().any(|body| body == "named"), "{queue}: {found:?}");
    }
    Ok(())
}

#[test]
fn what_is_retained_is_written_whatever_its_level() -> Result<()> {
    // Or the one before it, which was written, would be there again.
    let mut broker = Broker::new()?;
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for (id, level, body) in [(1, "disk", "old"), (2, "memory", "new")] {
        let kept = Publish::new("kept", body.as_bytes(), 1).with_id(id).retained().with(level_of(level));
        publisher.send(&publish(Version::V5, &kept))?;
        publisher.expect_ack(ack::PUBACK, id)?;
    }
    broker.kill();
    broker.start()?;
    let mut late = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "late")?;
    late.subscribe("kept", 1)?;
    let came = late.take()?;
    ensure!(came.text() == "new" && came.retain, "{came:?}");
    Ok(())
}

#[test]
fn a_level_that_is_none_is_refused_by_name() -> Result<()> {
    let broker = Broker::new()?;
    for frame in [
        send("/queue/q", "x").with("x-durability", "tape"),
        send("/topic/a", "x").with("x-durability", "tape"),
        Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/topic/a").with("x-durability", "tape"),
        Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/q").with("x-durability", "tape"),
    ] {
        let mut client = Client::new(broker.at(Door::Stomp))?;
        client.send(&frame)?;
        let error = client.expect("ERROR")?;
        ensure!(error.text().contains("x-durability"), "{frame:?}: {error:?} {}", error.text());
    }
    let mut connect = Connect::new(Version::V5, "will").will(Publish::new("a", b"x", 1));
    connect.will_properties = vec![level_of("tape")];
    let mut client = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
    client.send(&connect.bytes())?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == 0x83), "{packet:?}");
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    client.send(&subscribe(Version::V5, 1, &[("a", 1)], &[level_of("tape")]))?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Suback { codes, .. } if codes == &[0x83]), "{packet:?}");
    let message = Publish::new("a", b"x", 1).with_id(2).with(level_of("tape"));
    client.send(&publish(Version::V5, &message))?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Ack { kind: ack::PUBACK, reason: 0x83, .. }), "{packet:?}");
    let answer = Admin::owner(&broker).ask(
        "PUT",
        "/api/queues/%2F/q",
        Some(&serde_json::json!({ "arguments": { "x-durability": "tape" } })),
    )?;
    ensure!(answer.status == 400 && answer.reason().contains("disk, os or memory"), "{}", answer.reason());
    Ok(())
}

#[test]
fn a_header_or_user_property_durability_is_an_applications_own_and_passes_as_any_other() -> Result<()> {
    let broker = Broker::new()?;
    let own = || Property::Pair("durability".into(), "waterproof".into());
    let mut reader = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "reader")?;
    reader.send(&subscribe(Version::V5, 1, &[("boots/#", 1)], &[own()]))?;
    let packet = reader.packet()?;
    ensure!(matches!(&packet, Packet::Suback { codes, .. } if codes == &[1]), "{packet:?}");
    let mut stomp = Client::new(broker.at(Door::Stomp))?;
    let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/topic/boots.#");
    stomp.request(subscribe.with("durability", "waterproof"))?;
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    let message = Publish::new("boots/mqtt", b"mqtt", 1).with_id(1).with(own());
    publisher.send(&publish(Version::V5, &message))?;
    publisher.expect_ack(ack::PUBACK, 1)?;
    stomp.request(send("/topic/boots.stomp", "stomp").with("durability", "waterproof"))?;
    let will = Publish::new("boots/will", b"will", 1);
    let mut connect = Connect::new(Version::V5, "leaves without a word").will(will);
    connect.will_properties = vec![own()];
    drop(Mqtt::connect(broker.at(Door::Mqtt), &connect)?);
    for body in ["mqtt", "stomp", "will"] {
        let came = reader.take()?;
        ensure!(came.text() == body && came.properties.contains(&own()), "{came:?}");
        let came = stomp.expect("MESSAGE")?;
        ensure!(came.text() == body && came.header("durability") == Some("waterproof"), "{came:?}");
    }
    Ok(())
}

#[test]
fn the_level_is_seen_wherever_one_looks() -> Result<()> {
    let broker = Setup::new().acl(OPEN).config(&format!("[durability]\nlevel = \"os\"\n{CONFIG}")).start()?;
    let admin = Admin::owner(&broker);
    for (queue, level, declared) in
        [("plain", "os", None), ("os", "os", Some("os")), ("memory", "memory", Some("memory"))]
    {
        let view = admin.get(&format!("/api/queues/%2F/{queue}"))?.json()?;
        ensure!(view.get("durability").and_then(|it| it.as_str()) == Some(level), "{view}");
        let argument = view.pointer("/arguments/x-durability").and_then(|it| it.as_str());
        ensure!(argument == declared, "{view}");
    }
    let told = admin.get("/api/v1/explain/pub?protocol=mqtt&destination=all/x")?.json()?;
    let queues = told.get("queues").and_then(|it| it.as_array()).context("no queues")?;
    let mut levels: Vec<_> = queues
        .iter()
        .filter_map(|one| Some((one.get("queue")?.as_str()?, one.get("durability")?.as_str()?)))
        .collect();
    levels.sort_unstable();
    ensure!(levels == [("memory", "memory"), ("os", "os"), ("plain", "os")], "{levels:?}");
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    client.subscribe("$SYS/broker/durability", 0)?;
    let said = until("what the broker says of itself", SOON, || client.publication().ok())?;
    ensure!(said.text() == "os", "{said:?}");
    Ok(())
}

fn send(destination: &str, body: &str) -> Frame {
    Frame::new("SEND").with("destination", destination).with("persistent", "true").body(body.as_bytes())
}

fn level_of(level: &str) -> Property {
    Property::Pair("x-durability".into(), level.into())
}

/// All that waits there.
fn drain(broker: &Broker, destination: &str) -> Result<Vec<String>> {
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("drain", destination, "auto")?;
    let mut found = Vec::new();
    while let Next::Some(frame) = client.next(QUIET)? {
        found.push(frame.text());
    }
    Ok(found)
}

/// Whether these bytes are in any file below that folder.
fn is_written(folder: &Path, bytes: &[u8]) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            is_written(&path, bytes)?
        } else if path.is_file() {
            // Journal files are filled with zeros before they are used.
            let content = fs::read(&path)?;
            let used: Vec<u8> =
                content.chunks(ZEROS.len()).filter(|part| *part != ZEROS).flatten().copied().collect();
            used.windows(bytes.len()).any(|part| part == bytes)
        } else {
            false
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

const ZEROS: [u8; 4096] = [0; 4096];

const QUIET: Duration = Duration::from_millis(400);

const CONFIG: &str = r##"
[[queue]]
name = "plain"

[[queue]]
name = "os"
durability = "os"

[[queue]]
name = "memory"
durability = "memory"

[[binding]]
exchange = "amq.topic"
key = "all.#"
queue = "plain"

[[binding]]
exchange = "amq.topic"
key = "all.#"
queue = "os"

[[binding]]
exchange = "amq.topic"
key = "all.#"
queue = "memory"

[[durability.rule]]
pattern = "$queue/rule.os"
level = "os"

[[durability.rule]]
pattern = "$queue/rule.memory"
level = "memory"
"##;
