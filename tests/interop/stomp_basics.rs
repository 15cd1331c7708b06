//! STOMP: versions, receipts, heart-beats, errors, and bodies of any bytes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

#[test]
fn the_highest_common_version_is_chosen() -> Result<()> {
    let broker = Broker::new()?;
    for (offered, chosen) in
        [("1.0", "1.0"), ("1.1", "1.1"), ("1.2", "1.2"), ("1.0,1.1,1.2", "1.2"), ("1.1,2.0", "1.1")]
    {
        let (_client, connected) = Client::connect(broker.at(Door::Stomp), offered)?;
        ensure!(connected.header("version") == Some(chosen), "{offered}: {connected:?}");
        ensure!(connected.header("session").is_some(), "{connected:?}");
    }
    let mut client = Client::dial(broker.at(Door::Stomp))?;
    client.send(&Frame::new("STOMP").with("login", "guest").with("passcode", "guest"))?;
    let connected = client.expect("CONNECTED")?;
    ensure!(connected.header("version").is_none_or(|version| version == "1.0"), "{connected:?}");

    let mut client = Client::dial(broker.at(Door::Stomp))?;
    client.send(&Frame::new("CONNECT").with("accept-version", "7.0").with("host", "/"))?;
    let error = client.expect("ERROR")?;
    ensure!(error.header("version").is_some(), "{error:?}");
    ensure!(client.closes(Duration::from_secs(5))?, "no close after ERROR");
    Ok(())
}

#[test]
fn a_receipt_comes_for_every_frame_that_asks_and_before_the_close() -> Result<()> {
    let broker = Broker::new()?;
    for version in ["1.0", "1.1", "1.2"] {
        let (mut client, _) = Client::connect(broker.at(Door::Stomp), version)?;
        client.subscribe("0", "/topic/receipts", "auto")?;
        client.request(Frame::new("SEND").with("destination", "/topic/nobody").body(b"x"))?;
        client.request(Frame::new("BEGIN").with("transaction", "t"))?;
        client.request(Frame::new("ABORT").with("transaction", "t"))?;
        client.request(Frame::new("UNSUBSCRIBE").with("id", "0").with("destination", "/topic/receipts"))?;
        client.request(Frame::new("DISCONNECT"))?;
        ensure!(client.closes(Duration::from_secs(5))?, "{version}: no close after DISCONNECT");
    }
    Ok(())
}

#[test]
fn the_server_beats_as_promised_and_a_silent_client_is_cut() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::dial(broker.at(Door::Stomp))?;
    client.send(
        &Frame::new("CONNECT")
            .with("accept-version", "1.2")
            .with("host", "/")
            .with("heart-beat", "1000,1000"),
    )?;
    let connected = client.expect("CONNECTED")?;
    ensure!(connected.header("heart-beat").is_some_and(|beat| beat != "0,0"), "{connected:?}");
    let begin = Instant::now();
    let mut beats = 0;
    while let Next::Some(byte) = client
        .socket
        .next(Duration::from_secs(15), |buffer| Ok((!buffer.is_empty()).then(|| std::mem::take(buffer))))?
    {
        beats += byte.iter().filter(|byte| **byte == b'\n').count();
    }
    // We never beat: it must not wait for ever, and not cut before twice the second we promised.
    ensure!((1500..15_000).contains(&begin.elapsed().as_millis()), "cut after {:?}", begin.elapsed());
    ensure!(beats >= 1, "{beats} beats in {:?}", begin.elapsed());
    Ok(())
}

#[test]
fn a_body_may_hold_any_bytes_and_headers_any_text() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("0", "/topic/bytes", "auto")?;
    let body: Vec<u8> = (0..=255).collect();
    let tricky = "가:나\\다\n라";
    let send = Frame::new("SEND").with("destination", "/topic/bytes").with("tricky:name", tricky);
    client.send(&send.with("content-type", "application/octet-stream").body(&body))?;
    let message = client.expect("MESSAGE")?;
    ensure!(message.body == body, "{:?}", message.body);
    ensure!(message.header("tricky:name") == Some(tricky), "{message:?}");
    ensure!(message.header("content-type") == Some("application/octet-stream"), "{message:?}");
    ensure!(message.header("receipt").is_none() && message.header("message-id").is_some(), "{message:?}");
    Ok(())
}

#[test]
fn a_frame_that_cannot_be_is_refused_in_words_and_the_connection_ends() -> Result<()> {
    let broker = Broker::new()?;
    for (what, bytes) in [
        ("an unknown command", &b"JUMP\n\n\0"[..]),
        ("no destination", b"SEND\nreceipt:7\n\nx\0"),
        ("no transaction of that name", b"COMMIT\ntransaction:none\nreceipt:7\n\n\0"),
        ("an unknown ack mode", b"SUBSCRIBE\nid:0\ndestination:/topic/x\nack:maybe\nreceipt:7\n\n\0"),
        ("an unknown destination", b"SEND\ndestination:/nowhere/x\nreceipt:7\n\nx\0"),
        ("a queue that does not exist", b"SUBSCRIBE\nid:0\ndestination:/amq/queue/none\nreceipt:7\n\n\0"),
        ("an undefined escape", b"SEND\ndestination:/topic/a\\tb\n\nx\0"),
        ("a header without a colon", b"SEND\ndestination\n\nx\0"),
        ("a second CONNECT", b"CONNECT\naccept-version:1.2\nhost:/\n\n\0"),
    ] {
        let mut client = Client::new(broker.at(Door::Stomp))?;
        client.socket.write(bytes)?;
        let error = client.expect("ERROR")?;
        ensure!(error.header("message").is_some_and(|message| !message.is_empty()), "{what}: {error:?}");
        if bytes.windows(9).any(|window| window == b"receipt:7") {
            ensure!(error.header("receipt-id") == Some("7"), "{what}: {error:?}");
        }
        ensure!(client.closes(Duration::from_secs(5))?, "{what}: no close after ERROR");
    }
    Ok(())
}

#[test]
fn a_subscribe_without_an_id_is_accepted() -> Result<()> {
    // S2.2
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(Frame::new("SUBSCRIBE").with("destination", "/topic/no.id"))?;
    client.send(&Frame::new("SEND").with("destination", "/topic/no.id").body(b"x"))?;
    ensure!(client.expect("MESSAGE")?.text() == "x", "no message");
    Ok(())
}

#[test]
fn a_password_that_is_wrong_lets_nobody_in() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    client.send(&connect.with("login", "guest").with("passcode", "wrong"))?;
    client.expect("ERROR")?;
    ensure!(client.closes(Duration::from_secs(15))?, "no close after ERROR");
    Ok(())
}
