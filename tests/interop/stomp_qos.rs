//! QoS and retained messages over STOMP.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn at_qos_1_and_2_a_subscriber_hears_again_what_it_did_not_acknowledge() -> Result<()> {
    let broker = Broker::new()?;
    for qos in ["1", "2"] {
        let queue = format!("/queue/qos{qos}");
        let mut sender = Stomp::new(broker.at(Door::Stomp))?;
        sender.publish(&queue, b"one")?;
        sender.publish(&queue, b"two")?;
        let mut first = subscriber(&broker, &queue, qos)?;
        let one = first.expect("MESSAGE")?;
        let two = first.expect("MESSAGE")?;
        first.request(Frame::new("ACK").with("id", two.header("ack").unwrap_or_default()))?;
        drop(first);
        let mut second = subscriber(&broker, &queue, qos)?;
        let again = second.expect("MESSAGE")?;
        ensure!(again.text() == "one" && again.header("redelivered") == Some("true"), "{again:?}");
        // Its number is what a client knows it by, whatever connection it came by.
        let numbered = qos == "2";
        ensure!(again.header("x-message-id").is_some() == numbered, "{again:?}");
        ensure!(again.header("x-message-id") == one.header("x-message-id"), "{one:?} {again:?}");
        ensure!(!numbered || one.header("x-message-id") != two.header("x-message-id"), "{one:?} {two:?}");
        ensure!(
            second.next(Duration::from_millis(200))? == Next::Silence,
            "what was acknowledged came again"
        );
    }
    Ok(())
}

#[test]
fn the_number_of_a_message_outlives_kill_minus_nine() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    sender.publish("/queue/numbered", b"x")?;
    let mut first = subscriber(&broker, "/queue/numbered", "2")?;
    let before = first.expect("MESSAGE")?;
    broker.kill();
    broker.start()?;
    let mut second = subscriber(&broker, "/queue/numbered", "2")?;
    let after = second.expect("MESSAGE")?;
    ensure!(after.header("redelivered") == Some("true"), "{after:?}");
    ensure!(before.header("x-message-id").is_some(), "{before:?}");
    ensure!(before.header("x-message-id") == after.header("x-message-id"), "{before:?} {after:?}");
    Ok(())
}

#[test]
fn at_qos_0_sending_is_enough() -> Result<()> {
    let broker = Broker::new()?;
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    sender.publish("/queue/qos0", b"x")?;
    let mut first = subscriber(&broker, "/queue/qos0", "0")?;
    let message = first.expect("MESSAGE")?;
    ensure!(message.header("ack").is_none(), "nothing waits for an ACK: {message:?}");
    drop(first);
    let mut second = subscriber(&broker, "/queue/qos0", "1")?;
    ensure!(second.next(Duration::from_millis(300))? == Next::Silence, "it came again");
    Ok(())
}

#[test]
fn the_lower_of_two_qos_counts_between_the_protocols() -> Result<()> {
    let broker = Broker::new()?;
    for granted in 0..=2 {
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
        mqtt.subscribe("lower/#", granted)?;
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        for sent in 0..=2 {
            let send = Frame::new("SEND").with("destination", "/topic/lower.x");
            stomp.request(send.with("qos", &sent.to_string()).body(b"x"))?;
            let message = mqtt.take()?;
            ensure!(message.qos == granted.min(sent), "sent {sent}, granted {granted}: {message:?}");
        }
    }
    Ok(())
}

#[test]
fn what_is_retained_by_either_protocol_comes_to_whoever_asks() -> Result<()> {
    let broker = Broker::new()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    let keep = |destination: &str, body: &str| {
        Frame::new("SEND").with("destination", destination).with("retain", "true").body(body.as_bytes())
    };
    stomp.request(keep("/topic/kept.stomp", "from STOMP"))?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("kept/#", 1)?;
    let message = mqtt.take()?;
    ensure!(message.text() == "from STOMP" && message.retain, "{message:?}");

    // RabbitMQ's clients expect nothing of the kind: only who asks gets it.
    let mut plain = Stomp::new(broker.at(Door::Stomp))?;
    plain.subscribe("0", "/topic/kept.#", "auto")?;
    let mut asking = Stomp::new(broker.at(Door::Stomp))?;
    let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/topic/kept.#");
    asking.send(&subscribe.with("retained", "true"))?;
    let message = asking.expect("MESSAGE")?;
    ensure!(message.text() == "from STOMP" && message.header("retain") == Some("true"), "{message:?}");
    ensure!(message.header("destination") == Some("/topic/kept.stomp"), "{message:?}");

    // What comes now is no retained message, and an empty one takes it away.
    stomp.request(keep("/topic/kept.stomp", ""))?;
    for client in [&mut plain, &mut asking] {
        let message = client.expect("MESSAGE")?;
        ensure!(message.body.is_empty() && message.header("retain").is_none(), "{message:?}");
    }
    let mut late = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "late")?;
    late.subscribe("kept/#", 1)?;
    stomp.publish("/topic/kept.end", b"end")?;
    ensure!(late.take()?.text() == "end", "what was taken away came back");
    Ok(())
}

fn subscriber(broker: &Broker, destination: &str, qos: &str) -> Result<Stomp> {
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    let frame = Frame::new("SUBSCRIBE").with("id", "0").with("destination", destination);
    client.request(frame.with("qos", qos))?;
    Ok(client)
}
