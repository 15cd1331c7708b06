//! Abuse of connections: handshakes that never end, lengths that nobody sends, and coming and going.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::door::Door;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::wait::{SOON, until};

use crate::abuse::Scene;

#[test]
fn two_thousand_handshakes_that_never_end_are_ended() -> Result<()> {
    // threats.md: slowloris. From the connection to the login there are 10 s, here 3.
    let config = "[mqtt]\nconnect_timeout = \"3s\"\n[stomp]\nconnect_timeout = \"3s\"\n";
    let scene = Scene::new("2,000 slow handshakes", config)?;
    let starts: [(Door, &[u8]); 4] = [
        (Door::Mqtt, &[0x10, 0xff, 0x7f, 0, 4, b'M', b'Q']),
        (Door::Stomp, b"CONNECT\naccept-version:1.2\nhost:"),
        (Door::Web, b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: "),
        (Door::Auto, b"STOM"),
    ];
    let mut sockets = Vec::new();
    for number in 0..2_000 {
        let (door, start) = starts[number % starts.len()];
        let mut socket = TcpStream::connect(scene.broker.at(door))?;
        socket.write_all(start)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    // A byte now and then keeps them alive, as far as anybody can tell from outside.
    until("the end of all handshakes", SOON * 6, || {
        sockets.retain_mut(|socket| {
            let _ = socket.write(b"x");
            still_open(socket)
        });
        std::thread::sleep(Duration::from_millis(300));
        sockets.is_empty().then_some(())
    })?;
    scene.end(MEMORY_MIB_MAX, &["conn.refused", "peer=127.0.0.1:", "timed out"])
}

#[test]
fn lengths_that_are_announced_and_never_sent_cost_nothing() -> Result<()> {
    // CVE-2017-7651, CVE-2021-22116, CVE-2021-33175, CVE-2021-33176: a buffer as large as was announced.
    let scene = Scene::new("giant declared lengths", "")?;
    let connect = Connect::new(Version::V5, "").bytes();
    let giants: [(Door, Vec<u8>); 6] = [
        // 256 MiB, before the login and after it; and a length of five bytes.
        (Door::Mqtt, b"\x10\xff\xff\xff\x7f\0\x04MQTT\x05".to_vec()),
        (Door::Mqtt, [&connect[..], &[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't']].concat()),
        (Door::Mqtt, vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        (Door::Stomp, b"CONNECT\naccept-version:1.2\nhost:/\ncontent-length:4000000000\n\nx".to_vec()),
        (
            Door::Stomp,
            b"CONNECT\naccept-version:1.2\nhost:/\n\n\0SEND\ndestination:/topic/t\ncontent-length:4000000000\n\nx"
                .to_vec(),
        ),
        (Door::Web, [UPGRADE, &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]].concat()),
    ];
    for round in 0..100 {
        let mut sockets = Vec::new();
        for (door, bytes) in &giants {
            let mut socket = TcpStream::connect(scene.broker.at(*door))?;
            socket.set_read_timeout(Some(SOON))?;
            socket.write_all(bytes)?;
            sockets.push((door, bytes.len(), socket));
        }
        for (door, length, mut socket) in sockets {
            let ended = socket.read_to_end(&mut Vec::new());
            let is_over = ended
                .as_ref()
                .map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true);
            ensure!(is_over, "round {round}, {door:?}, {length} bytes: {ended:?}");
        }
    }
    scene.end(MEMORY_MIB_MAX, &["conn.refused", "peer=127.0.0.1:", "larger than"])
}

#[test]
fn two_thousand_connections_a_second_are_kept_to_the_rate() -> Result<()> {
    let config = "[limits]\nloopback_free = false\nconnections_per_ip = 0\nconnection_rate = 300\n";
    let scene = Scene::new("2,000 connections a second", config)?;
    let (address, begin) = (scene.broker.at(Door::Mqtt), Instant::now());
    let churns: Vec<_> = (0..4).map(|number| std::thread::spawn(move || churn(address, number))).collect();
    let mut tried = 0;
    for one in churns {
        tried += one.join().unwrap_or_default();
    }
    println!("{tried} connections in {:.1?}", begin.elapsed());
    ensure!(tried > 1_000, "only {tried} came");
    scene.end(MEMORY_MIB_MAX, &["conn.refused", "peer=127.0.0.1:", "limits.connection_rate"])
}

/// For five seconds, five hundred a second; how many.
fn churn(address: SocketAddr, number: u64) -> u32 {
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(5) {
        if let Ok(mut socket) = TcpStream::connect(address) {
            count += 1;
            let connect = Connect::new(Version::V5, &format!("churn-{number}-{count}")).bytes();
            let _ = socket.write_all(&connect);
        }
        let due = begin + Duration::from_millis(2) * count;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    count
}

fn still_open(socket: &mut TcpStream) -> bool {
    loop {
        match socket.read(&mut [0; 1024]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n";

/// With 2,000 connections and no more than is promised for each of them.
const MEMORY_MIB_MAX: u64 = 200;
