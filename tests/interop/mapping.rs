//! What a message says of itself, carried from one protocol to the other.

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{CONTENT_TYPE, CORRELATION_DATA, Property, text};
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn content_type_correlation_and_headers_pass_from_stomp_to_mqtt() -> Result<()> {
    let broker = Broker::new()?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    mqtt.subscribe("map/#", 1)?;
    let mut old = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "old")?;
    old.subscribe("map/#", 1)?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    let body = r#"{"말":"안녕하세요!"}"#;
    let send =
        Frame::new("SEND").with("destination", "/topic/map.one").with("content-type", "application/json");
    stomp.request(send.with("correlation-id", "c-7").with("방", "다섯: 5").body(body.as_bytes()))?;
    let message = mqtt.take()?;
    ensure!(message.text() == body && message.topic == "map/one", "{message:?}");
    ensure!(text(&message.properties, CONTENT_TYPE) == Some("application/json"), "{message:?}");
    ensure!(message.properties.contains(&Property::Binary(CORRELATION_DATA, b"c-7".to_vec())), "{message:?}");
    let pair = Property::Pair("방".to_owned(), "다섯: 5".to_owned());
    ensure!(message.properties.contains(&pair), "{message:?}");
    ensure!(old.take()?.text() == body, "3.1.1 got something else");
    Ok(())
}

#[test]
fn content_type_correlation_and_user_properties_pass_from_mqtt_to_stomp() -> Result<()> {
    let broker = Broker::new()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/topic/map.#", "auto")?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "mqtt")?;
    let message = Publish::new("map/two", "{\"말\":1}".as_bytes(), 1)
        .with_id(1)
        .with(Property::Text(CONTENT_TYPE, "application/json".to_owned()))
        .with(Property::Binary(CORRELATION_DATA, b"c-8".to_vec()))
        .with(Property::Pair("방".to_owned(), "다섯: 5".to_owned()));
    mqtt.send(&publish(Version::V5, &message))?;
    mqtt.expect_ack(ack::PUBACK, 1)?;
    let frame = stomp.expect("MESSAGE")?;
    ensure!(
        frame.text() == "{\"말\":1}" && frame.header("destination") == Some("/topic/map.two"),
        "{frame:?}"
    );
    ensure!(frame.header("content-type") == Some("application/json"), "{frame:?}");
    ensure!(frame.header("correlation-id") == Some("c-8"), "{frame:?}");
    ensure!(frame.header("방") == Some("다섯: 5"), "{frame:?}");
    Ok(())
}

#[test]
fn properties_survive_kill_minus_nine() -> Result<()> {
    use harness::mqtt::write::Connect;
    let mut broker = Broker::new()?;
    let lasting = Connect::lasting(Version::V5, "away");
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting)?;
    client.subscribe("map/#", 1)?;
    drop(client);
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    let send = Frame::new("SEND").with("destination", "/topic/map.kept").with("persistent", "true");
    stomp.request(send.with("content-type", "text/plain").with("x", "y").body("안녕".as_bytes()))?;
    broker.kill();
    broker.start()?;
    let (mut client, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting)?;
    let message = client.take()?;
    ensure!(message.text() == "안녕", "{message:?}");
    ensure!(text(&message.properties, CONTENT_TYPE) == Some("text/plain"), "{message:?}");
    ensure!(message.properties.contains(&Property::Pair("x".to_owned(), "y".to_owned())), "{message:?}");
    Ok(())
}
