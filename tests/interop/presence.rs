//! Who comes, who leaves and who listens is told under `$events`, to whoever subscribes there.

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, cut};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT, unsubscribe};
use harness::stomp::{Client as Stomp, Frame};
use harness::websocket::{WebSocket, upgrade};
use serde_json::Value;

use crate::acl::OPEN;

#[test]
fn each_end_of_an_mqtt_connection_is_told_once_with_by_whom() -> Result<()> {
    let broker = Setup::new().acl(OPEN).user("kim").start()?;
    let mut watcher = Watcher::new(&broker)?;
    let login = Some(("kim".to_owned(), "kim".to_owned()));
    let connect = Connect { login, keep_alive_s: 1, ..Connect::new(Version::V5, "phone") };
    let at = broker.at(Door::Mqtt);

    let (mut leaving, _) = Mqtt::connect(at, &connect)?;
    let came = watcher.connected()?;
    let text = |name: &str| came.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let told = [text("client"), text("user"), text("protocol"), text("transport"), text("listener")];
    ensure!(told == ["phone", "kim", "mqtt", "tcp", "mqtt-1"], "{came}");
    ensure!(text("peer").starts_with("127.0.0.1:") && !text("node").is_empty(), "{came}");
    ensure!(text("session").starts_with("session-") && came["connected_at_ms"].as_u64() > Some(0), "{came}");
    leaving.send(&DISCONNECT)?;
    let left = watcher.disconnected("client")?;
    ensure!(left["session"] == came["session"] && left["connection"] == came["connection"], "{left}");
    ensure!(left["disconnected_at_ms"].as_u64() >= came["connected_at_ms"].as_u64(), "{left}");

    let (lost, _) = Mqtt::connect(at, &connect)?;
    watcher.connected()?;
    drop(lost);
    watcher.disconnected("network")?;

    // Nothing is heard of it for one and a half times its keep alive.
    let (_silent, _) = Mqtt::connect(at, &connect)?;
    watcher.connected()?;
    watcher.disconnected("timeout")?;

    let patient = Connect { keep_alive_s: 60, ..connect };
    let (mut wrong, _) = Mqtt::connect(at, &patient)?;
    watcher.connected()?;
    wrong.send(&patient.bytes())?;
    let left = watcher.disconnected("broker")?;
    ensure!(left["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{left}");

    let (_first, _) = Mqtt::connect(at, &patient)?;
    let first = watcher.connected()?;
    let (second, _) = Mqtt::connect(at, &patient)?;
    let left = watcher.disconnected("takeover")?;
    ensure!(left["connection"] == first["connection"], "{left}");
    let came = watcher.connected()?;
    ensure!(came["connection"] != first["connection"], "{came}");
    drop(second);
    let left = watcher.disconnected("network")?;
    ensure!(left["connection"] == came["connection"], "the old connection was told twice: {left}");
    Ok(())
}

#[test]
fn each_end_of_a_stomp_connection_is_told_once_with_by_whom() -> Result<()> {
    let broker = Setup::new().acl(OPEN).start()?;
    let mut watcher = Watcher::new(&broker)?;
    let at = broker.at(Door::Stomp);
    let mut leaving = Stomp::new(at)?;
    let came = watcher.connected()?;
    ensure!(came["protocol"] == "stomp" && came["client"].is_null() && came["user"].is_null(), "{came}");
    leaving.send(&Frame::new("DISCONNECT"))?;
    watcher.disconnected("client")?;

    let lost = Stomp::new(at)?;
    watcher.connected()?;
    drop(lost);
    watcher.disconnected("network")?;

    let mut wrong = Stomp::new(at)?;
    watcher.connected()?;
    wrong.send(&Frame::new("SUBSCRIBE"))?;
    watcher.disconnected("broker")?;

    let mut silent = Stomp::dial(at)?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    silent.send(&connect.with("heart-beat", "1000,0"))?;
    watcher.connected()?;
    watcher.disconnected("timeout")?;
    Ok(())
}

#[test]
fn a_client_in_a_websocket_is_told_of_with_what_carries_it() -> Result<()> {
    let broker = Setup::new().acl(OPEN).start()?;
    let mut watcher = Watcher::new(&broker)?;
    let (_, socket) = upgrade(broker.at(Door::Web), "/ws", "mqtt")?;
    let mut web = WebSocket::new(socket);
    web.send(&Connect::new(Version::V311, "web").bytes())?;
    let came = watcher.connected()?;
    ensure!(came["client"] == "web" && came["protocol"] == "mqtt" && came["transport"] == "ws", "{came}");
    while !matches!(cut(&mut web.bytes, Version::V311)?, Some(Packet::Connack(_))) {
        web.receive()?;
    }
    web.send(&DISCONNECT)?;
    watcher.disconnected("client")?;

    let (_, socket) = upgrade(broker.at(Door::Web), "/ws", "v12.stomp")?;
    let mut web = WebSocket::new(socket);
    web.send(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")?;
    let came = watcher.connected()?;
    ensure!(came["protocol"] == "stomp" && came["transport"] == "ws", "{came}");
    drop(web);
    watcher.disconnected("network")?;

    let (_, socket) = upgrade(broker.at(Door::Web), "/stomp/000/one/websocket", "")?;
    let mut sockjs = WebSocket::new(socket);
    sockjs.send(b"[\"CONNECT\\naccept-version:1.2\\nhost:/\\n\\n\\u0000\"]")?;
    let came = watcher.connected()?;
    ensure!(came["protocol"] == "stomp" && came["transport"] == "sockjs", "{came}");
    drop(sockjs);
    watcher.disconnected("network")?;
    Ok(())
}

#[test]
fn subscriptions_of_both_protocols_are_told_as_mqtt_writes_them() -> Result<()> {
    let broker = Setup::new().acl(OPEN).start()?;
    let mut watcher = Watcher::new(&broker)?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "phone")?;
    watcher.connected()?;
    for filter in ["chat/+", "$share/g/chat/#", "$user/queue/news", "$exchange/amq.fanout/x"] {
        ensure!(mqtt.subscribe(filter, 1)? == [1], "{filter}");
        let told = watcher.next("subscribed")?;
        ensure!(told["destination"] == filter && told["qos"] == 1 && told["client"] == "phone", "{told}");
    }
    // What is refused is not told.
    ensure!(mqtt.subscribe("$user/kim/queue/x", 1)? == [0x87]);
    let id = mqtt.id();
    mqtt.send(&unsubscribe(Version::V5, id, &["chat/+", "chat/never"]))?;
    let told = watcher.next("unsubscribed")?;
    ensure!(told["destination"] == "chat/+", "{told}");

    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    let came = watcher.connected()?;
    for (destination, told_as) in [
        ("/topic/chat.*", "chat/+"),
        ("/queue/jobs", "$queue/jobs"),
        ("/user/queue/news", "$user/queue/news"),
    ] {
        stomp.subscribe("0", destination, "auto")?;
        let told = watcher.next("subscribed")?;
        ensure!(told["destination"] == told_as && told["session"] == came["session"], "{told}");
        stomp.send(&Frame::new("UNSUBSCRIBE").with("id", "0"))?;
        let told = watcher.next("unsubscribed")?;
        ensure!(told["destination"] == told_as, "{told}");
    }
    // The end of a connection says it all: what it listened to is not told one by one.
    stomp.subscribe("0", "/topic/chat.*", "auto")?;
    watcher.next("subscribed")?;
    drop(stomp);
    watcher.disconnected("network")?;
    Ok(())
}

#[test]
fn an_mqtt_client_is_told_too_but_not_by_a_wildcard_and_not_where_it_is_turned_off() -> Result<()> {
    let broker = Setup::new().acl(OPEN).start()?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "all")?;
    ensure!(mqtt.subscribe("#", 1)? == [1] && mqtt.subscribe("+/client/#", 1)? == [1]);
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.publish("/topic/mark", b"mark")?;
    ensure!(mqtt.take()?.topic == "mark", "a wildcard heard of an event");
    ensure!(mqtt.subscribe("$events/client/connected", 1)? == [1]);
    let _other = Stomp::new(broker.at(Door::Stomp))?;
    let event = mqtt.take()?;
    ensure!(event.topic == "$events/client/connected", "{event:?}");

    let broker = Setup::new().acl(OPEN).config("[events]\nenabled = false\n").start()?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "all")?;
    ensure!(mqtt.subscribe("$events/#", 1)? == [1] && mqtt.subscribe("mark", 1)? == [1]);
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.publish("/topic/mark", b"mark")?;
    ensure!(mqtt.take()?.topic == "mark", "an event, though they are turned off");
    Ok(())
}

/// Hears all events of clients, but for its own.
struct Watcher {
    stomp: Stomp,
    session: String,
}

impl Watcher {
    fn new(broker: &Broker) -> Result<Self> {
        let (mut stomp, connected) = Stomp::connect(broker.at(Door::Stomp), "1.2")?;
        stomp.subscribe("0", "/topic/$events.client.*", "auto")?;
        let session = connected.header("session").context("a session")?.to_owned();
        Ok(Self { stomp, session })
    }

    /// The next event, which must be that one.
    fn next(&mut self, event: &str) -> Result<Value> {
        loop {
            let message = self.stomp.expect("MESSAGE")?;
            ensure!(message.header("content-type") == Some("application/json"), "{message:?}");
            let told: Value = serde_json::from_str(&message.text())?;
            if told["session"] == *self.session {
                continue;
            }
            let destination = message.header("destination").unwrap_or_default();
            ensure!(told["event"] == event, "not {event}, but {told}");
            ensure!(destination == format!("/topic/$events.client.{event}"), "{destination}");
            return Ok(told);
        }
    }

    fn connected(&mut self) -> Result<Value> {
        self.next("connected")
    }

    fn disconnected(&mut self, by: &str) -> Result<Value> {
        let told = self.next("disconnected")?;
        ensure!(told["by"] == by, "not by {by}, but {told}");
        Ok(told)
    }
}
