//! One port for everything: the first bytes say what is spoken. And MQTT inside a WebSocket.

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, cut};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, PINGREQ};
use harness::stomp::Client as Stomp;
use harness::websocket::{WebSocket, upgrade};

#[test]
fn a_port_that_detects_speaks_mqtt_stomp_and_websocket() -> Result<()> {
    let broker = Broker::new()?;
    let at = broker.at(Door::Auto);
    let mut subscriber = Stomp::new(at)?;
    subscriber.subscribe("0", "/topic/auto", "auto")?;
    for version in Version::ALL {
        Mqtt::clean(at, version, "auto")?.publish("auto", b"mqtt", 1)?;
        ensure!(subscriber.expect("MESSAGE")?.text() == "mqtt", "{version:?}");
    }
    let (answer, _socket) = upgrade(at, "/ws", "v12.stomp")?;
    ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    Ok(())
}

#[test]
fn mqtt_comes_in_a_websocket_whatever_the_cut_of_its_messages() -> Result<()> {
    // [MQTT-6.0.0-1] to [MQTT-6.0.0-4]
    let broker = Broker::new()?;
    let (answer, socket) = upgrade(broker.at(Door::Web), "/ws", "mqtt")?;
    ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    ensure!(answer.to_lowercase().contains("sec-websocket-protocol: mqtt"), "{answer}");
    let mut web = WebSocket::new(socket);
    let connect = Connect::new(Version::V311, "web").bytes();
    // A packet in two messages, then two packets in one.
    let (front, back) = connect.split_at(5);
    web.send(front)?;
    web.send(back)?;
    let packet = next(&mut web)?;
    ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == 0), "{packet:?}");
    web.send(&[PINGREQ, PINGREQ].concat())?;
    ensure!(next(&mut web)? == Packet::Pingresp && next(&mut web)? == Packet::Pingresp, "no two answers");
    Ok(())
}

fn next(web: &mut WebSocket) -> Result<Packet> {
    loop {
        if let Some(packet) = cut(&mut web.bytes, Version::V311)? {
            return Ok(packet);
        }
        web.receive()?;
    }
}
