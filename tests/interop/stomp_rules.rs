//! Rules that brokers often get wrong, and where we part with RabbitMQ: those that no case of `duetmq conform` shows.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::socket::Next;
use harness::stomp::{Client, Frame, cut};
use harness::wait::SOON;
use harness::websocket::{WebSocket, upgrade};

#[test]
fn host_may_be_what_the_client_connected_to_or_a_name_of_the_configuration() -> Result<()> {
    let broker = Setup::new().config("[node]\nhost_names = [\"chat.example.org\"]\n").start()?;
    for host in [
        "/",
        "",
        "localhost",
        "LOCALHOST",
        "localhost:61613",
        "127.0.0.1",
        "127.0.0.1:61613",
        "10.1.2.3",
        "::1",
        "[::1]",
        "[::1]:61613",
        "chat.example.org",
        "Chat.Example.org:61613",
    ] {
        let mut client = Client::dial(broker.at(Door::Stomp))?;
        client.send(&Frame::new("CONNECT").with("accept-version", "1.2").with("host", host))?;
        client.expect("CONNECTED").with_context(|| format!("host:{host}"))?;
    }
    for host in ["example.org", "chat.example.org.evil", "127.0.0.1.example.org", "localhost.example.org"] {
        let mut client = Client::dial(broker.at(Door::Stomp))?;
        client.send(&Frame::new("CONNECT").with("accept-version", "1.2").with("host", host))?;
        let error = client.expect("ERROR").with_context(|| format!("host:{host}"))?;
        ensure!(error.text().contains("host_names"), "says what to do: {}", error.text());
        ensure!(client.closes(Duration::from_secs(5))?, "host:{host}: no close after ERROR");
    }
    Ok(())
}

#[test]
fn version_1_0_has_no_heart_beats() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::dial(broker.at(Door::Stomp))?;
    client.send(&Frame::new("CONNECT").with("heart-beat", "1000,1000"))?;
    let connected = client.expect("CONNECTED")?;
    ensure!(connected.header("heart-beat").is_none_or(|beat| beat == "0,0"), "{connected:?}");
    // Nobody beats, and nobody is cut off: longer than the tolerance would be.
    let beats = client.socket.next(Duration::from_millis(2500), |buffer| {
        let beats = buffer.iter().filter(|byte| **byte == b'\n').count();
        // One may follow the NUL of CONNECTED.
        Ok((beats > 1).then_some(()))
    })?;
    ensure!(beats == Next::Silence, "{beats:?}");
    Ok(client.request(Frame::new("SEND").with("destination", "/topic/x").body(b"x"))?)
}

#[test]
fn receipt_and_transaction_stay_behind_and_all_else_passes_in_its_order() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("0", "/topic/order", "auto")?;
    client.request(Frame::new("BEGIN").with("transaction", "t"))?;
    let send =
        Frame::new("SEND").with("destination", "/topic/order").with("transaction", "t").with("receipt", "7");
    let send = send
        .with("zebra", "1")
        .with("apple", "2")
        .with("zebra", "3")
        .with("mango", "")
        .with("x-mqtt-dup", "text");
    client.send(&send.with("passcode", "s3cret").with("simpOrigDestination", "/user/queue/x").body(b"x"))?;
    client.send(&Frame::new("COMMIT").with("transaction", "t"))?;
    let mut message = client.frame()?;
    if message.command == "RECEIPT" {
        message = client.frame()?;
    }
    ensure!(message.command == "MESSAGE", "{message:?}");
    for gone in ["receipt", "transaction", "passcode", "receipt-id"] {
        ensure!(message.header(gone).is_none(), "{gone}: {message:?}");
    }
    let ours = ["subscription", "destination", "message-id", "redelivered", "content-length"];
    let passed = message.headers.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
    let passed: Vec<(&str, &str)> = passed.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("zebra", "1"),
        ("apple", "2"),
        ("mango", ""),
        ("x-mqtt-dup", "text"),
        ("simpOrigDestination", "/user/queue/x"),
    ];
    ensure!(passed == expected, "{passed:?}");
    Ok(())
}

#[test]
fn over_websocket_the_receipt_of_disconnect_comes_before_the_close() -> Result<()> {
    // RabbitMQ loses it each time.
    let broker = Broker::new()?;
    for round in 0..10 {
        let mut client = websocket(&broker)?;
        client.send(b"SEND\ndestination:/topic/x\n\nx\0DISCONNECT\nreceipt:77\n\n\0")?;
        let receipt = next(&mut client).with_context(|| format!("round {round}"))?;
        ensure!(receipt.command == "RECEIPT" && receipt.header("receipt-id") == Some("77"), "{receipt:?}");
        ensure!(client.ends(SOON)?, "round {round}: no close behind the receipt");
    }
    Ok(())
}

#[test]
fn over_websocket_any_body_arrives_as_it_was() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = websocket(&broker)?;
    client.send(b"SUBSCRIBE\nid:0\ndestination:/topic/ws\nreceipt:1\n\n\0")?;
    ensure!(next(&mut client)?.command == "RECEIPT");
    let any: Vec<u8> = (0..=255).collect();
    for body in ["안녕".as_bytes(), &any] {
        let send = Frame::new("SEND").with("destination", "/topic/ws").body(body);
        client.send(&send.bytes())?;
        let message = next(&mut client)?;
        ensure!(message.body == body, "{message:?}");
    }
    Ok(())
}

#[test]
fn an_ack_behind_unsubscribe_is_taken_and_means_nothing() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("0", "/queue/late", "client-individual")?;
    client.publish("/queue/late", b"x")?;
    let message = client.expect("MESSAGE")?;
    client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
    client.request(Frame::new("ACK").with("id", message.header("ack").unwrap_or_default()))?;
    let mut other = Client::new(broker.at(Door::Stomp))?;
    other.subscribe("0", "/queue/late", "auto")?;
    let again = other.expect("MESSAGE")?;
    ensure!(again.text() == "x" && again.header("redelivered") == Some("true"), "{again:?}");
    Ok(())
}

#[test]
fn no_header_of_stomp_harms_a_subscriber_of_mqtt() -> Result<()> {
    // x-mqtt-publish-qos with a text kills every 3.1.1 subscriber of RabbitMQ.
    let broker = Broker::new()?;
    let mut subscribers = Vec::new();
    for version in Version::ALL {
        let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), version, &format!("{version:?}"))?;
        mqtt.subscribe("harm/#", 2)?;
        subscribers.push(mqtt);
    }
    let mut stomp = Client::new(broker.at(Door::Stomp))?;
    let long = "x".repeat(8000);
    for (name, value) in [
        ("x-mqtt-publish-qos", "text"),
        ("x-mqtt-dup", "maybe"),
        ("x-mqtt-retain", "true"),
        ("content-type", ""),
        ("content-type", "not a type\n"),
        ("correlation-id", ""),
        ("correlation-id", "\n\r:\\"),
        ("reply-to", "/topic/a.#"),
        ("reply-to", "/topic/$SYS.x"),
        ("reply-to", "+/#"),
        ("reply-to", ""),
        ("priority", "255"),
        ("expiration", "18446744073709551615"),
        ("empty", ""),
        ("long", &long),
        ("\u{1}control\u{7f}", "\u{1b}[31m\u{85}"),
        ("\u{fffe}", "\u{10ffff}\u{feff}"),
        ("message-expiry-interval", "-1"),
        ("topic-alias", "0"),
        ("subscription-identifier", "0"),
        ("user-id", "nobody"),
    ] {
        let body = format!("{name}={value}");
        let send = Frame::new("SEND").with("destination", "/topic/harm.x").with(name, value);
        stomp.request(send.body(body.as_bytes())).with_context(|| format!("{name:?}: {value:?}"))?;
        for mqtt in &mut subscribers {
            let message = mqtt.take().with_context(|| format!("{name:?}: {value:?}"))?;
            ensure!(message.text() == body && message.topic == "harm/x", "{message:?}");
        }
    }
    Ok(())
}

fn websocket(broker: &Broker) -> Result<WebSocket> {
    let (answer, socket) = upgrade(broker.at(Door::Web), "/ws", "v12.stomp")?;
    ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let mut client = WebSocket::new(socket);
    client.send(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0")?;
    let connected = next(&mut client)?;
    ensure!(connected.command == "CONNECTED", "{connected:?}");
    Ok(client)
}

fn next(client: &mut WebSocket) -> io::Result<Frame> {
    loop {
        if let Some(frame) = cut(&mut client.bytes)? {
            return Ok(frame);
        }
        client.receive()?;
    }
}
