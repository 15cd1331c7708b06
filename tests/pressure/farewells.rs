//! Farewells: what the broker says last is heard, also by a client that is still speaking.
//!
//! A socket that is closed with something unread in it answers by a reset, which may take what was written last down with it. So
//! these clients go on sending, a piece at a time with pauses, after they have been told that it is over, and read only then.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::wait::SOON;

#[test]
fn who_is_sent_away_while_it_speaks_hears_why_at_every_door() -> Result<()> {
    let broker = Broker::new()?;
    let connect = Connect::new(Version::V5, "").bytes();
    let wrong_flags = [&[0x13][..], connect.get(1..).unwrap_or_default()].concat();
    let upgrade = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let long = "Host: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
    let refused: [(Door, Vec<u8>, &[u8]); 9] = [
        // In CONNACK, and in DISCONNECT.
        (Door::Mqtt, wrong_flags, b"[MQTT-2.1.3-1]"),
        (Door::Mqtt, [connect.as_slice(), &connect].concat(), b"[MQTT-3.1.0-2]"),
        (Door::Mqtt, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), b"HTTP/1.1 400 "),
        (Door::Stomp, b"SEND\ndestination:/topic/a\n\n\0".to_vec(), b"ERROR\n"),
        // In a close frame.
        (Door::Web, [&upgrade[..], &[0xf2, 0x82, 1, 2, 3, 4, 5, 6]].concat(), b"Reserved bits"),
        (Door::Web, format!("POST /ws HTTP/1.1\r\n{long}").into_bytes(), b"HTTP/1.1 405 "),
        (Door::Web, b"\x10\x0c\0\x04MQTT\x05\r\n\r\n".to_vec(), b""),
        (Door::Auto, format!("GET /nothing HTTP/1.1\r\n{long}").into_bytes(), b"HTTP/1.1 404 "),
        (Door::Admin, format!("PUT /api/queues/%2F/q HTTP/1.1\r\n{long}").into_bytes(), b"HTTP/1.1 401 "),
    ];
    std::thread::scope(|scope| {
        let clients: Vec<_> = refused
            .iter()
            .map(|(door, begin, why)| {
                let address = broker.at(*door);
                let client = scope.spawn(move || hears(address, begin, why));
                (format!("{door}: {}", begin.escape_ascii()), client)
            })
            .collect();
        for (what, client) in clients {
            client.join().ok().context("no panic")?.context(what)?;
        }
        Ok(())
    })
}

fn hears(address: SocketAddr, begin: &[u8], why: &[u8]) -> Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SOON * 3))?;
    socket.write_all(begin)?;
    for piece in 0..20 {
        std::thread::sleep(Duration::from_millis(30));
        socket.write_all(b"and another thing").with_context(|| format!("piece {piece}: it hung up"))?;
    }
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).context("an end, and no reset")?;
    let is_there = heard.windows(why.len().max(1)).any(|window| window.starts_with(why));
    ensure!(is_there || why.is_empty(), "it heard \"{}\"", heard.escape_ascii());
    Ok(())
}
