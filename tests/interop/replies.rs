//! Requests and replies: temporary queues of STOMP, Response Topics of MQTT 5.0, in all four directions.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{CORRELATION_DATA, Property, RESPONSE_TOPIC, text};
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::script::python;
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::SOON;

use crate::adapter::{Adapter, bytes, hex};

const QUIET: Duration = Duration::from_millis(300);

#[test]
fn stomp_asks_and_stomp_answers() -> Result<()> {
    let broker = Broker::new()?;
    let mut responder = Stomp::new(broker.at(Door::Stomp))?;
    responder.subscribe("0", "/queue/work", "auto")?;
    for version in ["1.0", "1.1", "1.2"] {
        let (mut requester, _) = Stomp::connect(broker.at(Door::Stomp), version)?;
        let mut addresses = Vec::new();
        for id in ["c-1", "c-2"] {
            requester.request(ask("/temp-queue/answers", id))?;
            let request = responder.expect("MESSAGE")?;
            let address = request.header("reply-to").context("no reply-to")?.to_owned();
            ensure!(address.starts_with("/reply-queue/amq.gen-"), "{address}");
            ensure!(request.header("correlation-id") == Some(id), "{request:?}");
            responder.request(send(&address).with("correlation-id", id).body(b"answer"))?;
            let reply = requester.expect("MESSAGE")?;
            for (name, value) in [
                ("subscription", "/temp-queue/answers"),
                ("destination", &address),
                ("correlation-id", id),
                ("redelivered", "false"),
            ] {
                ensure!(reply.header(name) == Some(value), "{version}, {name}: {reply:?}");
            }
            ensure!(reply.text() == "answer" && reply.header("ack").is_none(), "{reply:?}");
            addresses.push(address);
        }
        ensure!(addresses[0] == addresses[1], "the same name is the same queue: {addresses:?}");
    }
    Ok(())
}

#[test]
fn stomp_asks_and_mqtt_answers() -> Result<()> {
    let broker = Broker::new()?;
    let mut responder = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "responder")?;
    responder.subscribe("work", 1)?;
    let mut requester = Stomp::new(broker.at(Door::Stomp))?;
    for qos in [0, 1, 2] {
        requester.request(
            send("/topic/work").with("reply-to", "/temp-queue/a").with("correlation-id", "c").body(b"?"),
        )?;
        let request = responder.take()?;
        let topic = text(&request.properties, RESPONSE_TOPIC).context("no Response Topic")?.to_owned();
        ensure!(topic.starts_with("$queue/amq.gen-"), "{topic}");
        let correlation = Property::Binary(CORRELATION_DATA, b"c".to_vec());
        ensure!(request.properties.contains(&correlation), "{request:?}");
        let reply = Publish::new(&topic, b"answer", qos).with(correlation);
        match qos {
            0 => responder.send(&publish(Version::V5, &reply))?,
            1 => say(&mut responder, reply)?,
            // Whatever the client repeats, it is one reply.
            _ => responder.publish(&topic, b"answer", 2)?,
        }
        let reply = requester.expect("MESSAGE")?;
        ensure!(
            reply.text() == "answer" && reply.header("subscription") == Some("/temp-queue/a"),
            "{reply:?}"
        );
        if qos < 2 {
            ensure!(reply.header("correlation-id") == Some("c"), "{reply:?}");
        }
    }
    // A client of MQTT 3.1.1 that was told the topic in another way can answer as well.
    let mut old = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "old")?;
    requester.request(send("/topic/work").with("reply-to", "/temp-queue/a").body(b"?"))?;
    let request = responder.take()?;
    old.publish(text(&request.properties, RESPONSE_TOPIC).context("no Response Topic")?, b"old", 1)?;
    ensure!(requester.expect("MESSAGE")?.text() == "old", "3.1.1");
    Ok(())
}

#[test]
fn mqtt_asks_and_stomp_answers_whatever_bytes_tell_the_replies_apart() -> Result<()> {
    let broker = Broker::new()?;
    let mut responder = Stomp::new(broker.at(Door::Stomp))?;
    responder.subscribe("0", "/topic/work", "auto")?;
    let mut requester = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "requester")?;
    requester.subscribe("a/b", 1)?;
    for data in [&b"c-7"[..], b"\xff\x00\xfe", b"hex:00", "번호:\n5".as_bytes()] {
        let correlation = Property::Binary(CORRELATION_DATA, data.to_vec());
        let request = Publish::new("work", b"?", 1).with(Property::Text(RESPONSE_TOPIC, "a/b".to_owned()));
        say(&mut requester, request.with(correlation.clone()))?;
        let request = responder.expect("MESSAGE")?;
        ensure!(request.header("reply-to") == Some("/topic/a.b"), "{request:?}");
        let id = request.header("correlation-id").context("no correlation-id")?;
        responder.request(send("/topic/a.b").with("correlation-id", id).body(b"answer"))?;
        let reply = requester.take()?;
        ensure!(reply.topic == "a/b" && reply.text() == "answer", "{reply:?}");
        ensure!(reply.properties.contains(&correlation), "{data:?}: {reply:?}");
    }
    Ok(())
}

#[test]
fn mqtt_asks_and_mqtt_answers() -> Result<()> {
    let broker = Broker::new()?;
    let mut responder = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "responder")?;
    responder.subscribe("work", 1)?;
    let mut requester = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "requester")?;
    requester.subscribe("a/b", 1)?;
    let correlation = Property::Binary(CORRELATION_DATA, b"\x00\xff".to_vec());
    let request = Publish::new("work", b"?", 1).with(Property::Text(RESPONSE_TOPIC, "a/b".to_owned()));
    say(&mut requester, request.with(correlation.clone()))?;
    let request = responder.take()?;
    let topic = text(&request.properties, RESPONSE_TOPIC).context("no Response Topic")?.to_owned();
    ensure!(request.properties.contains(&correlation), "{request:?}");
    say(&mut responder, Publish::new(&topic, b"answer", 1).with(correlation.clone()))?;
    let reply = requester.take()?;
    ensure!(reply.text() == "answer" && reply.properties.contains(&correlation), "{reply:?}");
    Ok(())
}

#[test]
fn clients_that_others_wrote_ask_and_answer_across_the_doors() -> Result<()> {
    let broker = Broker::new()?;
    let mut requester = program("stomp.py", "stomp_client.py", "1.2", broker.at(Door::Stomp).port())?;
    requester.ask("connect 0 stays", "connected")?;
    let mut paho = program("paho", "paho_client.py", "5.0", broker.at(Door::Mqtt).port())?;
    paho.ask("connect paho fresh", "connected")?;
    paho.ask("subscribe work 1", "subscribed")?;
    let asked = format!("send /topic/work {} - reply-to:/temp-queue/answers correlation-id:c-9", hex(b"?"));
    requester.ask(&asked, "sent")?;
    let request = paho.message()?;
    let topic = request["response_topic"].as_str().context("no Response Topic")?;
    let correlation = request["correlation"].as_str().context("no Correlation Data")?;
    ensure!(bytes(correlation)? == b"c-9", "{request}");
    for qos in [0, 1] {
        // Paho answers, with correlation data that are told back.
        paho.ask(&format!("publish {topic} {} {qos} 0 {topic} {correlation}", hex(b"answer")), "published")?;
        let reply = requester.message()?;
        let headers = &reply["headers"];
        ensure!(headers["subscription"] == "/temp-queue/answers", "{reply}");
        ensure!(headers["correlation-id"] == "c-9", "{reply}");
        ensure!(bytes(reply["payload"].as_str().unwrap_or_default())? == b"answer", "{reply}");
    }
    // The other way round: paho asks, stomp.py answers.
    paho.ask("subscribe a/b 1", "subscribed")?;
    requester.ask("subscribe work /topic/jobs auto", "subscribed")?;
    let correlation = hex(b"\xff\x00");
    paho.ask(&format!("publish jobs {} 1 0 a/b {correlation}", hex(b"?")), "published")?;
    let request = requester.message()?;
    let to = request["headers"]["reply-to"].as_str().context("no reply-to")?;
    ensure!(to == "/topic/a.b", "{request}");
    let id = request["headers"]["correlation-id"].as_str().context("no correlation-id")?;
    requester.ask(&format!("send {to} {} - correlation-id:{id}", hex(b"done")), "sent")?;
    let reply = paho.message()?;
    ensure!(reply["topic"] == "a/b" && reply["correlation"] == correlation.as_str(), "{reply}");
    Ok(())
}

#[test]
fn a_temporary_queue_goes_with_its_connection_and_a_late_reply_goes_nowhere() -> Result<()> {
    let broker = Broker::new()?;
    let mut responder = Stomp::new(broker.at(Door::Stomp))?;
    responder.subscribe("0", "/queue/work", "auto")?;
    for leaves in [true, false] {
        let mut requester = Stomp::new(broker.at(Door::Stomp))?;
        requester.request(ask("/temp-queue/answers", "c"))?;
        let address = address_of(&responder.expect("MESSAGE")?)?;
        if leaves {
            requester.request(Frame::new("DISCONNECT"))?;
        }
        drop(requester);
        let end = Instant::now() + SOON;
        loop {
            let mut other = Stomp::new(broker.at(Door::Stomp))?;
            other.send(&subscribe(&address))?;
            let error = other.expect("ERROR")?;
            if error.header("error-code") == Some("not_found") {
                break;
            }
            ensure!(Instant::now() < end, "it stays: {error:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        // The responder is not to blame: it goes on.
        responder.request(send(&address).body(b"late"))?;
    }
    Ok(())
}

#[test]
fn nobody_but_its_connection_reads_a_reply_queue_binds_it_or_takes_its_name() -> Result<()> {
    let broker = Broker::new()?;
    let mut responder = Stomp::new(broker.at(Door::Stomp))?;
    responder.subscribe("0", "/queue/work", "auto")?;
    let mut requester = Stomp::new(broker.at(Door::Stomp))?;
    requester.request(ask("/temp-queue/answers", "c"))?;
    let address = address_of(&responder.expect("MESSAGE")?)?;
    let name = address.trim_start_matches("/reply-queue/").to_owned();
    for frame in [
        subscribe(&address),
        subscribe(&format!("/queue/{name}")),
        subscribe(&format!("/amq/queue/{name}")),
        subscribe(&name),
        subscribe(&format!("/queue/{name}")).with("exclusive", "true"),
        subscribe("/topic/spam").with("x-queue-name", &name),
        subscribe("/topic/spam").with("x-queue-name", &name).with("durable", "true"),
        subscribe("/exchange/amq.fanout").with("x-queue-name", &name),
    ] {
        let mut thief = Stomp::new(broker.at(Door::Stomp))?;
        thief.send(&frame)?;
        let error = thief.expect("ERROR")?;
        let code = error.header("error-code");
        let is_refused = code == Some("resource_locked") || code == Some("precondition_failed");
        ensure!(is_refused, "{frame:?}: {error:?}");
    }
    let mut thief = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "thief")?;
    let codes = thief.subscribe(&format!("$queue/{name}"), 1)?;
    ensure!(codes.iter().all(|code| *code >= 0x80), "{codes:?}");
    // What was refused has left no binding behind.
    responder.publish("/topic/spam", b"spam")?;
    responder.publish("/exchange/amq.fanout", b"spam")?;
    responder.request(send(&address).body(b"answer"))?;
    ensure!(requester.expect("MESSAGE")?.text() == "answer", "something else came before the answer");
    // The connection itself may read it by that name as well.
    requester.request(Frame::new("SUBSCRIBE").with("id", "mine").with("destination", &address))?;
    requester.request(Frame::new("UNSUBSCRIBE").with("id", "/temp-queue/answers"))?;
    responder.request(send(&address).body(b"more"))?;
    ensure!(requester.expect("MESSAGE")?.header("subscription") == Some("mine"), "it is its own queue");

    // When it is gone, nobody can wait there for what comes late.
    drop(requester);
    let end = Instant::now() + SOON;
    loop {
        let mut thief = Stomp::new(broker.at(Door::Stomp))?;
        thief.send(&subscribe(&format!("/queue/{name}")))?;
        let error = thief.expect("ERROR")?;
        if error.header("error-code") == Some("access_refused") {
            break;
        }
        ensure!(Instant::now() < end, "{error:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut thief = Stomp::new(broker.at(Door::Stomp))?;
    thief.send(&send(&format!("/queue/{name}")).body(b"x"))?;
    ensure!(thief.expect("ERROR")?.header("error-code") == Some("access_refused"), "a SEND would make it");
    Ok(())
}

#[test]
fn a_connection_has_only_so_many_temporary_queues() -> Result<()> {
    let broker = Setup::new().config("[stomp]\ntemporary_queues = 2\n").start()?;
    let mut requester = Stomp::new(broker.at(Door::Stomp))?;
    for name in ["a", "b", "a"] {
        requester.request(ask(&format!("/temp-queue/{name}"), "c"))?;
    }
    requester.request(Frame::new("UNSUBSCRIBE").with("id", "/temp-queue/b"))?;
    requester.request(ask("/temp-queue/c", "c"))?;
    requester.send(&ask("/temp-queue/d", "c").with("receipt", "r"))?;
    let error = requester.expect("ERROR")?;
    ensure!(error.header("message") == Some("Too many temporary queues"), "{error:?}");
    ensure!(error.header("receipt-id") == Some("r"), "{error:?}");
    // The message of the refused SEND was not sent.
    let mut responder = Stomp::new(broker.at(Door::Stomp))?;
    responder.subscribe("0", "/queue/work", "auto")?;
    for _ in 0..4 {
        responder.expect("MESSAGE")?;
    }
    ensure!(responder.next(QUIET)? == Next::Silence, "a fifth request");
    Ok(())
}

fn ask(reply_to: &str, id: &str) -> Frame {
    send("/queue/work").with("reply-to", reply_to).with("correlation-id", id).body(b"?")
}

fn send(destination: &str) -> Frame {
    Frame::new("SEND").with("destination", destination)
}

fn subscribe(destination: &str) -> Frame {
    Frame::new("SUBSCRIBE").with("id", "0").with("destination", destination)
}

fn address_of(request: &Frame) -> Result<String> {
    Ok(request.header("reply-to").context("no reply-to")?.to_owned())
}

/// Publishes at QoS 1, and waits for PUBACK; what comes before it is kept.
fn say(mqtt: &mut Mqtt, message: Publish) -> Result<()> {
    let id = mqtt.id();
    mqtt.send(&publish(Version::V5, &message.with_id(id)))?;
    Ok(mqtt.expect_ack(ack::PUBACK, id)?)
}

fn program(name: &str, file: &str, version: &str, port: u16) -> Result<Adapter> {
    let mut command = python(file)?;
    command.args([version, "tcp", &port.to_string()]);
    Adapter::start(name, command)
}
