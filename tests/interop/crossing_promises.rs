//! What is promised of a message in one protocol holds in the other: bytes, order of headers, storage, retention, wills,
//! transactions.

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{CONTENT_TYPE, PAYLOAD_FORMAT, Property, number, text};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn a_body_crosses_byte_for_byte_both_ways() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = mqtt(&broker, "mqtt", "bytes")?;
    let mut stomp = stomp(&broker, "/topic/bytes")?;
    let all: Vec<u8> = (0..=255).collect();
    let large = harness::dice::Dice::new(3).bytes(300_000);
    for body in [&b""[..], b"\0", b"\0\n\0", "안녕하세요!".as_bytes(), &all, &large] {
        stomp.request(send("/topic/bytes").body(body))?;
        ensure!(mqtt.take()?.payload == body && stomp.expect("MESSAGE")?.body == body, "from STOMP");
        mqtt.publish("bytes", body, 1)?;
        ensure!(mqtt.take()?.payload == body && stomp.expect("MESSAGE")?.body == body, "from MQTT");
    }
    Ok(())
}

#[test]
fn headers_keep_their_order_and_of_repeated_ones_the_first_counts() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = mqtt(&broker, "mqtt", "order")?;
    let mut stomp = stomp(&broker, "/topic/order")?;
    let pairs = [("z", "1"), ("same", "first"), ("a", "2"), ("same", "second"), ("m", "")];
    let frame = pairs.iter().fold(send("/topic/order"), |frame, (name, value)| frame.with(name, value));
    stomp.request(frame.body(b"x"))?;
    stomp.expect("MESSAGE")?;
    let came = pairs_of(&mqtt.take()?);
    ensure!(came == ["z=1", "same=first", "a=2", "m="], "from STOMP came {came:?}");

    let properties = pairs.map(|(name, value)| Property::Pair(name.to_owned(), value.to_owned()));
    say(&mut mqtt, properties.into_iter().fold(Publish::new("order", b"y", 1), Publish::with))?;
    let came = pairs_of(&mqtt.take()?);
    ensure!(came == ["z=1", "same=first", "a=2", "same=second", "m="], "from MQTT to MQTT came {came:?}");
    let message = stomp.expect("MESSAGE")?;
    let names: Vec<&str> = message.headers.iter().map(|(name, _)| name.as_str()).collect();
    let at = |wanted: &str| names.iter().position(|name| *name == wanted);
    ensure!(at("z") < at("same") && at("same") < at("a") && at("a") < at("m"), "{message:?}");
    ensure!(message.header("same") == Some("first") && message.header("m") == Some(""), "{message:?}");
    Ok(())
}

#[test]
fn secrets_of_stomp_reach_nobody() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = mqtt(&broker, "mqtt", "secret")?;
    let mut stomp = stomp(&broker, "/topic/secret")?;
    let secrets = ["login", "passcode", "authorization", "Authorization", "x-auth-token", "X-Auth-Token"];
    let frame = secrets.iter().fold(send("/topic/secret"), |frame, name| frame.with(name, "s3cret"));
    stomp.request(frame.with("colour", "blue").body(b"x"))?;
    let came = mqtt.take()?;
    ensure!(pairs_of(&came) == ["colour=blue"], "{came:?}");
    let came = stomp.expect("MESSAGE")?;
    ensure!(!format!("{came:?}").contains("s3cret") && came.header("colour") == Some("blue"), "{came:?}");
    Ok(())
}

#[test]
fn what_mqtt_publishes_at_qos_1_and_2_is_persistent_in_stomp_and_at_qos_0_it_is_not() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut stomp = stomp(&broker, "/topic/kept")?;
    let durable = Frame::new("SUBSCRIBE").with("id", "away").with("destination", "/topic/kept");
    let durable = durable.with("durable", "true").with("auto-delete", "false").with("ack", "auto");
    let mut away = Stomp::new(broker.at(Door::Stomp))?;
    away.request(durable.clone())?;
    away.request(Frame::new("DISCONNECT"))?;
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for qos in 0..=2 {
        publisher.publish("kept", qos.to_string().as_bytes(), qos)?;
        let message = stomp.expect("MESSAGE")?;
        let persistent = (qos > 0).then_some("true");
        ensure!(message.header("persistent") == persistent, "QoS {qos}: {message:?}");
    }
    broker.kill();
    broker.start()?;
    let mut away = Stomp::new(broker.at(Door::Stomp))?;
    away.request(durable)?;
    for body in ["1", "2"] {
        let message = away.expect("MESSAGE")?;
        ensure!(message.text() == body, "after the crash came {message:?} instead of QoS {body}");
    }
    Ok(())
}

#[test]
fn what_stomp_sends_waits_for_an_mqtt_session_and_outlives_the_broker_if_it_is_persistent() -> Result<()> {
    let mut broker = Broker::new()?;
    let lasting = Connect::lasting(Version::V5, "away");
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting)?;
    client.subscribe("kept", 2)?;
    drop(client);
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    sender.request(send("/topic/kept").body(b"transient"))?;
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(client.take()?.text() == "transient", "what is not persistent does not wait");
    drop(client);
    for qos in ["1", "2"] {
        sender
            .request(send("/topic/kept").with("persistent", "true").with("qos", qos).body(qos.as_bytes()))?;
    }
    broker.kill();
    broker.start()?;
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting)?;
    for qos in [1, 2] {
        let message = client.take()?;
        ensure!(message.text() == qos.to_string() && message.qos == qos, "{message:?}");
    }
    Ok(())
}

#[test]
fn what_mqtt_retains_comes_to_stomp_and_goes_with_an_empty_send() -> Result<()> {
    let broker = Broker::new()?;
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    let kept = Publish::new("kept/mqtt", b"from MQTT", 1).retained();
    say(&mut publisher, kept.with(Property::Text(CONTENT_TYPE, "text/plain".to_owned())))?;
    let asking = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/topic/kept.*");
    let asking = asking.with("retained", "true");
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.send(&asking)?;
    let message = stomp.expect("MESSAGE")?;
    ensure!(message.text() == "from MQTT" && message.header("retain") == Some("true"), "{message:?}");
    ensure!(message.header("destination") == Some("/topic/kept.mqtt"), "{message:?}");
    ensure!(message.header("content-type") == Some("text/plain"), "{message:?}");
    // A live one says nothing of it.
    say(&mut publisher, Publish::new("kept/mqtt", b"anew", 1).retained())?;
    ensure!(stomp.expect("MESSAGE")?.header("retain").is_none(), "a live message is marked as retained");

    stomp.request(send("/topic/kept.mqtt").with("retain", "true").body(b""))?;
    let mut late = mqtt(&broker, "late", "kept/#")?;
    publisher.publish("kept/end", b"end", 1)?;
    ensure!(late.take()?.text() == "end", "what STOMP took away came to MQTT");
    Ok(())
}

#[test]
fn a_will_of_mqtt_reaches_stomp_with_all_that_it_says() -> Result<()> {
    let broker = Broker::new()?;
    let mut stomp = stomp(&broker, "/topic/will.*")?;
    let will = Publish::new("will/of.me", "안녕히".as_bytes(), 1);
    let mut connect = Connect::new(Version::V5, "dying").will(will);
    connect.will_properties = vec![
        Property::Text(CONTENT_TYPE, "text/plain".to_owned()),
        Property::Pair("why".to_owned(), "lost".to_owned()),
    ];
    drop(Mqtt::connect(broker.at(Door::Mqtt), &connect)?);
    let message = stomp.expect("MESSAGE")?;
    ensure!(message.text() == "안녕히", "{message:?}");
    for (name, value) in [
        ("destination", "/topic/will.of%2Fme"),
        ("content-type", "text/plain"),
        ("why", "lost"),
        ("persistent", "true"),
    ] {
        ensure!(message.header(name) == Some(value), "{name}: {message:?}");
    }
    Ok(())
}

#[test]
fn mqtt_sees_a_transaction_of_stomp_at_its_commit_and_never_after_an_abort() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = mqtt(&broker, "mqtt", "step/#")?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    for transaction in ["good", "bad"] {
        stomp.request(Frame::new("BEGIN").with("transaction", transaction))?;
        for step in ["1", "2"] {
            let send = send(&format!("/topic/step.{transaction}")).with("transaction", transaction);
            stomp.send(&send.body(step.as_bytes()))?;
        }
    }
    stomp.request(send("/topic/step.now").body(b"0"))?;
    ensure!(mqtt.take()?.text() == "0", "something came before COMMIT");
    stomp.request(Frame::new("ABORT").with("transaction", "bad"))?;
    stomp.request(Frame::new("COMMIT").with("transaction", "good"))?;
    for step in ["1", "2"] {
        let came = mqtt.take()?;
        ensure!(came.topic == "step/good" && came.text() == step, "{came:?}");
    }
    stomp.request(send("/topic/step.now").body(b"end"))?;
    ensure!(mqtt.take()?.text() == "end", "something of what was aborted came");
    Ok(())
}

#[test]
fn a_group_of_mqtt_shares_what_stomp_sends_and_a_queue_of_stomp_what_mqtt_publishes() -> Result<()> {
    let broker = Broker::new()?;
    let mut members = [mqtt(&broker, "one", "$share/g/work")?, mqtt(&broker, "two", "$share/g/work")?];
    let mut sender = Stomp::new(broker.at(Door::Stomp))?;
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    let mut consumers = [stomp(&broker, "/queue/work")?, stomp(&broker, "/queue/work")?];
    for number in 0..20_u8 {
        sender.request(send("/topic/work").body(&[number]))?;
        publisher.publish("$queue/work", &[number], 1)?;
    }
    // Behind all of them comes an end to each member and each consumer.
    let mut shared = Vec::new();
    for member in &mut members {
        member.subscribe("end", 1)?;
        publisher.publish("end", b"end", 1)?;
        loop {
            let came = member.take()?;
            if came.topic == "end" {
                break;
            }
            shared.extend(came.payload);
        }
    }
    shared.sort_unstable();
    ensure!(shared.iter().copied().eq(0..20), "the group got {shared:?}");
    let mut consumed = Vec::new();
    while consumed.len() < 20 {
        let next = consumers.iter_mut().map(|client| client.next(std::time::Duration::from_millis(50)));
        for came in next.collect::<std::io::Result<Vec<_>>>()? {
            if let harness::socket::Next::Some(message) = came {
                consumed.extend(message.body);
            }
        }
        ensure!(consumed.len() <= 20, "the queue gave {consumed:?}");
    }
    consumed.sort_unstable();
    ensure!(consumed.iter().copied().eq(0..20), "the queue gave {consumed:?}");
    Ok(())
}

#[test]
fn what_only_mqtt_has_does_not_reach_stomp_as_something_else() -> Result<()> {
    // Payload Format Indicator, aliases and subscription identifiers have no header.
    let broker = Broker::new()?;
    let mut mqtt = mqtt(&broker, "mqtt", "only")?;
    let mut stomp = stomp(&broker, "/topic/only")?;
    say(&mut mqtt, Publish::new("only", "글".as_bytes(), 1).with(Property::Number(PAYLOAD_FORMAT, 1)))?;
    ensure!(number(&mqtt.take()?.properties, PAYLOAD_FORMAT) == Some(1), "MQTT alone");
    let message = stomp.expect("MESSAGE")?;
    let known = ["subscription", "destination", "message-id", "redelivered", "persistent", "content-length"];
    let more: Vec<_> = message.headers.iter().filter(|(name, _)| !known.contains(&name.as_str())).collect();
    ensure!(more.is_empty(), "{more:?}");
    // And a priority is a matter of STOMP's queues.
    stomp.request(send("/topic/only").with("priority", "7").body(b"x"))?;
    let came = mqtt.take()?;
    ensure!(came.properties.is_empty(), "{came:?}");
    ensure!(stomp.expect("MESSAGE")?.header("priority") == Some("7"), "STOMP alone");
    ensure!(text(&came.properties, CONTENT_TYPE).is_none(), "{came:?}");
    Ok(())
}

fn mqtt(broker: &Broker, id: &str, filter: &str) -> Result<Mqtt> {
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, id)?;
    mqtt.subscribe(filter, 1)?;
    Ok(mqtt)
}

fn stomp(broker: &Broker, destination: &str) -> Result<Stomp> {
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", destination, "auto")?;
    Ok(stomp)
}

/// Publishes at QoS 1, and waits for PUBACK; what comes before it is kept.
fn say(mqtt: &mut Mqtt, message: Publish) -> Result<()> {
    let id = mqtt.id();
    mqtt.send(&publish(Version::V5, &message.with_id(id)))?;
    mqtt.expect_ack(ack::PUBACK, id).context("no PUBACK")
}

fn send(destination: &str) -> Frame {
    Frame::new("SEND").with("destination", destination)
}

fn pairs_of(message: &Publish) -> Vec<String> {
    let pair = |property: &Property| match property {
        Property::Pair(name, value) => Some(format!("{name}={value}")),
        Property::Number(..) | Property::Text(..) | Property::Binary(..) => None,
    };
    message.properties.iter().filter_map(pair).collect()
}
