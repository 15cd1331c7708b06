//! Abuse of streams: frames of STOMP that never end, and sessions of SockJS that nobody polls.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::version::Version;
use harness::prometheus::Page;
use harness::socket::Socket;
use harness::wait::{SOON, until};

use crate::abuse::Scene;

#[test]
fn frames_without_end_are_cut_at_the_limit() -> Result<()> {
    let scene = Scene::new("STOMP frames without end", "")?;
    let connected = "CONNECT\naccept-version:1.2\nhost:/\n\n\0";
    let starts = [
        "CONNECT\nx:".to_owned(),
        "C".to_owned(),
        format!("{connected}SEND\ndestination:/topic/t\n\n"),
        format!("{connected}SEND\ndestination:/topic/t\nx:"),
        format!("{connected}SEND\n"),
    ];
    for round in 0..20 {
        for (number, start) in starts.iter().enumerate() {
            let mut socket = Socket::dial(scene.broker.at(Door::Stomp))?;
            let piece = if number == 4 { "a:b\n".repeat(4096) } else { "x".repeat(16 << 10) };
            let _ = socket.write(start.as_bytes());
            // 16 MiB, of which it looks at the first part of one; the rest it throws away for as long as its good-bye takes.
            for _ in 0..1024 {
                if socket.write(piece.as_bytes()).is_err() {
                    break;
                }
            }
            ensure!(socket.closes(SOON)?, "round {round}, {number}: goes on");
        }
    }
    scene.end(200, &["conn.refused", "proto=stomp", "peer=127.0.0.1:", "reason="])
}

#[test]
fn sessions_that_nobody_polls_are_ended() -> Result<()> {
    let scene = Scene::new("2,000 SockJS sessions never polled", "")?;
    let connect = r#"["CONNECT\naccept-version:1.2\nhost:/\n\n\u0000","SUBSCRIBE\nid:0\ndestination:/topic/flood\n\n\u0000"]"#;
    for number in 0..2_000 {
        let path = format!("/stomp/000/never{number}");
        ensure!(post(&scene.broker, &format!("{path}/xhr"), "")?.contains(" 200 "), "{number}: not opened");
        let answer = post(&scene.broker, &format!("{path}/xhr_send"), connect)?;
        // On a slow machine the first are over before the last have come.
        ensure!(answer.contains(" 204 ") || answer.contains(" 404 "), "{number}: {answer}");
    }
    let mut publisher = Client::clean(scene.broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for _ in 0..100 {
        publisher.publish("flood", &[b'x'; 4096], 0)?;
    }
    // Five seconds after their last poll.
    until("the end of all sessions", SOON * 3, || {
        let labels = [("protocol", "stomp"), ("transport", "sockjs")];
        let left = page(&scene.broker).ok()?.value("duetmq_connections", &labels).unwrap_or(0.0);
        (left == 0.0).then_some(())
    })?;
    scene.end(400, &["conn.close", "stomp-sockjs", "peer=127.0.0.1:"])
}

fn post(broker: &Broker, path: &str, body: &str) -> Result<String> {
    let mut socket = TcpStream::connect(broker.at(Door::Web))?;
    socket.set_read_timeout(Some(SOON))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().context("an answer")?.to_owned())
}

fn page(broker: &Broker) -> Result<Page> {
    Page::parse(&Admin::nobody(broker).get("/metrics")?.body)
}
