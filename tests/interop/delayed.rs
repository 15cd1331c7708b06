//! Messages that wait for their time: said by either door, refused where they cannot be, seen and taken away while they wait.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup, duetmq_command};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{MESSAGE_EXPIRY, Property, WILL_DELAY, number};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::prometheus::Page;
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::{SOON, until};

#[test]
fn a_message_waits_as_long_as_it_says_by_either_door() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "listener")?;
    mqtt.subscribe("a/+", 2)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("1", "/topic/a.*", "auto")?;

    let start = Instant::now();
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    let send = Frame::new("SEND").with("destination", "/topic/a.b");
    sender.request(send.clone().with("x-delay", "1000").body(b"rabbit"))?;
    sender.request(send.with("AMQ_SCHEDULED_DELAY", "3000").body(b"active"))?;
    for (version, seconds, text) in [(Version::V31, 4, "3.1"), (Version::V311, 5, "3.1.1")] {
        let mut client = Mqtt::clean(broker.at(Door::Mqtt), version, "old")?;
        client.publish(&format!("$delayed/{seconds}/a/b"), text.as_bytes(), 1)?;
    }
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "new")?;
    client.publish("$delayed/6/a/b", b"5.0", 2)?;
    let waits = |ms: &str| Property::Pair("x-delay".into(), ms.into());
    let mine = Property::Pair("mine".into(), "1".into());
    let message = Publish::new("a/b", b"property", 1).with_id(7).with(waits("2000")).with(mine.clone());
    client.send(&publish(Version::V5, &message))?;
    client.expect_ack(ack::PUBACK, 7)?;
    client.publish("$delayed/0/a/b", b"at once", 1)?;

    let expected = ["at once", "rabbit", "property", "active", "3.1", "3.1.1", "5.0"];
    for (seconds, text) in expected.into_iter().enumerate() {
        let (came, told) = (mqtt.take()?, stomp.expect("MESSAGE")?);
        ensure!(start.elapsed() >= Duration::from_secs(seconds as u64), "{text} is early");
        ensure!(came.text() == text && told.text() == text, "{came:?}, {told:?}: not {text}");
        ensure!(
            came.topic == "a/b" && told.header("destination") == Some("/topic/a.b"),
            "{came:?}, {told:?}"
        );
        let said = if text == "property" { vec![mine.clone()] } else { Vec::new() };
        ensure!(came.properties == said, "what it waited goes no further: {came:?}");
        ensure!(told.header("x-delay").is_none(), "{told:?}");
    }
    Ok(())
}

#[test]
fn what_is_due_comes_by_its_time_and_then_in_the_order_in_which_it_was_published() -> Result<()> {
    let broker = Broker::new()?;
    let mut listener = Stomp::new(broker.at(Door::Stomp))?;
    listener.subscribe("1", "/queue/jobs", "auto")?;
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    // Far enough apart for a slow machine to publish all of them before the first is due.
    let start = Instant::now();
    for number in 0..40 {
        let delay_ms = if number % 2 == 0 { "9000" } else { "3000" };
        let send = Frame::new("SEND").with("destination", "/queue/jobs").with("persistent", "true");
        sender.request(send.with("x-delay", delay_ms).body(number.to_string().as_bytes()))?;
    }
    ensure!(start.elapsed() < Duration::from_secs(6), "too slow to say anything");
    for number in (0..40).filter(|number| number % 2 == 1).chain((0..40).filter(|number| number % 2 == 0)) {
        let came = listener.expect("MESSAGE")?.text();
        ensure!(came == number.to_string(), "{came}, not {number}");
    }
    Ok(())
}

#[test]
fn a_delay_that_cannot_be_is_refused() -> Result<()> {
    let broker = Broker::new()?;
    let at = broker.at(Door::Mqtt);
    let topics = ["$delayed/soon/a", "$delayed/-1/a", "$delayed/4294967296/a", "$delayed/5", "$delayed/5/"];
    let nested = ["$delayed/1/$delayed/1/a"];
    for topic in topics.into_iter().chain(nested) {
        let mut client = Mqtt::clean(at, Version::V5, "client")?;
        client.send(&publish(Version::V5, &Publish::new(topic, b"x", 1).with_id(1)))?;
        let packet = client.packet()?;
        ensure!(matches!(packet, Packet::Ack { kind: 4, reason: 0x90, .. }), "{topic}: {packet:?}");
        // Nobody can be told there but by the end of the connection.
        let mut client = Mqtt::clean(at, Version::V311, "client")?;
        client.send(&publish(Version::V311, &Publish::new(topic, b"x", 1).with_id(1)))?;
        ensure!(client.closes(SOON)?, "{topic}");
    }
    for (topic, value) in [("a", "soon"), ("a", "-1"), ("a", "4294967295001"), ("$delayed/1/a", "1")] {
        let mut client = Mqtt::clean(at, Version::V5, "client")?;
        let property = Property::Pair("x-delay".into(), value.into());
        client.send(&publish(Version::V5, &Publish::new(topic, b"x", 1).with_id(1).with(property)))?;
        let packet = client.packet()?;
        ensure!(matches!(packet, Packet::Ack { kind: 4, reason: 0x83, .. }), "{topic} {value}: {packet:?}");
    }
    // What was delayed comes under the topic that it was for.
    let mut client = Mqtt::clean(at, Version::V5, "client")?;
    ensure!(client.subscribe("$delayed/#", 1)? == [0x8f]);
    let dying = |topic: &str, waits: Option<&str>| {
        let mut connect = Connect::new(Version::V5, "dying").will(Publish::new(topic, b"x", 1));
        connect.will_properties =
            waits.map(|ms| Property::Pair("x-delay".into(), ms.into())).into_iter().collect();
        connect
    };
    for (connect, code) in [
        (dying("a", Some("soon")), 0x83),
        (dying("a", Some("4294967295001")), 0x83),
        (dying("$delayed/1/a", Some("1")), 0x83),
        (dying("$delayed/soon/a", None), 0x90),
        (dying("$delayed/1/$delayed/1/a", None), 0x90),
        (dying("$delayed/1/$SYS/a", None), 0x90),
    ] {
        let mut client = Mqtt::dial(at, Version::V5)?;
        client.send(&connect.bytes())?;
        let packet = client.packet()?;
        ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == code), "{packet:?}");
    }
    for (header, value) in [
        ("x-delay", "soon"),
        ("x-delay", "4294967295001"),
        ("AMQ_SCHEDULED_CRON", "0 * * * *"),
        ("AMQ_SCHEDULED_REPEAT", "3"),
    ] {
        let mut client = Stomp::new(broker.at(Door::Stomp))?;
        client.send(&Frame::new("SEND").with("destination", "/topic/a").with(header, value))?;
        let error = client.expect("ERROR")?;
        ensure!(error.text().contains(header), "{error:?}");
    }
    Ok(())
}

#[test]
fn a_will_waits_as_it_says_from_when_it_is_published_by_property_or_topic() -> Result<()> {
    let broker = Broker::new()?;
    let mut listener = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "listener")?;
    listener.subscribe("end/+", 1)?;
    let by_property = |id: &str, ms: &str, delay_s: u32| {
        let will = Publish::new(&format!("end/{id}"), b"x", 1);
        let mut connect = Connect::lasting(Version::V5, id).will(will);
        connect.will_properties = vec![Property::Pair("x-delay".into(), ms.into())];
        if delay_s > 0 {
            connect.will_properties.push(Property::Number(WILL_DELAY, delay_s));
        }
        connect
    };
    let by_topic = |version: Version, id: &str, seconds: u32| {
        let topic = format!("$delayed/{seconds}/end/{id}");
        Connect::new(version, id).will(Publish::new(&topic, b"x", 1))
    };
    let mut clients = Vec::new();
    for connect in [
        by_topic(Version::V5, "topic-5", 4),
        by_topic(Version::V311, "topic-3", 6),
        by_topic(Version::V31, "topic-31", 8),
        by_topic(Version::V5, "at-once", 0),
        by_property("property", "2000", 0),
        by_property("later", "9000", 1),
    ] {
        clients.push(Mqtt::connect(broker.at(Door::Mqtt), &connect)?.0);
    }
    // As long as they are there nothing waits.
    ensure!(waiting(&Admin::owner(&broker))?.is_empty(), "it waits too early");
    let lost = Instant::now();
    drop(clients);
    for (id, seconds) in
        [("at-once", 0), ("property", 2), ("topic-5", 4), ("topic-3", 6), ("topic-31", 8), ("later", 10)]
    {
        let came = listener.take()?;
        ensure!(came.topic == format!("end/{id}"), "{came:?}, not {id}");
        ensure!(lost.elapsed() >= Duration::from_secs(seconds), "{id} is early");
        ensure!(came.properties.is_empty(), "how long it waited goes no further: {came:?}");
    }
    // Who comes back before its will is published has none; once it is published, it waits like any other.
    let (client, _) = Mqtt::connect(broker.at(Door::Mqtt), &by_property("back", "600000", 600))?;
    drop(client);
    Mqtt::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, "back"))?;
    let (client, _) = Mqtt::connect(broker.at(Door::Mqtt), &by_property("gone", "600000", 0))?;
    drop(client);
    let admin = Admin::owner(&broker);
    until("the will to wait", SOON, || waiting(&admin).ok().filter(|all| !all.is_empty()))?;
    Mqtt::connect(broker.at(Door::Mqtt), &Connect::lasting(Version::V5, "gone"))?;
    let keys: Vec<String> = waiting(&admin)?.into_iter().map(|(_, key)| key).collect();
    ensure!(keys == ["end/gone"], "{keys:?}");
    Ok(())
}

#[test]
fn a_will_that_waits_is_held_against_the_rules_when_it_is_due() -> Result<()> {
    let broker = Setup::new().user("kim").user("sam").acl(ALL).start()?;
    let mut listener = login(&broker, "sam", "listener")?;
    listener.subscribe("end/+", 1)?;
    for user in ["kim", "sam"] {
        let will = Publish::new(&format!("$delayed/3/end/{user}"), b"x", 1);
        let connect = Connect::new(Version::V5, &format!("{user}-dying")).will(will);
        let connect = Connect { login: Some((user.to_owned(), user.to_owned())), ..connect };
        drop(Mqtt::connect(broker.at(Door::Mqtt), &connect)?);
    }
    let admin = Admin::owner(&broker);
    until("both to wait", SOON, || waiting(&admin).ok().filter(|all| all.len() == 2))?;
    rewrite(&broker, &format!("[[rule]]\ndeny = [\"publish\"]\nusers = [\"kim\"]\n{ALL}"))?;
    let came = listener.take()?;
    ensure!(came.topic == "end/sam", "{came:?}");
    broker.journal().wait_for(&["WARN", "delayed.refused", "end/kim"], SOON)?;
    Ok(())
}

#[test]
fn as_much_waits_as_the_limits_allow() -> Result<()> {
    for limits in ["delayed_messages = 2", "delayed_bytes = \"8B\""] {
        let broker = Setup::new().config(&format!("[limits]\n{limits}\n")).start()?;
        let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
        // Four bytes each: the key has one.
        for (id, taken) in [(1, true), (2, true), (3, false)] {
            let message = Publish::new("$delayed/600/a", b"123", 1).with_id(id);
            client.send(&publish(Version::V5, &message))?;
            let packet = client.packet()?;
            let Packet::Ack { reason, .. } = packet else { anyhow::bail!("{packet:?}") };
            ensure!(reason == if taken { 0 } else { 0x97 }, "{limits}, {id}: {reason:#04x}");
        }
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.send(
            &Frame::new("SEND").with("destination", "/topic/a").with("x-delay", "600000").body(b"123"),
        )?;
        let error = stomp.expect("ERROR")?;
        ensure!(error.text().contains("delayed"), "{error:?}");
        // What does not wait is taken, and so is another one where one was taken away.
        client.publish("a", b"123", 1)?;
        let admin = Admin::owner(&broker);
        let first = waiting(&admin)?[0].0.clone();
        ensure!(admin.ask("DELETE", &format!("/api/v1/delayed/{first}"), None)?.status == 200);
        client.publish("$delayed/600/a", b"123", 1)?;
    }
    Ok(())
}

#[test]
fn what_waits_is_seen_and_can_be_taken_away() -> Result<()> {
    let broker = Broker::new()?;
    let mut listener = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "listener")?;
    listener.subscribe("a/#", 1)?;
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    for (seconds, topic, qos) in [(500, "a/second", 1), (3, "a/first", 1), (900, "a/third", 0)] {
        client.publish(&format!("$delayed/{seconds}/{topic}"), b"12345", qos)?;
    }
    client.publish("mark", b"", 1)?;
    let admin = Admin::owner(&broker);
    let found = waiting(&admin)?;
    let keys: Vec<&str> = found.iter().map(|(_, key)| key.as_str()).collect();
    ensure!(keys == ["a/first", "a/second", "a/third"], "{found:?}");
    let page = admin.get("/api/v1/delayed?limit=1&key=a/second")?.json()?;
    let one = &page["items"][0];
    ensure!(one["client"] == "client" && one["qos"] == 1 && one["durable"] == true, "{page}");
    ensure!(one["bytes"] == 13 && one["exchange"] == "amq.topic" && one["retain"] == false, "{page}");
    let due_in_ms = one["due_ms"].as_u64().context("no time")?.saturating_sub(now_ms()?);
    ensure!((400_000..=500_001).contains(&due_in_ms), "{due_in_ms}");
    let samples = Page::parse(&Admin::owner(&broker).get("/metrics")?.body)?;
    ensure!(samples.value("duetmq_delayed_messages", &[]) == Some(3.0));
    ensure!(samples.value("duetmq_delayed_bytes", &[]) == Some(37.0));
    ensure!(samples.value("duetmq_messages_delayed_total", &[]) == Some(3.0));

    let run = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let mut command = duetmq_command()?;
        let done = command.args(arguments).arg("-d").arg(broker.data()).output()?;
        Ok((done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned()))
    };
    let (code, table) = run(&["list", "delayed"])?;
    ensure!(code == Some(0) && table.lines().count() == 4 && table.contains("a/third"), "{table}");
    let second = &found[1].0;
    ensure!(run(&["delete", "delayed", second])?.0 == Some(0));
    ensure!(run(&["delete", "delayed", second])?.0 == Some(6));
    ensure!(run(&["delete", "delayed", second, "--idempotently"])?.0 == Some(0));
    ensure!(run(&["delete", "delayed", "nonsense"])?.0 == Some(6));
    ensure!(waiting(&admin)?.len() == 2);
    ensure!(listener.take()?.topic == "a/first");
    until("one is left", SOON, || waiting(&admin).ok().filter(|left| left.len() == 1))?;
    Ok(())
}

#[test]
fn what_a_message_is_worth_counts_from_when_it_is_due() -> Result<()> {
    // As MQTT 5.0, 3.3.2.3.3 counts from when it is published.
    let broker = Broker::new()?;
    let mut listener = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "listener")?;
    listener.subscribe("a", 1)?;
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    let message = Publish::new("$delayed/3/a", b"x", 1).with_id(1);
    let message = message.with(Property::Number(MESSAGE_EXPIRY, 2));
    client.send(&publish(Version::V5, &message))?;
    client.expect_ack(ack::PUBACK, 1)?;
    let came = listener.take()?;
    ensure!(number(&came.properties, MESSAGE_EXPIRY) == Some(2), "{came:?}");
    Ok(())
}

#[test]
fn a_repeated_publish_waits_once() -> Result<()> {
    let broker = Broker::new()?;
    let mut listener = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "listener")?;
    listener.subscribe("a/+", 1)?;
    // By the id of the packet, and by one of its publisher's own.
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "client")?;
    for again in [false, true] {
        let message = Publish { dup: again, ..Publish::new("$delayed/2/a/qos2", b"x", 2).with_id(9) };
        client.send(&publish(Version::V311, &message))?;
        client.expect_ack(ack::PUBREC, 9)?;
    }
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    for _ in 0..2 {
        let send = Frame::new("SEND").with("destination", "/topic/a.id").with("x-delay", "2000");
        stomp.request(send.with("x-dedup-id", "1"))?;
    }
    let mut topics = [listener.take()?.topic, listener.take()?.topic];
    topics.sort_unstable();
    ensure!(topics == ["a/id", "a/qos2"], "{topics:?}");
    let more = listener.next(Duration::from_millis(500))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn in_a_transaction_it_waits_from_its_commit() -> Result<()> {
    let broker = Broker::new()?;
    let mut listener = Stomp::new(broker.at(Door::Stomp))?;
    listener.subscribe("1", "/queue/jobs", "auto")?;
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    for (name, end) in [("given up", "ABORT"), ("done", "COMMIT")] {
        sender.send(&Frame::new("BEGIN").with("transaction", name))?;
        let send = Frame::new("SEND").with("destination", "/queue/jobs").with("x-delay", "1000");
        sender.send(&send.with("transaction", name).body(name.as_bytes()))?;
        std::thread::sleep(Duration::from_millis(1500));
        sender.request(Frame::new(end).with("transaction", name))?;
    }
    let committed = Instant::now();
    ensure!(listener.expect("MESSAGE")?.text() == "done");
    ensure!(committed.elapsed() >= Duration::from_millis(500), "{:?}", committed.elapsed());
    let more = listener.next(Duration::from_millis(500))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

#[test]
fn what_is_to_be_retained_is_from_when_it_is_due() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "client")?;
    client.send(&publish(Version::V311, &Publish::new("$delayed/1/kept", b"x", 1).with_id(1).retained()))?;
    client.expect_ack(ack::PUBACK, 1)?;
    client.subscribe("kept", 1)?;
    let came = client.take()?;
    ensure!(came.topic == "kept" && !came.retain, "it was kept before it was due: {came:?}");
    let mut late = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "late")?;
    late.subscribe("kept", 1)?;
    ensure!(late.take()?.retain);
    Ok(())
}

#[test]
fn what_its_author_may_not_publish_when_it_is_due_is_not_published() -> Result<()> {
    let mut broker = Setup::new().acl(ALL).user("kim").user("sam").start()?;
    // Whoever may not publish there now is told at once.
    rewrite(&broker, &format!("[[rule]]\ndeny = [\"publish\"]\ntopics = [\"no/#\"]\n{ALL}"))?;
    let mut kim = login(&broker, "kim", "kim")?;
    kim.send(&publish(Version::V5, &Publish::new("$delayed/1/no/a", b"x", 1).with_id(9)))?;
    let packet = kim.packet()?;
    ensure!(matches!(packet, Packet::Ack { reason: 0x87, .. }), "{packet:?}");
    // And what he may now and not then is held against the rules of then, over a restart as well.
    kim.publish("$delayed/4/a/kim", b"x", 1)?;
    drop(kim);
    login(&broker, "sam", "sam")?.publish("$delayed/4/a/sam", b"x", 1)?;
    rewrite(&broker, &format!("[[rule]]\ndeny = [\"publish\"]\nusers = [\"kim\"]\n{ALL}"))?;
    broker.kill();
    broker.start()?;
    let mut listener = login(&broker, "sam", "listener")?;
    listener.subscribe("a/+", 1)?;
    let came = listener.take()?;
    ensure!(came.topic == "a/sam", "{came:?}");
    broker.journal().wait_for(&["WARN", "delayed.refused", "a/kim"], SOON)?;
    let more = listener.next(Duration::from_millis(300))?;
    ensure!(more == Next::Silence, "{more:?}");
    let samples = Page::parse(&Admin::owner(&broker).get("/metrics")?.body)?;
    ensure!(samples.value("duetmq_delayed_refused_total", &[]) == Some(1.0));
    Ok(())
}

#[test]
fn a_queue_that_is_full_when_it_is_due_gets_it_when_there_is_room() -> Result<()> {
    let broker = Setup::new().config("[[queue]]\nname = \"jobs\"\nmax_length = 1\n").start()?;
    let mut client = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    client.publish("$queue/jobs", b"first", 1)?;
    client.publish("$delayed/1/$queue/jobs", b"second", 1)?;
    std::thread::sleep(Duration::from_millis(2500));
    let mut worker = Stomp::new(broker.at(Door::Stomp))?;
    worker.send(
        &Frame::new("SUBSCRIBE").with("id", "1").with("destination", "/amq/queue/jobs").with("ack", "auto"),
    )?;
    for text in ["first", "second"] {
        ensure!(worker.expect("MESSAGE")?.text() == text);
    }
    Ok(())
}

/// A user whose password is his name.
fn login(broker: &Broker, user: &str, id: &str) -> Result<Mqtt> {
    let login = Some((user.to_owned(), user.to_owned()));
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &Connect { login, ..Connect::new(Version::V5, id) })?.0)
}

/// The ids and the keys of what waits.
fn waiting(admin: &Admin) -> Result<Vec<(String, String)>> {
    let page = admin.get("/api/v1/delayed")?.json()?;
    let items = page["items"].as_array().context("no items")?;
    let text = |item: &serde_json::Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    Ok(items.iter().map(|item| (text(item, "id"), text(item, "key"))).collect())
}

fn now_ms() -> Result<u64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())?)
}

/// Other rules, and the broker has read them.
fn rewrite(broker: &Broker, text: &str) -> Result<()> {
    let read = || broker.journal().lines_with(&["rules.read"]).len();
    let before = read();
    let new = broker.acl().with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, broker.acl())?;
    until("the rules are read", SOON, || (read() > before).then_some(()))
}

const ALL: &str =
    "[[rule]]\nallow = [\"connect\", \"publish\", \"retain\", \"subscribe\", \"consume\", \"configure\"]\n";
