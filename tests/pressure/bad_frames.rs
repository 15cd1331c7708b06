//! Frames that are wrong, by hand: each is refused in words, at every door, and nobody else notices.

mod connecting;
mod framing;
mod naming;
mod row;
mod sending;

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::socket::{Next, Socket};
use harness::stomp::{Client, Frame, cut};
use harness::wait::SOON;
use harness::websocket::{WebSocket, upgrade};

use crate::bad_frames::row::Bad;
use crate::healthy::Pair;

#[test]
fn two_hundred_bad_frames_are_refused_in_words_and_nobody_else_notices() -> Result<()> {
    let rows = rows();
    ensure!(rows.len() >= 200, "{} rows", rows.len());
    let mut broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    let mut bystander = Client::new(broker.at(Door::Stomp))?;
    bystander.subscribe("0", "/topic/bad.#", "auto")?;
    bystander.subscribe("1", "/queue/bad", "auto")?;
    for row in &rows {
        for version in row.versions.chars().filter(|version| *version != 'w') {
            tcp(&broker, row, version).with_context(|| format!("{}, {version}, TCP", row.name))?;
        }
    }
    let heard = bystander.next(Duration::from_millis(300))?;
    ensure!(heard == Next::Silence, "something of a bad frame was done: {heard:?}");
    ensure!(broker.is_running(), "the broker died");
    pair.part()
}

#[test]
fn over_websocket_the_error_arrives_before_the_close() -> Result<()> {
    let mut broker = Broker::new()?;
    let pair = Pair::new(&broker)?;
    for row in rows() {
        for version in row.versions.chars() {
            websocket(&broker, &row, version)
                .with_context(|| format!("{}, {version}, WebSocket", row.name))?;
        }
    }
    ensure!(broker.is_running(), "the broker died");
    pair.part()
}

#[test]
fn the_error_arrives_although_the_peer_goes_on_sending() -> Result<()> {
    let broker = Broker::new()?;
    for round in 0..20 {
        let mut client = Client::new(broker.at(Door::Stomp))?;
        client.socket.write(b"SEND\nreceipt:r7\n\n\0")?;
        // A socket that is closed with something unread in it would take the ERROR down with it.
        let more = Frame::new("SEND").with("destination", "/topic/bad").body(&[b'x'; 10_000]).bytes();
        for _ in 0..50 {
            if client.socket.write(&more).is_err() {
                break;
            }
        }
        let error = client.expect("ERROR").with_context(|| format!("round {round}"))?;
        ensure!(error.header("receipt-id") == Some("r7"), "{error:?}");
    }
    Ok(())
}

fn rows() -> Vec<Bad> {
    [connecting::rows(), framing::rows(), sending::rows(), naming::rows()].into_iter().flatten().collect()
}

fn tcp(broker: &Broker, row: &Bad, version: char) -> Result<()> {
    let mut client = match version {
        '-' => Client::dial(broker.at(Door::Stomp))?,
        digit => Client::connect(broker.at(Door::Stomp), &format!("1.{digit}"))?.0,
    };
    // It may be closed before all is written.
    let _ = client.socket.write(&row.bytes);
    check(row, &client.frame()?)?;
    ensure!(client.closes(Duration::from_secs(10))?, "no close after ERROR");
    Ok(())
}

fn websocket(broker: &Broker, row: &Bad, version: char) -> Result<()> {
    let (answer, socket): (String, Socket) = upgrade(broker.at(Door::Web), "/ws", "v12.stomp")?;
    ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let mut client = WebSocket::new(socket);
    if version.is_ascii_digit() {
        let connect = format!("CONNECT\naccept-version:1.{version}\nhost:/\n\n\0");
        client.send(connect.as_bytes())?;
        ensure!(next(&mut client)?.command == "CONNECTED");
    }
    // A frame may be spread over messages.
    for part in row.bytes.chunks(60_000) {
        if client.send(part).is_err() {
            break;
        }
    }
    check(row, &next(&mut client)?)?;
    ensure!(client.ends(SOON)?, "no close after ERROR, or something else before it");
    Ok(())
}

fn next(client: &mut WebSocket) -> io::Result<Frame> {
    loop {
        if let Some(frame) = cut(&mut client.bytes)? {
            return Ok(frame);
        }
        client.receive()?;
    }
}

fn check(row: &Bad, error: &Frame) -> Result<()> {
    let shown = || format!("{error:?} {}", error.text());
    ensure!(error.command == "ERROR", "{}", shown());
    let message = error.header("message").unwrap_or_default();
    ensure!(message.contains(row.message), "message is not {:?}: {}", row.message, shown());
    ensure!(error.text().contains(row.says), "does not say {:?}: {}", row.says, shown());
    ensure!(error.header("content-type") == Some("text/plain"), "{}", shown());
    ensure!(error.header("version") == Some("1.0,1.1,1.2"), "{}", shown());
    let asks = row.bytes.windows(12).any(|window| {
        window
            == b"
receipt:r7
"
    });
    ensure!(!asks || error.header("receipt-id") == Some("r7"), "no receipt-id: {}", shown());
    ensure!(!error.text().contains("s3cret"), "tells a secret: {}", shown());
    ensure!(error.body.len() < 8 * 1024, "quotes too much");
    Ok(())
}
