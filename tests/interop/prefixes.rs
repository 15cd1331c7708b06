//! Prefixes of the configuration: the names of Spring's simple broker, unchanged, and MQTT's topics beside them.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn names_of_springs_simple_broker_meet_mqtt_topics_both_ways() -> Result<()> {
    // S0.4, S0.5
    let broker = start()?;
    for (prefix, word) in [("/sub/", "sub"), ("/subscribe/", "subscribe"), ("/publish/", "publish")] {
        let destination = format!("{prefix}chat/room/5");
        let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
        stomp.subscribe("room", &destination, "auto")?;
        stomp.subscribe("all", &format!("{prefix}chat/room/*"), "auto")?;
        stomp.subscribe("topic", &format!("/topic/{word}.chat.room.5"), "auto")?;
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
        mqtt.subscribe(&format!("{word}/chat/room/+"), 1)?;
        let mut other = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "other")?;
        other.publish(&format!("{word}/chat/room/5"), "엠큐티티".as_bytes(), 1)?;
        three(&mut stomp, &destination, word, "엠큐티티")?;
        mqtt.take()?;
        stomp.publish(&destination, "안녕하세요".as_bytes())?;
        three(&mut stomp, &destination, word, "안녕하세요")?;
        let message = mqtt.take()?;
        ensure!(message.topic == format!("{word}/chat/room/5"), "{message:?}");
        ensure!(message.text() == "안녕하세요", "{message:?}");
        // Another room is another room.
        stomp.publish(&format!("{prefix}chat/room/55"), b"other")?;
        let message = stomp.expect("MESSAGE")?;
        ensure!(message.header("subscription") == Some("all"), "{message:?}");
        ensure!(message.header("destination") == Some(&format!("{prefix}chat/room/55")), "{message:?}");
        silent(&mut stomp)?;
    }
    Ok(())
}

#[test]
fn a_dot_is_a_dot_where_slashes_part_words() -> Result<()> {
    let broker = start()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/sub/#", "auto")?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("sub/#", 1)?;
    for rest in ["v1.2/room", "a//b/", "방/5", "100%", "%2541", "a:b", "a\\b", "sub/x", "/x"] {
        let mut sender = Stomp::new(broker.at(Door::Stomp))?;
        let destination = format!("/sub/{rest}");
        sender.publish(&destination, b"x")?;
        let message = stomp.expect("MESSAGE")?;
        ensure!(message.header("destination") == Some(&destination), "{rest}: {message:?}");
        let topic = format!("sub/{}", if rest == "%2541" { "%41" } else { rest });
        ensure!(mqtt.take()?.topic == topic, "{rest}");
        // And the same way back.
        mqtt.publish(&topic, b"y", 1)?;
        let message = stomp.expect("MESSAGE")?;
        ensure!(message.header("destination") == Some(&destination), "{rest}: {message:?}");
        mqtt.take()?;
    }
    Ok(())
}

#[test]
fn what_is_for_an_application_comes_to_its_one_queue_and_says_where_it_was_sent() -> Result<()> {
    // S1.2
    let mut broker = start()?;
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    // Nobody serves it yet: it waits, as in any durable queue, also when the broker dies.
    client.publish("/app/chat/message", "입장".as_bytes())?;
    let forged = Frame::new("SEND").with("destination", "/pub/hello").with("x-destination", "/pub/admin");
    client.request(forged.with("persistent", "true").with("type", "ENTER").body(b"2"))?;
    broker.kill();
    broker.start()?;
    let mut service = Stomp::new(broker.at(Door::Stomp))?;
    service.subscribe("0", "/queue/chat-service", "client-individual")?;
    for (body, sent_to) in [("입장", "/app/chat/message"), ("2", "/pub/hello")] {
        let message = service.expect("MESSAGE")?;
        ensure!(message.text() == body, "{message:?}");
        ensure!(message.header("destination") == Some("/queue/chat-service"), "{message:?}");
        let said: Vec<_> = message.headers.iter().filter(|(name, _)| name == "x-destination").collect();
        ensure!(said.len() == 1 && said.first().is_some_and(|(_, value)| value == sent_to), "{message:?}");
        service.settle("ACK", &message)?;
    }
    // An answer may be asked for there as well.
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    let ask = Frame::new("SEND").with("destination", "/app/ask").with("reply-to", "/app/answers/7");
    client.request(ask.body(b"3"))?;
    let asked = service.expect("MESSAGE")?;
    ensure!(asked.header("reply-to") == Some("/app/answers/7"), "{asked:?}");
    let mut client = Stomp::new(broker.at(Door::Stomp))?;
    let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/app/chat/message");
    client.send(&subscribe.with("receipt", "7"))?;
    let error = client.expect("ERROR")?;
    ensure!(error.text().contains("/queue/chat-service"), "says what to do: {}", error.text());
    ensure!(error.header("receipt-id") == Some("7"), "{error:?}");
    ensure!(client.closes(Duration::from_secs(5))?, "no close after ERROR");
    Ok(())
}

#[test]
fn a_prefix_may_stand_for_an_exchange_of_ones_own() -> Result<()> {
    let broker = start()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/orders/new/*", "auto")?;
    stomp.subscribe("1", "/exchange/shop/new.5", "auto")?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("$exchange/shop/new/+", 1)?;
    stomp.publish("/orders/new/5", b"x")?;
    for _ in 0..2 {
        let message = stomp.expect("MESSAGE")?;
        let shown = if message.header("subscription") == Some("0") {
            "/orders/new/5"
        } else {
            "/exchange/shop/new.5"
        };
        ensure!(message.header("destination") == Some(shown), "{message:?}");
    }
    ensure!(mqtt.take()?.topic == "$exchange/shop/new/5");
    mqtt.publish("$exchange/shop/new/6", b"y", 1)?;
    ensure!(stomp.expect("MESSAGE")?.header("destination") == Some("/orders/new/6"));
    mqtt.take()?;
    // Without being kept, the prefix is no part of the topic.
    mqtt.subscribe("chat/5", 1)?;
    stomp.publish("/bare/chat/5", b"z")?;
    ensure!(mqtt.take()?.topic == "chat/5");
    Ok(())
}

/// One message for each of three subscriptions, each with the name it knows.
fn three(stomp: &mut Stomp, destination: &str, word: &str, text: &str) -> Result<()> {
    for _ in 0..3 {
        let message = stomp.expect("MESSAGE")?;
        let topic = format!("/topic/{word}.chat.room.5");
        let expected = if message.header("subscription") == Some("topic") { &topic } else { destination };
        ensure!(message.header("destination") == Some(expected), "{message:?}");
        ensure!(message.text() == text, "{message:?}");
    }
    Ok(())
}

fn silent(stomp: &mut Stomp) -> Result<()> {
    let more = stomp.next(Duration::from_millis(200))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

fn start() -> Result<Broker> {
    Setup::new().config(CONFIG).start()
}

const CONFIG: &str = r#"
[[stomp.prefix]]
prefix = "/sub/"
[[stomp.prefix]]
prefix = "/subscribe/"
[[stomp.prefix]]
prefix = "/publish/"
[[stomp.prefix]]
prefix = "/app/"
kind = "application"
queue = "chat-service"
[[stomp.prefix]]
prefix = "/pub/"
kind = "application"
queue = "chat-service"
[[stomp.prefix]]
prefix = "/orders/"
kind = "exchange"
exchange = "shop"
keep = false
[[stomp.prefix]]
prefix = "/bare/"
keep = false
[[exchange]]
name = "shop"
type = "topic"
"#;
